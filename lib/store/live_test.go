package store

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// TestLive follows two applications of alice and one of bob: what is live, and what became done from a time on, also
// after a restart has emptied the memory of it.
func TestLive(t *testing.T) {
	s := openStore(t, testOptions(t))
	label := newLabel(t, s).UID
	var uids []model.UID
	for _, owner := range []string{"alice", "bob", "alice"} {
		uids = append(uids, newApplication(t, s, label, owner).Application.UID)
	}
	began := time.Now()
	for _, c := range []model.Change{elected(uids[0], 1), intent(1), allocated(1)} {
		update(t, s, uids[0], c)
	}
	ended := update(t, s, uids[0], deallocated(update(t, s, uids[0], requested()), 1))
	if !ended.Done() {
		t.Fatal("the first application is not done")
	}
	admin, alice, bob := Caller{Name: "admin", Admin: true}, Caller{Name: "alice"}, Caller{Name: "bob"}
	for _, again := range []bool{false, true} {
		if again {
			s = reopen(t, s)
		}
		for _, tt := range []struct {
			name   string
			caller Caller
			since  time.Time
			want   []model.UID
		}{
			{"the admin", admin, time.Time{}, []model.UID{uids[1], uids[2]}},
			{"alice", alice, time.Time{}, []model.UID{uids[2]}},
			{"the admin, with the ended one in its place", admin, began, uids},
			{"alice, with the ended one", alice, began, []model.UID{uids[0], uids[2]}},
			{"bob, with the ended ones", bob, began, []model.UID{uids[1]}},
			{"nothing ended since", admin, time.Now().Add(time.Hour), []model.UID{uids[1], uids[2]}},
		} {
			entries, err := s.Live(t.Context(), tt.caller, tt.since)
			var got []model.UID
			for _, e := range entries {
				got = append(got, e.Application.UID)
				if e.Application.UID == uids[0] && e.Fold.Status() != model.StatusDeallocated {
					t.Errorf("%s: the ended one is %s", tt.name, e.Fold.Status())
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
				t.Errorf("%s, reopened %v: Live() error %v (-want +got):\n%s", tt.name, again, err, diff)
			}
		}
	}
	if len(s.Open()) != 2 {
		t.Errorf("Open() has %d applications after Live, want 2", len(s.Open()))
	}
}
