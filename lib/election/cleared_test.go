package election

import (
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// TestASuccessorAsksFirst: what all that is covered says may still have ended,
// if what told of it is gone: others are asked before a grant can follow what a
// retired node may have granted, or run. By force only who can be reached is.
func TestASuccessorAsksFirst(t *testing.T) {
	retired := func(forced bool) []model.Retirement {
		return []model.Retirement{{NodeUID: node(9), Successor: node(1), HLC: 5, Forced: forced}}
	}
	widow := entryOf(1, elected(1, 9))
	for _, tt := range []struct {
		name         string
		entry        *model.Entry
		forced       bool
		all, reached bool // what was said
		decides      bool
	}{
		{"its own", entryOf(1), false, false, false, true},
		{"of a retired one, before all answered", entryOf(9), false, false, true, false},
		{"of a retired one, cleared", entryOf(9), false, true, true, true},
		{"of one retired by force, before those answered that are there", entryOf(9), true, false, false, false},
		{"of one retired by force, cleared by those", entryOf(9), true, false, true, true},
		{"granted to a retired one, before all answered", widow, false, false, true, false},
		{"granted to a retired one, cleared", widow, false, true, true, true},
		{"granted to one retired by force, before those answered that are there", widow, true, false, false, false},
		{"granted to one retired by force, cleared by those", widow, true, false, true, true},
		{"runs on a retired one", entryOf(1, elected(1, 9), wrote(model.StatusAllocated, 1, 9)), false, false, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			yes := func() bool { return true }
			s := Standpoint{
				Node: node(1), Safety: Strict, Active: []model.UID{node(1)}, Ready: true, Retirements: retired(tt.forced), Covered: yes,
				CoveredReachable: yes, Silent: func(model.UID) time.Duration { return 0 },
				Cleared: func(app model.UID, reachable bool) bool {
					if app != tt.entry.Application.UID {
						t.Errorf("asked for %s", app)
					}
					if reachable {
						return tt.reached
					}
					return tt.all
				},
			}
			got := s.decides(tt.entry.Application)
			if widows := widowed(tt.entry, s.Retirements); len(widows) > 0 {
				got = got && s.mournable(tt.entry, widows)
			}
			if got != tt.decides {
				t.Errorf("may go on: %v, want %v", got, tt.decides)
			}
		})
	}
}
