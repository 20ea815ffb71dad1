package election_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/election"
	"github.com/aquarium-fish/aquarium-fish/lib/lifecycle"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// keeping is a node's driver that manages images: it has those of what it was
// asked for once, a while later, whoever still waits for them.
type keeping struct {
	*host
	takes time.Duration

	once sync.Once
	done chan struct{} // closed when they are there
}

func newKeeping(h *host, takes time.Duration) *keeping {
	return &keeping{host: h, takes: takes, done: make(chan struct{})}
}

func (k *keeping) Cached(model.LabelDefinition) bool {
	select {
	case <-k.done:
		return true
	default:
		return false
	}
}

func (*keeping) ListImages(context.Context) ([]drivers.ImageStatus, error) { return nil, nil }
func (*keeping) RemoveImage(context.Context, string) error                 { return nil }

func (k *keeping) PullImages(ctx context.Context, _ model.LabelDefinition) error {
	k.once.Do(func() { time.AfterFunc(k.takes, func() { close(k.done) }) })
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-k.done:
		return nil
	}
}

// keepImages makes all nodes of the farm ones that manage images.
func (h *hub) keepImages(takes time.Duration) []*keeping {
	var all []*keeping
	for i, n := range h.nodes {
		driver := newKeeping(n.host, takes)
		all = append(all, driver)
		h.restart(i, func(e *election.Options, l *lifecycle.Options) {
			of := func(string) (drivers.Driver, string) { return driver, "" }
			e.Driver, l.Driver = of, of
		})
	}
	return all
}

// TestNodeThatPulledIsChosen: what one node has fetched for an application
// counts in the next election, on all nodes alike, although that node has the
// higher load by then.
func TestNodeThatPulledIsChosen(t *testing.T) {
	inHub(t, 3, func(t *testing.T, h *hub) {
		keepers := h.keepImages(time.Minute)
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
		for i, k := range keepers {
			if k.Cached(model.LabelDefinition{}) != (i == 2) {
				t.Errorf("node %d has its images: %v", i, i != 2)
			}
		}
	})
}

// TestImpatientClientOfAFarm: a download of 12 minutes and a client that gives
// up after 5. Its second and third request may come to other nodes, which begin
// downloads of their own; the first one after a download has ended goes to the
// node that has the image.
func TestImpatientClientOfAFarm(t *testing.T) {
	inHub(t, 3, func(t *testing.T, h *hub) {
		h.keepImages(12 * time.Minute)
		time.Sleep(time.Second)
		label := h.label(definition(1, 1, ""))
		for request := 1; ; request++ {
			app := h.nodes[0].db.create(label)
			patience := 5 * time.Minute
			if request == 4 { // a node has the image by now
				patience = 10 * time.Second
			}
			for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
				if time.Sleep(5 * time.Second); h.nodes[0].entry(app).Fold.Current.Status == model.StatusAllocated {
					return
				}
			}
			if request == 4 {
				t.Fatalf("nothing after %d requests: %+v", request, h.nodes[0].entry(app).States)
			}
			h.nodes[0].recall(app)
			h.wantOver(app, time.Second)
		}
	})
}
