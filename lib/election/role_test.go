package election

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// entryOf is an application of the node with so many rows after NEW.
func entryOf(arbiter byte, rows ...model.ApplicationState) *model.Entry {
	states := append([]model.ApplicationState{{UID: node(1), Status: model.StatusNew, HLC: 1}}, rows...)
	return &model.Entry{
		Application: model.Application{UID: node(50), Arbiter: node(arbiter), HLC: 1}, States: states, Fold: model.FoldStates(states),
	}
}

func elected(epoch uint32, winner byte) model.ApplicationState {
	return model.ApplicationState{
		UID: model.GrantUID(node(50), epoch, node(9)), Status: model.StatusElected, Epoch: epoch, HLC: model.HLC(epoch) + 1,
		Decision: &model.Decision{Winner: node(winner)},
	}
}

func wrote(status model.Status, epoch uint32, by byte) model.ApplicationState {
	return model.ApplicationState{UID: model.UID{by, byte(epoch), 7}, Status: status, Epoch: epoch, HLC: 100, NodeUID: node(by)}
}

func TestRoleOf(t *testing.T) {
	taker := nearest(node(50), []model.UID{node(1), node(3)})
	tests := []struct {
		name   string
		entry  *model.Entry
		change func(*Standpoint)
		want   Role
		open   bool
	}{
		{"its own", entryOf(1), nil, Role{Decider: node(1)}, true},
		{"another's", entryOf(2), nil, Role{Decider: node(2)}, true},
		{"another's, granted", entryOf(2, elected(1, 3)), nil, Role{Decider: node(2)}, false},
		{"its own, while it catches up", entryOf(1), func(s *Standpoint) { s.Ready = false }, Role{Decider: node(1), Asleep: notReady}, true},
		{"of a silent one", entryOf(9), nil, Role{Decider: node(9), Asleep: "the node that decides, its arbiter, can not be reached"}, true},
		{"of one that is silent for long, available", entryOf(9), func(s *Standpoint) { s.Safety = Available },
			Role{Decider: taker, Takeover: true}, true},
		{"of one that is not silent for that long, available", entryOf(8), func(s *Standpoint) { s.Safety = Available },
			Role{Decider: node(8), Asleep: "the node that decides, its arbiter, can not be reached"}, true},
		{"granted to one that is silent for long", entryOf(1, elected(1, 9)), nil, Role{Decider: node(1)}, false},
		{"granted to one that is silent for long, available", entryOf(1, elected(1, 9)), func(s *Standpoint) { s.Safety = Available },
			Role{Decider: node(1), Replaces: 1}, true},
		{"the same, before all who are there said that they know of no end", entryOf(1, elected(1, 9)), func(s *Standpoint) {
			s.Safety, s.Cleared = Available, func(_ model.UID, reachable bool) bool { return !reachable }
		}, Role{Decider: node(1), Replaces: 1, Asleep: asksForAnEnd}, true},
		{"the same, and they did", entryOf(1, elected(1, 9)), func(s *Standpoint) {
			s.Safety, s.Cleared = Available, func(_ model.UID, reachable bool) bool { return reachable }
		}, Role{Decider: node(1), Replaces: 1}, true},
		{"the same, and it runs there", entryOf(1, elected(1, 9), wrote(model.StatusAllocated, 1, 9)), func(s *Standpoint) { s.Safety = Available },
			Role{Decider: node(1)}, false},
		{"the same, and it was given up", entryOf(1, elected(1, 9), wrote(model.StatusRecalled, 0, 3)), func(s *Standpoint) { s.Safety = Available },
			Role{Decider: node(1)}, false},
		{"granted by a silent one to a silent one, available", entryOf(9, elected(1, 9)), func(s *Standpoint) { s.Safety = Available },
			Role{Decider: node(9), Replaces: 1, Asleep: "the node that decides, its arbiter, can not be reached"}, true},
		{"successor of a retired one", entryOf(9), func(s *Standpoint) {
			s.Retirements = []model.Retirement{{NodeUID: node(9), Successor: node(1), HLC: 5}}
		},
			Role{Decider: node(1)}, true},
		{"successor of a retired one that does not know all", entryOf(9), func(s *Standpoint) {
			s.Retirements, s.Covered = []model.Retirement{{NodeUID: node(9), Successor: node(1), HLC: 5}}, func() bool { return false }
		}, Role{Decider: node(1), Asleep: uninherited}, true},
		{"successor by force that does not know all of those that are there", entryOf(9), func(s *Standpoint) {
			s.Retirements = []model.Retirement{{NodeUID: node(9), Successor: node(1), HLC: 5, Forced: true}}
			s.Covered, s.CoveredReachable = func() bool { return false }, func() bool { return false }
		}, Role{Decider: node(1), Asleep: uninherited}, true},
		{"successor by force, along a chain", entryOf(9), func(s *Standpoint) {
			s.Retirements = []model.Retirement{{NodeUID: node(9), Successor: node(7), HLC: 5}, {NodeUID: node(7), Successor: node(1), HLC: 6, Forced: true}}
			s.Covered = func() bool { return false }
		}, Role{Decider: node(1)}, true},
		{"successor while another node was retired by force", entryOf(9), func(s *Standpoint) {
			s.Retirements = []model.Retirement{{NodeUID: node(9), Successor: node(1), HLC: 5}, {NodeUID: node(7), Successor: node(1), HLC: 6, Forced: true}}
			s.Covered = func() bool { return false }
		}, Role{Decider: node(1), Asleep: uninherited}, true},
		{"successor by handover, which acknowledged all", entryOf(9), func(s *Standpoint) {
			s.Handovers, s.Covered = []model.Handover{{NodeUID: node(9), Successor: node(1), HLC: 5}}, func() bool { return false }
		}, Role{Decider: node(1)}, true},
		{"nobody is left", entryOf(9), func(s *Standpoint) {
			s.Retirements = []model.Retirement{{NodeUID: node(9), Successor: node(9), HLC: 5}}
		},
			Role{Asleep: "the node that decides, its arbiter, can not be reached"}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := Standpoint{
				Node: node(1), Safety: Strict, Active: []model.UID{node(1), node(3)}, Ready: true, Covered: func() bool { return true },
				CoveredReachable: func() bool { return true },
				Silent: func(n model.UID) time.Duration {
					return map[model.UID]time.Duration{node(8): silentAfter - 1, node(9): silentAfter}[n]
				},
			}
			if tt.change != nil {
				tt.change(&s)
			}
			got, open := RoleOf(tt.entry, s)
			if diff := cmp.Diff(tt.want, got); diff != "" || open != tt.open {
				t.Errorf("RoleOf() open %v (-want +got):\n%s", open, diff)
			}
		})
	}
}

// TestTakeoverAsksFirst: who decides in place of a silent arbiter may have been away itself, while the application ran,
// ended and was removed by all. The others need not ask.
func TestTakeoverAsksFirst(t *testing.T) {
	for _, tt := range []struct {
		name                   string
		self, active           byte
		cleared                bool
		wantAsked, wantDecides bool
	}{
		{"who decides, before the others answered", 1, 1, false, true, false},
		{"who decides", 1, 1, true, true, true},
		{"another one", 3, 1, false, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			asked := false
			role, open := RoleOf(entryOf(9), Standpoint{
				Node: node(tt.self), Safety: Available, Active: []model.UID{node(tt.active)}, Ready: true,
				Silent: func(model.UID) time.Duration { return silentAfter },
				Cleared: func(_ model.UID, reachable bool) bool {
					asked = reachable
					return tt.cleared
				},
			})
			if !open || !role.Takeover || role.Decider != node(tt.active) || asked != tt.wantAsked || (role.Asleep == "") != tt.wantDecides {
				t.Errorf("RoleOf = %+v, %v, asked %v; want it to decide %v, asked %v", role, open, asked, tt.wantDecides, tt.wantAsked)
			}
		})
	}
}

// TestNearestIsStable: who leaves changes it only for what it was nearest to.
func TestNearestIsStable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var nodes []model.UID
		for n := range byte(rapid.IntRange(1, 8).Draw(t, "nodes")) {
			nodes = append(nodes, node(n+1))
		}
		app := node(rapid.Byte().Draw(t, "app"))
		best := nearest(app, nodes)
		if again := nearest(app, rapid.Permutation(nodes).Draw(t, "order")); again != best {
			t.Fatalf("the order decides: %v and %v", best, again)
		}
		gone := rapid.SampledFrom(nodes).Draw(t, "gone")
		var rest []model.UID
		for _, n := range nodes {
			if n != gone {
				rest = append(rest, n)
			}
		}
		if got := nearest(app, rest); gone != best && got != best {
			t.Fatalf("nearest() is %v after %v left, was %v", got, gone, best)
		}
	})
}

func TestWhatEndsWithARetiredNode(t *testing.T) {
	retired := []model.Retirement{{NodeUID: node(9), Successor: node(1), HLC: 5}}
	name := func(model.UID) string { return "mac-3" }
	tests := []struct {
		name  string
		entry *model.Entry
		want  []model.Status
	}{
		{"it runs there", entryOf(1, elected(1, 9), wrote(model.StatusAllocated, 1, 9)), []model.Status{model.StatusError}},
		{"it is to be released there", entryOf(1, elected(1, 9), wrote(model.StatusAllocated, 1, 9), wrote(model.StatusDeallocate, 0, 3)), []model.Status{model.StatusError}},
		{"it was given up before it ran", entryOf(1, elected(1, 9), wrote(model.StatusRecalled, 0, 3)), []model.Status{model.StatusError}},
		{"it was granted", entryOf(1, elected(1, 9)), []model.Status{model.StatusDeclined}},
		{"another grant came after it", entryOf(1, elected(1, 9), elected(2, 3), wrote(model.StatusAllocated, 2, 3)), []model.Status{model.StatusDeclined}},
		{"it was declined", entryOf(1, elected(1, 9), wrote(model.StatusDeclined, 1, 9)), nil},
		{"it is over", entryOf(1, elected(1, 9), wrote(model.StatusDeallocated, 1, 9)), nil},
		{"it runs elsewhere", entryOf(1, elected(1, 3)), nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.entry.Tasks = []model.ApplicationTask{{UID: node(60)}}
			change := bury(tt.entry, widowed(tt.entry, retired), name)
			var got []model.Status
			for _, s := range change.States {
				got = append(got, s.Status)
				if s.Description != "Node mac-3 was retired" || s.Epoch != 1 {
					t.Errorf("row %+v", s)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("rows (-want +got):\n%s", diff)
			}
			if over := len(got) > 0 && got[0] == model.StatusError; over != (len(change.Tasks) == 1 && change.Tasks[0].Ended()) {
				t.Errorf("tasks are %+v", change.Tasks)
			}
			after := append(tt.entry.States, change.States...)
			if len(got) > 0 && got[0] == model.StatusDeclined && len(tt.entry.States) == 2 && !model.FoldStates(after).Waiting() {
				t.Error("it does not wait for another grant")
			}
		})
	}
}

func TestGrant(t *testing.T) {
	d := model.Decision{Winner: node(3)}
	tests := []struct {
		name  string
		entry *model.Entry
		role  Role
		epoch uint32 // 0 for no grant
	}{
		{"the first", entryOf(1), Role{}, 1},
		{"after a decline", entryOf(1, elected(1, 9), wrote(model.StatusDeclined, 1, 9)), Role{}, 2},
		{"granted already", entryOf(1, elected(1, 9)), Role{}, 0},
		{"in place of a silent arbiter", entryOf(1), Role{Takeover: true}, 1000},
		{"once more in place of it", entryOf(1, elected(1000, 9), wrote(model.StatusDeclined, 1000, 9)), Role{Takeover: true}, 1001},
		{"in place of a silent winner", entryOf(1, elected(1, 9)), Role{Replaces: 1}, 2},
		{"in place of one who began meanwhile", entryOf(1, elected(1, 9), wrote(model.StatusAllocated, 1, 9)), Role{Replaces: 1}, 0},
		{"in place of one that was replaced meanwhile", entryOf(1, elected(1, 9), elected(2, 3)), Role{Replaces: 1}, 0},
		{"what was given up meanwhile", entryOf(1, wrote(model.StatusRecalled, 0, 3)), Role{}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := grant(tt.entry, d, "n", tt.role)
			var got uint32
			if len(c.States) > 0 {
				got = c.States[0].Epoch
				if c.States[0].UID != model.GrantUID(node(50), got, tt.role.Decider) {
					t.Errorf("UID %v does not follow from the epoch", c.States[0].UID)
				}
			}
			if got != tt.epoch {
				t.Errorf("grants epoch %d, want %d", got, tt.epoch)
			}
		})
	}
}
