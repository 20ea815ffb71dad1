package election_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/election"
	"github.com/aquarium-fish/aquarium-fish/lib/lifecycle"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// keeping is a node's driver that manages images: it has those of what it
// pulled, which takes a while.
type keeping struct {
	*host
	has *atomic.Bool
}

func (k keeping) Cached(model.LabelDefinition) bool { return k.has.Load() }

func (keeping) ListImages(context.Context) ([]drivers.ImageStatus, error) { return nil, nil }
func (keeping) RemoveImage(context.Context, string) error                 { return nil }

func (k keeping) PullImages(ctx context.Context, _ model.LabelDefinition) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Minute):
		k.has.Store(true)
		return nil
	}
}

// TestNodeThatPulledIsChosen: what one node has fetched for an application
// counts in the next election, on all nodes alike, although that node has the
// higher load by then.
func TestNodeThatPulledIsChosen(t *testing.T) {
	inHub(t, 3, func(t *testing.T, h *hub) {
		var has [3]atomic.Bool
		for i, n := range h.nodes {
			driver := keeping{n.host, &has[i]}
			h.restart(i, func(e *election.Options, l *lifecycle.Options) {
				of := func(string) (drivers.Driver, string) { return driver, "" }
				e.Driver, l.Driver = of, of
			})
		}
		h.nodes[0].take(1)
		h.nodes[1].take(1)
		time.Sleep(time.Second)
		label := h.label(definition(1, 1, ""))
		for range 3 {
			app := h.nodes[0].db.create(label)
			h.nodes[0].want(app, model.StatusAllocated, 2*time.Minute)
			if got := h.executor(app); got != 2 {
				t.Errorf("node %d runs it, want 2, the least loaded one and then the one with the image: %+v", got, h.nodes[0].entry(app).Fold.Grant.Decision)
			}
		}
		if has[0].Load() || has[1].Load() || !has[2].Load() {
			t.Error("not the one node has pulled that was chosen")
		}
	})
}
