package api

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// TestCreateWhileGiving: what a node accepted after it handed over what waits would wait until the node is back. It takes
// nothing, here as for another member, and does the rest.
func TestCreateWhileGiving(t *testing.T) {
	f := newFarm(t)
	label := f.a.label(t, "linux")
	kept := f.a.application(t, label, "alice").Application.UID
	f.a.giving.Store(true)
	for name, at := range map[string]*node{"its own client": f.a, "another member's, which has no such label yet": f.c} {
		r := create(t, at, label, "")
		r.wantRetry(t, name)
		if !strings.Contains(r.body, "ask another node") {
			t.Errorf("%s is told %s, want what to do", name, r.body)
		}
	}
	if n := len(f.a.store.Open()); n != 1 {
		t.Errorf("%d applications, want the one of before", n)
	}
	if r := f.a.do(t, call{user: "alice", path: "/api/v1/application/" + kept.String() + "/state"}); r.status != 200 {
		t.Errorf("what was there = %d %s", r.status, r.body)
	}
	f.a.giving.Store(false)
	if r := create(t, f.a, label, ""); r.status != 200 {
		t.Errorf("after a handover that failed: %d %s", r.status, r.body)
	}
	create(t, f.a, model.UID{7}, "") // there is no such label
	if n := f.a.accepting.Load(); n != 0 {
		t.Errorf("%d applications hold a handover up that are answered", n)
	}
}

// TestResourceOfHandedOver: whether what waits has a Resource knows who decides about it now, not who accepted it and is
// off since.
func TestResourceOfHandedOver(t *testing.T) {
	f := newFarm(t)
	app := f.a.application(t, f.a.label(t, "linux"), "alice").Application.UID
	if _, err := f.a.store.CreateHandover(t.Context(), model.Handover{Successor: f.b.uid}); err != nil {
		t.Fatal(err)
	}
	batch, err := f.a.store.Rows(t.Context(), f.a.store.Origin(), 0, replica.Limit{Rows: 1000, Bytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []*node{f.b, f.c} {
		if err := n.store.Replicate(t.Context(), []replica.Batch{batch}); err != nil {
			t.Fatal(err)
		}
		n.net().set(func(c *fakeCluster) { c.gone = []model.UID{f.a.uid} })
	}
	ask := call{user: "alice", path: fmt.Sprintf("/api/v1/application/%s/resource", app)}
	for name, at := range map[string]*node{"the successor": f.b, "a third": f.c} {
		if r := at.do(t, ask); r.status != 404 || !strings.Contains(r.body, "has no Resource") {
			t.Errorf("%s = %d %s, want 404 of an application without one", name, r.status, r.body)
		}
	}
}
