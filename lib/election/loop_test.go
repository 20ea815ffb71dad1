package election

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/capacity"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

// shelf is a database of labels that takes every write and changes nothing.
type shelf struct {
	labels map[model.UID]model.Label
}

func (shelf) Subscribe(...store.Kind) *store.Subscription { return nil }
func (shelf) Open() []*model.Entry                        { return nil }
func (shelf) Writable() error                             { return nil }
func (shelf) Doubt(model.Application) store.Doubt         { return store.Certain }

func (shelf) Application(context.Context, model.UID) (*model.Entry, error) {
	return nil, store.ErrNotFound
}

func (s shelf) Label(uid model.UID) (model.Label, bool) {
	l, ok := s.labels[uid]
	return l, ok
}

func (shelf) Update(context.Context, model.UID, func(*model.Entry) (model.Change, error)) (*model.Entry, error) {
	return &model.Entry{}, nil
}

// newShelved returns an election over that many labels, none of which fits.
func newShelved(labels int) *Election {
	s := shelf{labels: map[model.UID]model.Label{}}
	for i := range labels {
		s.labels[node(byte(i))] = model.Label{UID: node(byte(i)), Definitions: []model.LabelDefinition{def("good"), def("good")}}
	}
	return New(Options{
		Node: node(200), NodeName: "n", Store: s, Ledger: capacity.NewLedger(),
		Driver:      func(string) (drivers.Driver, string) { return plain{}, "" },
		Configured:  func(string) bool { return true },
		Maintenance: func() bool { return false }, Cluster: Alone{Node: node(200)}, Promises: NewPromises(uptime()),
		StarvationAfter: 10 * time.Minute, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
}

// uptime is a boot clock that never sleeps.
func uptime() func() time.Duration {
	start := time.Now()
	return func() time.Duration { return time.Since(start) }
}

// enqueue makes an application of the label wait.
func (e *Election) enqueue(n int, label byte) model.Application {
	app := waiting(n, label).Application
	app.Arbiter, app.CreatedAt = e.opts.Node, time.Now()
	e.consider(&model.Entry{
		Application: app, Fold: model.FoldStates([]model.ApplicationState{{Status: model.StatusNew}}),
	}, e.standpoint())
	return app
}

// TestOrphanLeavesTheQueue deletes a label, and the feed tells nothing of the
// end that the election itself wrote, as when it has become a resync.
func TestOrphanLeavesTheQueue(t *testing.T) {
	e := newShelved(1)
	e.enqueue(1, 0)
	e.enqueue(2, 1) // of no label
	e.enqueue(3, 1)
	e.pass(t.Context())
	if n := len(e.OpenVotes()); n != 1 {
		t.Errorf("%d applications wait, want those without label to be gone", n)
	}
}

// TestResyncTakesOutWhatIsOver although the feed did not tell: a resync stands
// for any news.
func TestResyncTakesOutWhatIsOver(t *testing.T) {
	e := newShelved(1)
	e.enqueue(1, 0)
	e.resync(t.Context())
	if n := len(e.OpenVotes()); n != 0 {
		t.Errorf("%d applications wait of which the database knows nothing", n)
	}
}

// TestOrphanOfAnotherArbiter is not ended by a node that gives its role away.
func TestOrphanOfAnotherArbiter(t *testing.T) {
	e := newShelved(0)
	app := e.enqueue(1, 0)
	entry := &model.Entry{Application: app, Fold: model.FoldStates([]model.ApplicationState{{Status: model.StatusNew}})}
	for _, giving := range []bool{false, true} {
		e.giving = giving
		if change, err := orphaned(e.standpoint())(entry); err != nil || change.Empty() != giving {
			t.Errorf("giving %v: change %+v, %v", giving, change, err)
		}
	}
}

// BenchmarkPass is one pass over 10,000 applications of 50 labels that all
// have to wait, young ones and starving ones.
func BenchmarkPass(b *testing.B) {
	for name, starvation := range map[string]time.Duration{"young": time.Hour, "starving": 1} {
		b.Run(name, func(b *testing.B) {
			e := newShelved(50)
			e.opts.StarvationAfter = starvation
			for i := range 10_000 {
				e.enqueue(i, byte(i%50))
			}
			b.ReportAllocs()
			for b.Loop() {
				e.pass(b.Context())
				e.untilNext()
			}
		})
	}
}
