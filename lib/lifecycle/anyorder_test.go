package lifecycle

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// TestNextWhileRowsComeBack: on a restored database the rows of each node come
// back in the order in which it wrote them, but those of different nodes in any.
// Whatever of them is here, what the node runs is never given up on the way.
func TestNextWhileRowsComeBack(t *testing.T) {
	self, arbiter, other := model.UID{1}, model.UID{2}, model.UID{3}
	clock := model.HLC(0)
	row := func(status model.Status, epoch uint32, by model.UID) model.ApplicationState {
		clock++
		return model.ApplicationState{UID: model.UID{9, byte(clock)}, Status: status, Epoch: epoch, HLC: clock, NodeUID: by}
	}
	grant := func(epoch uint32, winner model.UID) model.ApplicationState {
		r := row(model.StatusElected, epoch, arbiter)
		r.Decision = &model.Decision{Winner: winner}
		return r
	}
	for _, tt := range []struct {
		name string
		rows []model.ApplicationState // as they were written; the last is what the node runs
	}{
		{"granted once", []model.ApplicationState{
			row(model.StatusNew, 0, arbiter), grant(1, self), row(model.StatusAllocated, 1, self),
		}},
		{"another one declined first", []model.ApplicationState{
			row(model.StatusNew, 0, arbiter), grant(1, other), row(model.StatusDeclined, 1, other), grant(2, self), row(model.StatusAllocated, 2, self),
		}},
		{"it declined itself first", []model.ApplicationState{
			row(model.StatusNew, 0, arbiter), grant(1, self), row(model.StatusDeclined, 1, self), grant(2, self), row(model.StatusAllocated, 2, self),
		}},
		{"another one was too late", []model.ApplicationState{
			row(model.StatusNew, 0, arbiter), grant(1, other), grant(2, self), row(model.StatusDeclined, 1, other), row(model.StatusAllocated, 2, self),
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			runs := tt.rows[len(tt.rows)-1].Epoch
			for _, known := range prefixes(tt.rows, self, arbiter, other) {
				e := &model.Entry{States: known, Fold: model.FoldStates(known)}
				if epoch, ok := forgotten(e, self); ok { // as TakeBack leaves it
					e.Allocations = []model.Allocation{{Epoch: epoch, NodeUID: self, Token: "t"}}
				}
				step := Next(e, Facts{
					Node: self, Lapsed: true, Writable: true, Settled: true,
					StartBy: time.Second, AllocateTimeout: time.Hour, TaskTimeout: time.Hour,
				})
				if gives := []Action{Decline, Finish, Withdraw, Fail, Expire, Release}; step.Epoch == runs && slices.Contains(gives, step.Action) {
					t.Errorf("what it runs is given up (%s) when it knows %s", actionNames[step.Action], brief(known))
				}
			}
		})
	}
}

// prefixes are all sets of rows that hold, of each node, those that it wrote up to one of them.
func prefixes(rows []model.ApplicationState, nodes ...model.UID) [][]model.ApplicationState {
	sets := [][]model.ApplicationState{nil}
	for _, node := range nodes {
		var longer [][]model.ApplicationState
		for _, set := range sets {
			longer = append(longer, set)
			for _, r := range rows {
				if r.NodeUID == node {
					set = append(slices.Clone(set), r)
					longer = append(longer, set)
				}
			}
		}
		sets = longer
	}
	return sets
}

func brief(rows []model.ApplicationState) string {
	s := "nothing"
	for i, r := range rows {
		if i == 0 {
			s = ""
		}
		s += fmt.Sprintf("%s %d by %x; ", r.Status, r.Epoch, r.NodeUID[0])
	}
	return s
}
