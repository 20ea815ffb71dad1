package election

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// TestRoleInALapse: what this node accepted before it lost its database waits
// until all are heard, what others decide until they are.
func TestRoleInALapse(t *testing.T) {
	const silent = "the node that decides, its arbiter, can not be reached"
	heard := func(nodes ...byte) func(*Standpoint) {
		return func(s *Standpoint) {
			s.Heard = func(n model.UID) bool {
				for _, m := range nodes {
					if n == node(m) {
						return true
					}
				}
				return false
			}
		}
	}
	taker := nearest(node(50), []model.UID{node(1), node(3)})
	asleep := unheard
	if taker == node(1) {
		asleep = forgetful
	}
	for _, tt := range []struct {
		name   string
		entry  *model.Entry
		change func(*Standpoint)
		want   Role
	}{
		{"its own", entryOf(1), heard(2), Role{Decider: node(1), Asleep: forgetful}},
		{"its own, of after", entryOf(1), func(s *Standpoint) { s.Forgot = func(model.Application) bool { return false } }, Role{Decider: node(1)}},
		{"another's that was not heard", entryOf(2), heard(3), Role{Decider: node(2), Asleep: unheard}},
		{"another's that was heard", entryOf(2), heard(2), Role{Decider: node(2)}},
		{"another's that can not be reached", entryOf(9), heard(9), Role{Decider: node(9), Asleep: silent}},
		{"handed over to another that was heard", entryOf(9), func(s *Standpoint) {
			heard(2)(s)
			s.Handovers = []model.Handover{{NodeUID: node(9), Successor: node(2), HLC: 5}}
		}, Role{Decider: node(2)}},
		{"handed over to this node", entryOf(2), func(s *Standpoint) {
			heard(2)(s)
			s.Handovers = []model.Handover{{NodeUID: node(2), Successor: node(1), HLC: 5}}
		}, Role{Decider: node(1), Asleep: forgetful}},
		{"of a retired one whose successor was heard, which may not know all", entryOf(9), func(s *Standpoint) {
			heard(2)(s)
			s.Retirements = []model.Retirement{{NodeUID: node(9), Successor: node(2), HLC: 5}}
		}, Role{Decider: node(2), Asleep: unheard}},
		{"in place of a silent one, available", entryOf(9), func(s *Standpoint) { heard(2, 3)(s); s.Safety = Available },
			Role{Decider: taker, Takeover: true, Asleep: asleep}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			yes := func() bool { return true }
			s := Standpoint{
				Node: node(1), Safety: Strict, Active: []model.UID{node(1), node(3)}, Ready: true, Covered: yes, CoveredReachable: yes,
				Forgot: func(model.Application) bool { return true },
				Silent: func(n model.UID) time.Duration { return map[model.UID]time.Duration{node(9): silentAfter}[n] },
			}
			tt.change(&s)
			got, open := RoleOf(tt.entry, s)
			if diff := cmp.Diff(tt.want, got); diff != "" || !open {
				t.Errorf("RoleOf() open %v (-want +got):\n%s", open, diff)
			}
		})
	}
}

// faulty is a recall of a node that forgot everything.
type faulty struct{ lapsed bool }

func (f *faulty) Lapsed() bool                  { return f.lapsed }
func (f *faulty) Forgot(model.Application) bool { return f.lapsed }
func (f *faulty) Heard(model.UID) bool          { return false }

// TestPatienceInALapse: strict waits for ever, available for as long as for any
// silent node. What turns out later counts for a standpoint of before.
func TestPatienceInALapse(t *testing.T) {
	for _, tt := range []struct {
		name      string
		safety    Safety
		reachable bool
		wait      time.Duration
		want      bool
	}{
		{"strict", Strict, true, time.Hour, true},
		{"available, at first", Available, true, silentAfter - 1, true},
		{"available, after a while", Available, true, silentAfter, false},
		{"available, while some that can be reached are ahead", Available, false, silentAfter, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			memory, now := &faulty{}, time.Now()
			e := New(Options{Recall: memory, Cluster: Alone{}})
			look := func(at time.Time) Standpoint {
				s := Standpoint{Safety: tt.safety, CoveredReachable: func() bool { return tt.reachable }}
				e.remember(&s, at)
				return s
			}
			before := look(now)
			if before.forgot(model.Application{}) {
				t.Error("forgot something without a lapse")
			}
			memory.lapsed = true
			if !before.forgot(model.Application{}) || !look(now).forgot(model.Application{}) {
				t.Error("the lapse is not seen at once")
			}
			if got := look(now.Add(tt.wait)).forgot(model.Application{}); got != tt.want {
				t.Errorf("forgot = %t after %v, want %t", got, tt.wait, tt.want)
			}
			memory.lapsed = false
			look(now)
			memory.lapsed = true
			if !look(now.Add(tt.wait)).forgot(model.Application{}) {
				t.Error("patience of an earlier lapse counts")
			}
		})
	}
}
