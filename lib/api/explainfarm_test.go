package api

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/status"
	"github.com/aquarium-fish/aquarium-fish/lib/election"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

func obstacle(cause election.Cause, reason string) election.Standing {
	return election.Standing{
		Never:       cause == election.CauseTooLarge,
		Definitions: []election.Obstacle{{Driver: "test", Cause: cause, Reason: reason, Lasting: reason}},
	}
}

// TestExplainAsksAllMembers: each tells its own reasons, whoever is asked.
func TestExplainAsksAllMembers(t *testing.T) {
	f := newFarm(t)
	e := f.a.application(t, f.a.label(t, "linux"), "alice")
	for i, n := range f.all { // as if it had been replicated
		if n != f.a {
			n.arrive(t, e)
			n.arrivals.label = &model.Label{UID: e.Application.LabelUID, Name: "linux"}
		}
		n.standing = obstacle(election.CauseCPU, "cpu short on "+string(rune('a'+i)))
	}
	told := func(x apiv1.ApplicationExplanation) (list []string) {
		for _, n := range x.Nodes {
			list = append(list, n.Name+": "+n.Definitions[0].Text)
		}
		return append(list, x.Text)
	}
	want := []string{"a: cpu short on a", "b: cpu short on b", "c: cpu short on c", "It waits: no member of 3 can run it now; of a: cpu short on a"}
	for _, n := range f.all {
		if diff := cmp.Diff(want, told(n.explain(t, "alice", e.Application.UID))); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
	}
	f.c.net().set(func(c *fakeCluster) { c.gone = []model.UID{f.b.uid} })
	want = []string{"a: cpu short on a", "c: cpu short on c", "It waits: no member of 2 can run it now; of a: cpu short on a; no answer from b"}
	if diff := cmp.Diff(want, told(f.c.explain(t, "alice", e.Application.UID))); diff != "" {
		t.Errorf("without b, told (-want +got):\n%s", diff)
	}
	// B's copy is ahead: it is allocated.
	f.b.arrive(t, f.a.allocate(t, e))
	f.c.net().set(func(c *fakeCluster) { c.gone = nil })
	if x := f.c.explain(t, "alice", e.Application.UID); x.Status != "ALLOCATED" || len(x.Nodes) != 0 {
		t.Errorf("told %+v, want what B knows", x)
	}
}

// TestExplainAsksTheExecutor: what fails there is known there.
func TestExplainAsksTheExecutor(t *testing.T) {
	f := newFarm(t)
	e := f.a.allocate(t, f.a.application(t, f.a.label(t, "linux"), "alice"))
	f.c.arrive(t, e)
	x := f.c.explain(t, "alice", e.Application.UID)
	if x.Text != "It runs; deallocate it when it is not needed any more" {
		t.Errorf("told %q", x.Text)
	}
	f.c.net().set(func(c *fakeCluster) { c.gone = []model.UID{f.a.uid} })
	x = f.c.explain(t, "alice", e.Application.UID)
	if !strings.Contains(x.Text, "It runs") || !strings.Contains(x.Text, "member a, which runs it, can not be reached") {
		t.Errorf("without a, told %q", x.Text)
	}
}

func TestFarmWaiting(t *testing.T) {
	says := func(name string, never bool, cause, text string) *apiv1.ApplicationExplanation {
		return &apiv1.ApplicationExplanation{Status: "NEW", Never: never, Text: "alone: " + text, Nodes: []apiv1.NodeStanding{
			{Name: name, Definitions: []apiv1.Obstacle{{Cause: cause, Text: text}}},
		}}
	}
	at := func(name string, x *apiv1.ApplicationExplanation) memberView {
		return memberView{status.Member{Name: name}, x}
	}
	for _, tt := range []struct {
		name  string
		own   *apiv1.ApplicationExplanation
		views []memberView
		never bool
		text  string
	}{
		{"alone", says("a", true, "too_large", "too large"), nil, true, "alone: too large"},
		{"nobody ever", says("b", true, "too_large", "too large"), []memberView{at("a", says("a", true, "options", "no image"))}, true,
			"No member can ever run this: none of 2; of a: no image"},
		{"one may later", says("a", true, "too_large", "too large"), []memberView{at("b", says("b", false, "cpu", "cpu short"))}, false,
			"It waits: no member of 2 can run it now; of b: cpu short"},
		{"one can", says("a", true, "too_large", "too large"), []memberView{at("b", says("b", false, "fits", ""))}, false,
			"It fits on b: about to be granted"},
		{"silence is no never", says("a", true, "too_large", "too large"), []memberView{at("b", nil)}, false,
			"It waits: no member of 1 can run it now; of a: too large; no answer from b"},
	} {
		got := farmWaiting(*tt.own, tt.views)
		if got.Never != tt.never || got.Text != tt.text {
			t.Errorf("%s: never %v, %q, want %v, %q", tt.name, got.Never, got.Text, tt.never, tt.text)
		}
	}
}
