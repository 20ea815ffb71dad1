package store

import (
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// Descriptions of the rows that end what v0.7 left behind.
const (
	descNotCleaned = "Found not cleaned up resource" // as contract 11 has it
	descLost       = "Resource was lost before the upgrade"
	descStuck      = "Was still being allocated when the node was upgraded"
	descNothing    = "Nothing was left of it at the upgrade"
	descRecalled   = "Was recalled before it was allocated"
	taskTooLate    = "the application ended before the task could run"
)

// oldLife is one application of v0.7 with all that was stored of it.
type oldLife struct {
	entry    model.Entry      // Application, States oldest first, Tasks, Resource
	label    model.Label      // zero if it was deleted
	executor model.UID        // the node that ran it
	now      time.Time        // of the adoption
	uids     func() model.UID // for rows that v0.7 did not write
}

// adopt turns a history of v0.7, in which the newest row was the state, into
// one that folds to the same state where that was true, and to one that the
// node can bring to an end where it was not. Every execution becomes epoch 1.
func (l oldLife) adopt() model.Entry {
	e := l.entry
	e.States = l.withEpochs(e.States)
	fold := model.FoldStates(e.States)
	switch {
	case len(e.States) == 0:
		l.end(&e, model.StatusNew, 0, "Just created by Fish v0.7")
	case e.Resource != nil:
		e.Allocations = []model.Allocation{l.allocation(fold)}
	case fold.Final: // it ended as it should
	case fold.Allocated != nil && fold.Request != nil, fold.Request != nil && fold.Request.Status == model.StatusDeallocate:
		l.end(&e, model.StatusDeallocated, 1, descNothing)
	case fold.Allocated != nil:
		l.end(&e, model.StatusError, 1, descLost)
	case fold.Request != nil:
		if fold.Grant != nil {
			l.end(&e, model.StatusDeclined, 1, descRecalled)
		}
		l.end(&e, model.StatusClosed, 0, descRecalled)
	case fold.Grant != nil:
		l.end(&e, model.StatusError, 1, descStuck)
	}
	e.Fold = model.FoldStates(e.States)
	if e.Fold.Status() != model.StatusAllocated {
		e.Resource = nil
	}
	l.endTasks(&e)
	return e
}

// withEpochs gives the rows of the execution their epoch, and a grant where
// v0.7 left none.
func (l oldLife) withEpochs(rows []model.ApplicationState) []model.ApplicationState {
	var out []model.ApplicationState
	granted, executed := false, l.entry.Resource != nil
	for _, row := range rows {
		row.NodeUID = l.executor
		switch row.Status {
		case model.StatusElected:
			granted = true
			row.Epoch, row.Decision = 1, l.decision()
		case model.StatusAllocated:
			executed = true
			row.Epoch = 1
		case model.StatusDeallocated, model.StatusError:
			row.Epoch = 1
		}
		out = append(out, row)
	}
	if executed && !granted {
		app := l.entry.Application
		out = append(out, model.ApplicationState{
			UID: model.GrantUID(app.UID, 1, l.executor), ApplicationUID: app.UID, Status: model.StatusElected, Description: "Elected by Fish v0.7",
			CreatedAt: app.CreatedAt, HLC: app.HLC + 1, Epoch: 1, NodeUID: l.executor, Decision: l.decision(),
		})
	}
	return out
}

func (l oldLife) decision() *model.Decision {
	d := &model.Decision{Winner: l.executor, Yes: []model.Vote{}}
	if r := l.entry.Resource; r != nil {
		d.Definition = r.DefinitionIndex
	}
	return d
}

// allocation is the open allocation of what the Resource stands for: without a
// token, known to the driver by its old identifier.
func (l oldLife) allocation(fold model.Fold) model.Allocation {
	r := l.entry.Resource
	a := model.Allocation{
		ApplicationUID: r.ApplicationUID, Epoch: 1, NodeUID: l.executor, LabelUID: r.LabelUID, DefinitionIndex: r.DefinitionIndex,
		Metadata: orEmpty(r.Metadata), LabelMetadata: orEmpty(l.label.Metadata), Identifier: r.Identifier, CreatedAt: r.CreatedAt,
	}
	if i := r.DefinitionIndex; i >= 0 && i < len(l.label.Definitions) {
		a.Definition = l.label.Definitions[i]
	}
	if fold.Allocated == nil && fold.Request == nil && !fold.Final {
		a.Failure = descNotCleaned // v0.7 died between Resource and ALLOCATED
	}
	return a
}

// end appends a row that v0.7 owed.
func (l oldLife) end(e *model.Entry, status model.Status, epoch uint32, description string) {
	clock := e.Application.HLC
	for _, row := range e.States {
		clock = max(clock, row.HLC)
	}
	e.States = append(e.States, model.ApplicationState{
		UID: l.uids(), ApplicationUID: e.Application.UID, Status: status, Description: description,
		CreatedAt: l.now, HLC: clock + 1, Epoch: epoch, NodeUID: l.executor,
	})
}

// endTasks ends the tasks of an application that is over: v0.7 left them as
// they were.
func (l oldLife) endTasks(e *model.Entry) {
	if !e.Fold.Closed || len(e.OpenAllocations()) > 0 {
		return
	}
	for i := range e.Tasks {
		if !e.Tasks[i].Ended() {
			e.Tasks[i].Result, e.Tasks[i].UpdatedAt = model.TaskError(taskTooLate), l.now
		}
	}
}
