package sim

import (
	"context"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// TestThreeNodes: an application that was made on one node runs on some, is
// seen on all, and leaves nothing.
func TestThreeNodes(t *testing.T) {
	play(t, 3, 1, func(f *farm) {
		f.start()
		if took, ok := f.until(time.Minute, 10*time.Millisecond, f.agree); !ok {
			t.Fatal("the nodes do not find each other")
		} else {
			t.Logf("three nodes agree after %v", took)
		}
		l := f.label(f.nodes[0], "l", definition(1, 1, ""))
		time.Sleep(time.Second)
		e, err := f.nodes[1].p.store.CreateApplication(context.Background(), model.Application{LabelUID: l.UID, OwnerName: "u", Metadata: []byte("{}")})
		if err != nil {
			t.Fatal(err)
		}
		app := e.Application.UID
		took, ok := f.until(time.Minute, time.Millisecond, func() bool { return f.nodes[2].status(app) == model.StatusAllocated })
		if !ok {
			t.Fatalf("it is %s", f.nodes[2].status(app))
		}
		t.Logf("ALLOCATED seen after %v", took)
		if _, err := f.nodes[2].p.store.Update(context.Background(), app, func(e *model.Entry) (model.Change, error) {
			return model.RequestRelease(e, "r")
		}); err != nil {
			t.Fatal(err)
		}
		if _, ok := f.until(time.Minute, time.Millisecond, func() bool { return f.nodes[0].status(app) == model.StatusDeallocated }); !ok {
			t.Fatalf("it is %s", f.nodes[0].status(app))
		}
		time.Sleep(5 * time.Second)
		if ok, diff := f.same(); !ok || f.world.running() != 0 || !f.world.ran(app) {
			t.Errorf("in the end: %s, %d environments", diff, f.world.running())
		}
		f.look()
	})
}

// status is what the node shows.
func (m *member) status(app model.UID) model.Status {
	e, err := m.p.store.Application(context.Background(), app)
	if err != nil {
		return ""
	}
	return e.Fold.Status()
}
