package lifecycle_test

import (
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/election"
	"github.com/aquarium-fish/aquarium-fish/lib/lifecycle"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

var other = model.UID{9, 9, 9}

// life is an application after so many rows.
func life(open []uint32, rows ...model.ApplicationState) *model.Entry {
	e := &model.Entry{
		Application: model.Application{UID: model.UID{50}, Arbiter: other},
		States:      append([]model.ApplicationState{{UID: model.UID{1}, Status: model.StatusNew}}, rows...),
	}
	for i := range e.States {
		e.States[i].HLC = model.HLC(i + 1)
	}
	e.Fold = model.FoldStates(e.States)
	for _, epoch := range open {
		e.Allocations = append(e.Allocations, model.Allocation{Epoch: epoch, NodeUID: self})
	}
	return e
}

func grantOf(epoch uint32, winner model.UID) model.ApplicationState {
	return model.ApplicationState{
		UID: model.UID{2, byte(epoch)}, Status: model.StatusElected, Epoch: epoch, NodeUID: other, Decision: &model.Decision{Winner: winner},
	}
}

func rowOf(status model.Status, epoch uint32, by model.UID) model.ApplicationState {
	return model.ApplicationState{UID: model.UID{3, byte(epoch), by[0], status[2]}, Status: status, Epoch: epoch, NodeUID: by}
}

// TestNextAmongOthers: what an executor does that is not the only one.
func TestNextAmongOthers(t *testing.T) {
	task := []model.ApplicationTask{{UID: model.UID{60}, When: "ALLOCATED"}}
	tests := []struct {
		name  string
		entry *model.Entry
		facts lifecycle.Facts
		want  lifecycle.Action
	}{
		{"granted", life(nil, grantOf(1, self)), lifecycle.Facts{Promised: true}, lifecycle.Intend},
		{"granted to another", life(nil, grantOf(1, other)), lifecycle.Facts{Promised: true}, lifecycle.Done},
		{"this process did not vote", life(nil, grantOf(1, self)), lifecycle.Facts{}, lifecycle.Decline},
		{"it voted too long ago", life(nil, grantOf(1, self)), lifecycle.Facts{Promised: true, Promise: 31 * time.Second}, lifecycle.Decline},
		{"another grant came after it", life(nil, grantOf(1, self), grantOf(2, other)), lifecycle.Facts{Promised: true}, lifecycle.Decline},
		{"another grant came after it, and was declined", life(nil, grantOf(1, self), grantOf(2, other), rowOf(model.StatusDeclined, 2, other)),
			lifecycle.Facts{Promised: true}, lifecycle.Decline},
		{"it runs elsewhere by a lower epoch", life(nil, grantOf(1, other), rowOf(model.StatusAllocated, 1, other), grantOf(2, self)),
			lifecycle.Facts{Promised: true}, lifecycle.Decline},
		{"it was over before", life(nil, grantOf(1, other), rowOf(model.StatusDeallocated, 1, other), grantOf(2, self)),
			lifecycle.Facts{Promised: true}, lifecycle.Decline},
		{"intended", life([]uint32{1}, grantOf(1, self)), lifecycle.Facts{Untouched: 1, Promised: true}, lifecycle.Allocate},
		{"slept after the intent", life([]uint32{1}, grantOf(1, self)), lifecycle.Facts{Untouched: 1, Promised: true, Promise: time.Hour}, lifecycle.Withdraw},
		{"overtaken after the intent", life([]uint32{1}, grantOf(1, self), grantOf(2, other)), lifecycle.Facts{Untouched: 1, Promised: true}, lifecycle.Withdraw},
		{"overtaken while the driver works", life([]uint32{1}, grantOf(1, self), grantOf(2, other)), lifecycle.Facts{Promised: true}, lifecycle.Release},
		{"overtaken, but it runs here", life([]uint32{1}, grantOf(1, self), grantOf(2, other), rowOf(model.StatusAllocated, 1, self)),
			lifecycle.Facts{Known: true, Presence: drivers.Running}, lifecycle.Wait},
		{"runs here, and elsewhere by a lower epoch", life([]uint32{2}, grantOf(1, other), rowOf(model.StatusAllocated, 1, other),
			grantOf(2, self), rowOf(model.StatusAllocated, 2, self)), lifecycle.Facts{Known: true, Presence: drivers.Running}, lifecycle.Release},
		{"the same, given back while somebody is logged in", life([]uint32{2}, grantOf(1, other), rowOf(model.StatusAllocated, 1, other),
			grantOf(2, self), rowOf(model.StatusAllocated, 2, self), rowOf(model.StatusDeallocate, 0, other)),
			lifecycle.Facts{Known: true, Presence: drivers.Running, LoggedIn: true, LeaveTime: time.Minute}, lifecycle.Release},
		{"runs here, by a grant that names another now", life([]uint32{1000}, grantOf(1000, other), rowOf(model.StatusAllocated, 1000, self)),
			lifecycle.Facts{Known: true, Presence: drivers.Running}, lifecycle.Release},
		{"intent of an earlier process", life([]uint32{1}, grantOf(1, self)), lifecycle.Facts{Settled: true}, lifecycle.Allocate},
		{"intent of an earlier process, available", life([]uint32{1}, grantOf(1, self)), lifecycle.Facts{}, lifecycle.Inspect},
		{"the same, and nothing runs", life([]uint32{1}, grantOf(1, self)), lifecycle.Facts{Known: true}, lifecycle.Wait},
		{"the same, and it runs", life([]uint32{1}, grantOf(1, self)), lifecycle.Facts{Known: true, Presence: drivers.Running}, lifecycle.Allocate},
		{"tasks of what ended here", withTasks(life(nil, grantOf(1, self), rowOf(model.StatusDeallocated, 1, self)), task), lifecycle.Facts{}, lifecycle.EndTasks},
		{"tasks of what ended elsewhere", withTasks(life(nil, grantOf(1, other), rowOf(model.StatusDeallocated, 1, other)), task), lifecycle.Facts{}, lifecycle.Done},
		{"tasks of what ended on a retired node", withTasks(life(nil, grantOf(1, other), rowOf(model.StatusDeallocated, 1, other)), task),
			lifecycle.Facts{Heir: func(model.UID) model.UID { return self }}, lifecycle.EndTasks},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.facts.Node, tt.facts.Writable = self, true
			tt.facts.StartBy, tt.facts.AllocateTimeout, tt.facts.TaskTimeout = 30*time.Second, time.Hour, time.Hour
			if got := lifecycle.Next(tt.entry, tt.facts); got.Action != tt.want {
				t.Errorf("Next() = %+v, want action %d", got, tt.want)
			}
			concerned := lifecycle.Concerns(tt.entry, self, tt.facts.Heir)
			if done := tt.want == lifecycle.Done; done == concerned {
				t.Errorf("Concerns() = %v with action %d", concerned, tt.want)
			}
		})
	}
}

func withTasks(e *model.Entry, tasks []model.ApplicationTask) *model.Entry {
	e.Tasks = tasks
	return e
}

// TestHoldThatRanOutIsTakenAnew: the grant comes when the room of the vote has
// been given back, and nobody else took it.
func TestHoldThatRanOutIsTakenAnew(t *testing.T) {
	inBubble(t, func(_ *testing.T, f *farm) {
		f.driver.limits = drivers.Limits{CPU: 1}
		f.options = func(o *lifecycle.Options, _ *election.Options) {
			o.Promised = func(_, _ model.UID) (time.Duration, bool) { return 10 * time.Second, true }
		}
		f.start()
		runs := f.apply(f.label())
		f.want(runs, model.StatusAllocated)
		app := f.apply(f.label())
		f.want(app, model.StatusNew)
		grant := model.Change{States: []model.ApplicationState{{
			UID: model.GrantUID(app, 1, self), Status: model.StatusElected, Epoch: 1,
			Decision: &model.Decision{Winner: self, Yes: []model.Vote{{NodeUID: self}}},
		}}}
		f.write(app, grant)
		f.wantDescription(app, model.StatusNew, "No room any more: cpu short: needs 1, free 0 of 1")
		f.recall(runs)
		f.want(app, model.StatusAllocated)
		f.recall(app)
		f.wantNothingLeft()
	})
}
