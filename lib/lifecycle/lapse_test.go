package lifecycle

import (
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// TestNextInALapse: what this node may have begun or ended, and forgot, it
// neither begins nor declines before it knows.
func TestNextInALapse(t *testing.T) {
	self, other := model.UID{1}, model.UID{2}
	granted := func(epoch uint32, winner model.UID) model.ApplicationState {
		return model.ApplicationState{
			UID: model.UID{byte(epoch), 9}, Status: model.StatusElected, Epoch: epoch, HLC: model.HLC(10 * epoch), Decision: &model.Decision{Winner: winner},
		}
	}
	wrote := func(status model.Status, epoch uint32, by model.UID) model.ApplicationState {
		return model.ApplicationState{UID: model.UID{byte(epoch), by[0], byte(len(status))}, Status: status, Epoch: epoch, HLC: 100, NodeUID: by}
	}
	open := model.Allocation{Epoch: 1, NodeUID: self, Token: "t"}
	rows := func(s ...model.ApplicationState) []model.ApplicationState { return s }
	for _, tt := range []struct {
		name   string
		states []model.ApplicationState
		intent bool
		facts  Facts
		want   Action
	}{
		{"a grant without intent", rows(granted(1, self)), false, Facts{Lapsed: true}, Wait},
		{"the same, before the drivers were asked", rows(granted(1, self)), false, Facts{Lapsed: true, Unsearched: true}, Search},
		{"the same, when all were heard", rows(granted(1, self)), false, Facts{Unsearched: true}, Search},
		{"the same, when the drivers know nothing either", rows(granted(1, self)), false, Facts{}, Decline},
		{"given up meanwhile", rows(granted(1, self), wrote(model.StatusRecalled, 0, other)), false, Facts{Lapsed: true}, Wait},
		{"a grant by a vote since", rows(granted(1, self)), false, Facts{Lapsed: true, Unsearched: true, Promised: true}, Intend},
		{"one that it ran, as others say", rows(granted(1, self), wrote(model.StatusAllocated, 1, self)), false, Facts{Lapsed: true}, TakeBack},
		{"the same, to be released", rows(granted(1, self), wrote(model.StatusAllocated, 1, self), wrote(model.StatusDeallocate, 0, other)), false,
			Facts{}, TakeBack},
		{"the same, over", rows(granted(1, self), wrote(model.StatusAllocated, 1, self), wrote(model.StatusDeallocated, 1, self)), false,
			Facts{Lapsed: true, Unsearched: true}, Done},
		{"taken up again before its grant is known", rows(wrote(model.StatusAllocated, 1, self)), true, Facts{Lapsed: true}, Inspect},
		{"the same, which is another node's", rows(wrote(model.StatusAllocated, 1, other)), true, Facts{Lapsed: true}, Release},
		{"the same, when its grant names another node", rows(wrote(model.StatusAllocated, 1, self), granted(1, other)), true,
			Facts{Lapsed: true}, Release},
		{"the same, when a later grant is known", rows(wrote(model.StatusAllocated, 1, self), granted(2, other)), true, Facts{}, Inspect},
		{"the same, and over", rows(wrote(model.StatusAllocated, 1, self), wrote(model.StatusDeallocated, 1, self)), true, Facts{}, Release},
		{"one that another grant came after", rows(granted(1, self), granted(2, other)), false, Facts{Lapsed: true}, Wait},
		{"the same, when all were heard", rows(granted(1, self), granted(2, other)), false, Facts{}, Decline},
		{"an intent of the copy", rows(granted(1, self)), true, Facts{Lapsed: true}, Wait},
		{"the same, whose environment runs", rows(granted(1, self)), true, Facts{Lapsed: true, Known: true, Presence: drivers.Running}, Wait},
		{"the same, when all were heard", rows(granted(1, self)), true, Facts{}, Allocate},
		{"an intent of this process", rows(granted(1, self)), true, Facts{Lapsed: true, Intended: 1, Untouched: 1, Promised: true}, Allocate},
		{"the same, tried before", rows(granted(1, self)), true, Facts{Lapsed: true, Intended: 1}, Allocate},
		{"the same, of before it was noticed", rows(granted(1, self)), true, Facts{Lapsed: true, Intended: 1, Untouched: 1}, Wait},
		{"one that runs in the copy", rows(granted(1, self), wrote(model.StatusAllocated, 1, self)), true, Facts{Lapsed: true}, Inspect},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := &model.Entry{States: tt.states, Fold: model.FoldStates(tt.states)}
			if tt.intent {
				e.Allocations = []model.Allocation{open}
			}
			f := tt.facts
			f.Node, f.StartBy, f.Writable, f.Settled, f.AllocateTimeout, f.TaskTimeout = self, time.Second, true, true, time.Hour, time.Hour
			step := Next(e, f)
			if step.Action != tt.want {
				t.Errorf("Next() = %+v, want action %d", step, tt.want)
			}
			if step.Action == Wait && step.Reason != unheard {
				t.Errorf("it waits and says %q", step.Reason)
			}
		})
	}
}

// TestPromisesOfBeforeALapse count for nothing.
func TestPromisesOfBeforeALapse(t *testing.T) {
	for _, tt := range []struct {
		promised   bool
		age, lapse time.Duration
		want       bool
	}{
		{true, time.Second, 2 * time.Second, true},
		{true, 2 * time.Second, time.Second, false},
		{false, 0, time.Second, false},
	} {
		if got := lapsedPromise(Facts{Promised: tt.promised, Promise: tt.age}, tt.lapse); got != tt.want {
			t.Errorf("%+v: got %t", tt, got)
		}
	}
}
