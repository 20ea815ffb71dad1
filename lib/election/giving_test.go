package election_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/election"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// TestGiving: who hands over takes no new applications, which nobody would decide while it is away, also if nothing waits;
// who could not goes on as before.
func TestGiving(t *testing.T) {
	for name, tt := range map[string]struct {
		waits bool
		err   error // of the successor
		want  bool
	}{
		"handed over":  {waits: true, want: true},
		"nothing":      {want: true},
		"nobody takes": {waits: true, err: errors.New("it hangs")},
	} {
		t.Run(name, func(t *testing.T) {
			inHub(t, 2, func(t *testing.T, h *hub) {
				h.fill()
				if tt.waits {
					h.nodes[0].db.create(h.label(definition(1, 1, "")))
				}
				time.Sleep(time.Second)
				e := h.nodes[0].election
				if giving(e) {
					t.Error("a node at work takes no applications")
				}
				successor, err := e.HandOver(t.Context(), election.Handing{
					Store: h.nodes[0].db, Acknowledge: func(context.Context, model.UID) error { return tt.err },
				})
				if !errors.Is(err, tt.err) || (successor != model.NilUID) != (tt.waits && tt.err == nil) {
					t.Errorf("HandOver() = %v, %v", successor, err)
				}
				if giving(e) != tt.want {
					t.Errorf("it takes no new applications: %v, want %v", giving(e), tt.want)
				}
			})
		})
	}
}

// giving reports whether the node takes no new applications.
func giving(e *election.Election) bool {
	done, ok := e.Admit()
	if ok {
		done()
	}
	return !ok
}

// TestHandOverWaitsForWhatIsAccepted: a request that was let in before the
// handover and is stored late is handed over, or the handover fails; the node
// never keeps it for the time that it is away.
func TestHandOverWaitsForWhatIsAccepted(t *testing.T) {
	for name, stored := range map[string]bool{"stored in time": true, "stalls": false} {
		t.Run(name, func(t *testing.T) {
			inHub(t, 2, func(t *testing.T, h *hub) {
				h.fill()
				time.Sleep(time.Second)
				giver, label := h.nodes[0], h.label(definition(1, 1, ""))
				done, ok := giver.election.Admit()
				if !ok {
					t.Fatal("a node at work takes no applications")
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				var successor model.UID
				var err error
				var over sync.WaitGroup
				over.Go(func() {
					successor, err = giver.election.HandOver(ctx, election.Handing{
						Store: giver.db, Acknowledge: func(context.Context, model.UID) error { return nil },
					})
				})
				time.Sleep(10 * time.Second)
				if !giving(giver.election) {
					t.Error("it takes more while it waits")
				}
				var app model.UID
				if stored {
					app = giver.db.create(label)
					done()
					done() // counts once
				}
				over.Wait()
				if !stored {
					if !errors.Is(err, context.DeadlineExceeded) || giving(giver.election) {
						t.Errorf("HandOver() = %v, giving %v; want it to fail, and the node to decide as before", err, giving(giver.election))
					}
					done()
					return
				}
				entry, lookErr := giver.db.Application(t.Context(), app)
				if err != nil || lookErr != nil {
					t.Fatal(err, lookErr)
				}
				retirements, handovers := giver.db.Succession()
				if got := model.Arbiter(entry.Application, retirements, handovers); successor != h.nodes[1].uid || got != successor {
					t.Errorf("handed to %s, and %s decides about what was stored late; want both %s", successor, got, h.nodes[1].uid)
				}
			})
		})
	}
}
