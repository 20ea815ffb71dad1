package election

import (
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

func TestTold(t *testing.T) {
	absent := Candidates{Refusals: []Refusal{{Definition: 0, Reason: "no driver"}, {Definition: 1, Reason: "no ram"}}}
	other := Candidates{Refusals: []Refusal{{Definition: 0, Reason: "no driver"}, {Definition: 1, Reason: "maintenance"}}}
	fits := Candidates{Options: []Option{{}}, Refusals: absent.Refusals}
	log := told{}
	for i, step := range []struct {
		label byte
		now   Candidates
		want  string
	}{
		{1, absent, "definition 0: no driver; definition 1: no ram"},
		{1, absent, ""},
		{2, absent, "definition 0: no driver; definition 1: no ram"},
		{1, other, "definition 0: no driver; definition 1: maintenance"},
		{1, fits, ""},
		{1, other, "definition 0: no driver; definition 1: maintenance"},
		{2, absent, ""},
	} {
		got, ok := log.news(node(step.label), step.now)
		if got != step.want || ok != (step.want != "") {
			t.Errorf("step %d: news() = %q, %v, want %q", i, got, ok, step.want)
		}
	}
}

func TestToldIsBounded(t *testing.T) {
	log, uids := told{}, model.NewUIDSource(node(1))
	for range 3 * mostTold {
		log.news(uids.New(time.Now()), Candidates{Refusals: []Refusal{{Definition: 0, Reason: "no"}}})
	}
	if len(log) > mostTold {
		t.Errorf("%d labels are remembered, want at most %d", len(log), mostTold)
	}
}

// TestToldOnce: a reason of which only the numbers change is no news.
func TestToldOnce(t *testing.T) {
	log := told{}
	for _, step := range []struct {
		reason string
		want   bool
	}{
		{"AWS does not answer since 12:53:12Z: EOF (1m28s ago there was room for 2)", true},
		{"AWS does not answer since 12:53:12Z: EOF (59s ago there was room for 10)", false},
		{"quota L-1216C47A: 4 of 5 vCPUs are used", true},
		{"quota L-1216C47A: 5 of 5 vCPUs are used", false},
		{"driver is not ready", true},
	} {
		if _, got := log.news(node(1), Candidates{Refusals: []Refusal{{Reason: step.reason}}}); got != step.want {
			t.Errorf("%s: told %v, want %v", step.reason, got, step.want)
		}
	}
}
