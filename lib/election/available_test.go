package election_test

import (
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/election"
	"github.com/aquarium-fish/aquarium-fish/lib/lifecycle"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// available makes the farm an available one.
func (h *hub) available() {
	for i, n := range h.nodes {
		h.restart(i, func(e *election.Options, l *lifecycle.Options) { e.Safety, l.Settled = election.Available, n.settled })
	}
	time.Sleep(time.Second)
}

// TestAvailableGrantsAgain after five minutes; the first winner, back, declines
// what has been overtaken.
func TestAvailableGrantsAgain(t *testing.T) {
	inHub(t, 3, func(t *testing.T, h *hub) {
		h.available()
		app := h.grantTo(1)
		time.Sleep(4 * time.Minute)
		h.nodes[0].want(app, model.StatusElected, 0)
		h.nodes[2].want(app, model.StatusAllocated, 2*time.Minute)
		h.nodes[1].start()
		time.Sleep(time.Minute)
		if e := h.nodes[0].entry(app); !said(e, model.StatusDeclined, "") || e.Fold.Grant.Epoch != 2 {
			t.Errorf("states are %+v", e.States)
		}
		h.nodes[0].recall(app)
		h.wantOver(app, time.Second)
	})
}

// TestAvailableTakesOver from an arbiter that is silent, with an epoch above
// all of its own.
func TestAvailableTakesOver(t *testing.T) {
	inHub(t, 3, func(t *testing.T, h *hub) {
		h.available()
		h.fill()
		app := h.nodes[0].db.create(h.label(definition(1, 1, "")))
		time.Sleep(time.Second)
		h.nodes[0].crash()
		h.nodes[1].free()
		time.Sleep(4 * time.Minute)
		h.nodes[1].want(app, model.StatusNew, 0)
		h.nodes[2].want(app, model.StatusAllocated, 2*time.Minute)
		if got := h.nodes[2].entry(app).Fold.Grant.Epoch; got != 1000 {
			t.Errorf("epoch %d is granted, want 1000", got)
		}
		h.nodes[0].start()
		time.Sleep(time.Minute)
		h.nodes[0].recall(app)
		h.wantOver(app, time.Second)
	})
}

// TestTwoAllocatedAfterAHeal: the arbiter's side of a cut of six minutes runs
// it, and so does the other one, which took it for waiting. The lowest epoch stays.
func TestTwoAllocatedAfterAHeal(t *testing.T) {
	inHub(t, 4, func(t *testing.T, h *hub) {
		h.available()
		h.fill()
		app := h.nodes[0].db.create(h.label(definition(1, 1, "")))
		time.Sleep(time.Second)
		h.split(func(i int) bool { return i < 2 })
		time.Sleep(4 * time.Minute)
		h.nodes[1].free()
		h.nodes[3].free()
		h.nodes[0].want(app, model.StatusAllocated, time.Minute)
		h.nodes[2].want(app, model.StatusAllocated, 2*time.Minute)
		h.heal()
		time.Sleep(10 * time.Second)
		for _, n := range h.nodes {
			n.want(app, model.StatusAllocated, 0)
			if e := n.entry(app); e.Fold.Grant.Epoch != 1 || e.Resource == nil || e.Resource.NodeUID != h.nodes[1].uid || !said(e, model.StatusDeclined, "Another node runs") {
				t.Errorf("node %d: resource %+v, states %+v", n.index, e.Resource, e.States)
			}
		}
		if n := h.world.running(); n != 1 {
			t.Errorf("%d environments run, want 1", n)
		}
		h.nodes[3].recall(app)
		h.wantOver(app, time.Second)
	})
}
