package election_test

import (
	"context"
	"errors"
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
				for _, n := range h.nodes {
					n.ledger.Restore(model.UID{99}, 1, claim(4), true)
				}
				if tt.waits {
					h.nodes[0].db.create(h.label(definition(1, 1, "")))
				}
				time.Sleep(time.Second)
				e := h.nodes[0].election
				if e.Giving() {
					t.Error("a node at work takes no applications")
				}
				successor, err := e.HandOver(t.Context(), election.Handing{
					Store: h.nodes[0].db, Acknowledge: func(context.Context, model.UID) error { return tt.err },
				})
				if !errors.Is(err, tt.err) || (successor != model.NilUID) != (tt.waits && tt.err == nil) {
					t.Errorf("HandOver() = %v, %v", successor, err)
				}
				if e.Giving() != tt.want {
					t.Errorf("Giving() = %v, want %v", e.Giving(), tt.want)
				}
			})
		})
	}
}
