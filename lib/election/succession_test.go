package election_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/election"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// retire says on one node that another is gone.
func (h *hub) retire(by, gone, successor int, force ...bool) {
	h.nodes[by].db.take([]row{{retirement: &model.Retirement{
		NodeUID: h.nodes[gone].uid, Successor: h.nodes[successor].uid, Forced: len(force) > 0, HLC: h.nodes[by].db.clock.Next(time.Now()),
	}}})
}

func TestRetiredExecutor(t *testing.T) {
	inHub(t, 3, func(t *testing.T, h *hub) {
		label := h.label(definition(1, 1, ""))
		for _, i := range []int{0, 2} {
			h.nodes[i].drain(true)
		}
		runs := h.nodes[0].db.create(label)
		h.nodes[2].want(runs, model.StatusAllocated, time.Second)
		h.nodes[2].drain(false)
		h.nodes[0].drain(false)
		granted := h.grantTo(1) // and dies
		time.Sleep(1200 * time.Millisecond)
		h.retire(2, 1, 0)
		h.nodes[2].want(runs, model.StatusError, time.Second) // no tick is waited for
		if e := h.nodes[0].entry(runs); !said(e, model.StatusError, "Node "+h.nodes[1].uid.String()+" was retired") || !e.Done() {
			t.Errorf("states are %+v", e.States)
		}
		h.nodes[2].want(granted, model.StatusAllocated, 10*time.Second)
		h.nodes[2].recall(granted)
		h.wantOver(granted, time.Second)
	})
}

// TestRetiredExecutorThatMayHaveBegun: the arbiter has not heard that the
// retired node ran it, another member has.
func TestRetiredExecutorThatMayHaveBegun(t *testing.T) {
	inHub(t, 3, func(_ *testing.T, h *hub) {
		for _, i := range []int{0, 2} {
			h.nodes[i].drain(true)
		}
		app := h.nodes[0].db.create(h.label(definition(1, 1, "")))
		h.nodes[0].want(app, model.StatusElected, time.Second)
		h.hold(0, true)
		h.nodes[2].want(app, model.StatusAllocated, time.Second)
		h.nodes[1].crash()
		h.nodes[2].drain(false)
		h.retire(0, 1, 0)
		time.Sleep(time.Minute)
		h.nodes[0].want(app, model.StatusElected, 0)
		h.hold(0, false)
		h.nodes[0].want(app, model.StatusError, 10*time.Second)
	})
}

// TestRetiredNodeThatLives: who heard of its own retirement begins nothing, and
// nobody grants it anything.
func TestRetiredNodeThatLives(t *testing.T) {
	inHub(t, 3, func(t *testing.T, h *hub) {
		for _, i := range []int{0, 2} {
			h.nodes[i].drain(true)
		}
		label := h.label(definition(1, 1, ""))
		app := h.nodes[0].db.create(label)
		for h.nodes[1].status(app) == "" {
			time.Sleep(time.Millisecond)
		}
		h.hold(1, true)
		h.nodes[0].want(app, model.StatusElected, time.Second)
		h.hold(0, true)
		h.retire(1, 1, 2)
		h.hold(1, false)
		time.Sleep(20 * time.Second)
		if e := h.nodes[1].entry(app); e.Fold.Allocated != nil || !said(e, model.StatusDeclined, "took the vote back") {
			t.Errorf("the retired node wrote %+v", e.States)
		}
		h.hold(0, false)
		time.Sleep(10 * time.Second)
		later := h.nodes[0].db.create(label)
		time.Sleep(20 * time.Second)
		for _, uid := range []model.UID{app, later} {
			h.nodes[0].want(uid, model.StatusNew, 0)
		}
		h.nodes[2].drain(false)
		h.nodes[0].want(app, model.StatusAllocated, 10*time.Second)
		h.nodes[0].want(later, model.StatusAllocated, 10*time.Second)
	})
}

// TestSuccessorWaitsUntilItKnowsAll: the arbiter is retired; its successor
// grants only once it knows what every member knows.
func TestSuccessorWaitsUntilItKnowsAll(t *testing.T) {
	inHub(t, 4, func(t *testing.T, h *hub) {
		for _, n := range h.nodes {
			n.drain(true)
		}
		app := h.nodes[0].db.create(h.label(definition(1, 1, "")))
		time.Sleep(time.Second)
		h.nodes[0].crash()
		h.nodes[3].crash()
		for _, n := range h.nodes {
			n.drain(false)
		}
		h.retire(2, 0, 1)
		time.Sleep(time.Minute)
		h.nodes[1].want(app, model.StatusNew, 0)
		if got := h.nodes[1].election.Explain(h.nodes[1].entry(app).Application, mustLabel(h, app)).Definitions[0]; got.Cause != election.CauseArbiter {
			t.Errorf("the successor explains %+v", got)
		}
		h.nodes[3].start()
		h.nodes[2].want(app, model.StatusAllocated, 10*time.Second)
		h.nodes[2].recall(app)
		h.wantOver(app, time.Second)
	})
}

// TestTwoRetirementsOfOneNode: two members retire the arbiter and do not know of
// each other. The successor of the one grants nothing while another member may
// not know of it, so that none of what it granted can be granted again by the
// other one, whose retirement turns out to be the first.
func TestTwoRetirementsOfOneNode(t *testing.T) {
	inHub(t, 4, func(t *testing.T, h *hub) {
		for _, n := range h.nodes {
			n.drain(true)
		}
		app := h.nodes[0].db.create(h.label(definition(1, 1, "")))
		time.Sleep(time.Second)
		h.nodes[0].crash()
		for _, n := range h.nodes {
			n.drain(false)
		}
		early := h.nodes[3].db.clock.Next(time.Now())
		h.hold(3, true)
		h.retire(2, 0, 2)
		time.Sleep(30 * time.Second)
		h.nodes[2].want(app, model.StatusNew, 0)
		h.nodes[3].db.take([]row{{retirement: &model.Retirement{NodeUID: h.nodes[0].uid, Successor: h.nodes[1].uid, HLC: early}}})
		time.Sleep(30 * time.Second)
		for _, n := range h.nodes[1:] {
			if f := n.entry(app).Fold; f.LastEpoch != 0 {
				t.Errorf("granted while the members do not agree who decides: %+v", f)
			}
		}
		h.hold(3, false)
		h.nodes[3].want(app, model.StatusAllocated, 10*time.Second)
		if g := h.nodes[3].entry(app).Fold.Grant; g.NodeUID != h.nodes[1].uid || g.Epoch != 1 {
			t.Errorf("granted by %v with epoch %d, want by the first successor, once", g.NodeUID, g.Epoch)
		}
		h.nodes[3].recall(app)
		h.wantOver(app, time.Second)
	})
}

// TestForcedOnBothSides of a cut: each side goes on with a successor of its own,
// which is what force asks for. After the heal all agree on what stays: what one
// side alone granted runs on, of what both did the older grant does.
func TestForcedOnBothSides(t *testing.T) {
	inHub(t, 3, func(t *testing.T, h *hub) {
		for _, n := range h.nodes {
			n.drain(true)
		}
		label := h.label(definition(1, 1, ""))
		apps := []model.UID{h.nodes[0].db.create(label), h.nodes[0].db.create(label)}
		time.Sleep(time.Second)
		h.nodes[0].crash()
		h.split(func(i int) bool { return i == 1 })
		h.retire(1, 0, 1, true)
		h.nodes[1].drain(false)
		h.nodes[1].want(apps[0], model.StatusAllocated, 10*time.Second)
		h.nodes[1].want(apps[1], model.StatusAllocated, 10*time.Second)
		h.retire(2, 0, 2, true)
		time.Sleep(time.Second)
		h.nodes[2].drain(false)
		h.nodes[2].want(apps[0], model.StatusAllocated, 10*time.Second)
		h.nodes[1].recall(apps[0]) // it ends on one side
		time.Sleep(10 * time.Second)
		h.heal()
		h.wantOver(apps[0], 20*time.Second)
		time.Sleep(20 * time.Second)
		for _, n := range h.nodes[1:] {
			if f := n.entry(apps[1]).Fold; f.Status() != model.StatusAllocated || f.Allocated.NodeUID != h.nodes[1].uid {
				t.Errorf("it is %s by %+v, want it to run where it was granted first", f.Status(), f.Allocated)
			}
		}
		if n := h.world.running(); n != 1 {
			t.Errorf("%d environments run, want 1", n)
		}
	})
}

// TestForcedSuccessorDoesNotWait for the member that is away: the operator
// wanted that.
func TestForcedSuccessorDoesNotWait(t *testing.T) {
	inHub(t, 4, func(_ *testing.T, h *hub) {
		for _, n := range h.nodes {
			n.drain(true)
		}
		app := h.nodes[0].db.create(h.label(definition(1, 1, "")))
		time.Sleep(time.Second)
		h.nodes[0].crash()
		h.nodes[3].crash()
		for _, n := range h.nodes {
			n.drain(false)
		}
		h.retire(2, 0, 1, true)
		h.nodes[2].want(app, model.StatusAllocated, 10*time.Second)
		h.nodes[2].recall(app)
		time.Sleep(time.Second)
		h.nodes[3].start()
		h.wantOver(app, 10*time.Second)
	})
}

func mustLabel(h *hub, app model.UID) model.Label {
	l, _ := h.nodes[1].db.Label(h.nodes[1].entry(app).Application.LabelUID)
	return l
}

// TestHandover gives away what waits, not what comes later, and grants no more
// of it.
func TestHandover(t *testing.T) {
	inHub(t, 3, func(t *testing.T, h *hub) {
		h.fill()
		label := h.label(definition(1, 1, ""))
		app := h.nodes[0].db.create(label)
		time.Sleep(time.Second)
		h.nodes[0].drain(true)
		asked := 0
		successor, err := h.nodes[0].election.HandOver(t.Context(), election.Handing{
			Store: h.nodes[0].db,
			Acknowledge: func(_ context.Context, to model.UID) error {
				for i, n := range h.nodes {
					if n.uid == to {
						asked++
						for !h.has(0, i) {
							time.Sleep(time.Millisecond)
						}
					}
				}
				return nil
			},
		})
		if err != nil || asked != 2 || successor == model.NilUID || successor == h.nodes[0].uid {
			t.Fatalf("HandOver() = %v, %v after %d questions", successor, err, asked)
		}
		if !giving(h.nodes[0].election) {
			t.Error("who has handed over takes new applications, which nobody decides while it is away")
		}
		h.nodes[0].halt() // in order
		h.nodes[0].crash()
		for _, n := range h.nodes[1:] {
			n.free()
		}
		h.nodes[1].want(app, model.StatusAllocated, 10*time.Second)
		if e := h.nodes[1].entry(app); e.Fold.Grant.NodeUID != successor {
			t.Errorf("granted by %v, want the successor %v", e.Fold.Grant.NodeUID, successor)
		}
		h.nodes[0].start()
		h.nodes[0].drain(false)
		later := h.nodes[0].db.create(label)
		h.nodes[1].want(later, model.StatusAllocated, 10*time.Second)
		if e := h.nodes[1].entry(later); e.Fold.Grant.NodeUID != h.nodes[0].uid {
			t.Errorf("what came later was granted by %v", e.Fold.Grant.NodeUID)
		}
	})
}

// TestHandoverOfNothing writes none; new applications are for others all the same.
func TestHandoverOfNothing(t *testing.T) {
	inHub(t, 2, func(t *testing.T, h *hub) {
		e := h.nodes[0].election
		if giving(e) {
			t.Error("a node at work takes no applications")
		}
		if successor, err := e.HandOver(t.Context(), election.Handing{}); successor != model.NilUID || err != nil {
			t.Errorf("HandOver() = %v, %v, want nobody", successor, err)
		}
		if !giving(e) {
			t.Error("a node that stops takes new applications")
		}
	})
}

// TestHandoverThatNobodyTakes leaves everything as it was.
func TestHandoverThatNobodyTakes(t *testing.T) {
	inHub(t, 2, func(t *testing.T, h *hub) {
		h.fill()
		app := h.nodes[0].db.create(h.label(definition(1, 1, "")))
		time.Sleep(time.Second)
		_, err := h.nodes[0].election.HandOver(t.Context(), election.Handing{
			Store: h.nodes[0].db, Acknowledge: func(context.Context, model.UID) error { return errors.New("it hangs") },
		})
		if err == nil || !strings.Contains(err.Error(), "it hangs") {
			t.Errorf("HandOver() = %v", err)
		}
		if giving(h.nodes[0].election) {
			t.Error("who could not hand over takes no new applications")
		}
		h.nodes[1].free()
		h.nodes[0].want(app, model.StatusAllocated, 10*time.Second)
		if got := h.nodes[0].entry(app).Fold.Grant.NodeUID; got != h.nodes[0].uid {
			t.Errorf("granted by %v, want the first node", got)
		}
	})
}
