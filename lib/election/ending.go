package election

import (
	"fmt"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

// decides reports whether this node is the arbiter and may act as it now.
func (s Standpoint) decides(app model.Application) bool {
	return s.arbiter(app) == s.Node && s.hindrance(app) == ""
}

// unanswered reports whether the application was recalled while no grant
// lives, and nobody has said yet that none will.
func unanswered(entry *model.Entry) bool {
	f := entry.Fold
	return f.Request != nil && f.Grant == nil && !f.Final && !f.Closed
}

// mournable reports whether the arbiter may end the grants of retired nodes. One
// that may have been begun is not granted again: whether it was, any member may
// know. Where an operator forced the retirement it is not waited for them.
func (s Standpoint) mournable(entry *model.Entry, widows []model.ApplicationState) bool {
	if entry.Fold.Allocated != nil || entry.Fold.Request != nil {
		return len(widows) > 0
	}
	app := entry.Application.UID
	for _, g := range widows {
		r, _ := model.Retired(g.Decision.Winner, s.Retirements)
		if !r.Forced && !s.Covered() || !s.cleared(app, r.Forced) {
			return false
		}
	}
	return len(widows) > 0
}

// dropped reports whether an operator wants the application ended that waits.
func (e *Election) dropped(entry *model.Entry) bool {
	return entry.Fold.Waiting() && e.opts.Store.Doubt(entry.Application) == store.Dropped
}

// overdue reports whether the arbiter has to write an end.
func (e *Election) overdue(entry *model.Entry, here Standpoint) bool {
	return unanswered(entry) || e.dropped(entry) || here.mournable(entry, widowed(entry, here.Retirements))
}

// ending is what the arbiter writes of an application that will not be
// granted, or whose executor is gone for good.
func (e *Election) ending(here Standpoint) func(entry *model.Entry) (model.Change, error) {
	return func(entry *model.Entry) (model.Change, error) {
		switch widows := widowed(entry, here.Retirements); {
		case !here.decides(entry.Application):
		case here.mournable(entry, widows):
			return bury(entry, widows, e.nameOf), nil
		case unanswered(entry):
			return model.Change{States: []model.ApplicationState{{
				Status: model.StatusClosed, Description: "Recalled before it was granted",
			}}}, nil
		case e.dropped(entry):
			return model.Change{States: []model.ApplicationState{{
				Status: model.StatusError, Description: "Waited in a copy of the database that was put back, and may have been run since",
			}}}, nil
		}
		return model.Change{}, nil
	}
}

// widowed are the grants that a retired node holds and will never end.
func widowed(entry *model.Entry, retirements []model.Retirement) []model.ApplicationState {
	if len(retirements) == 0 || entry.Fold.Closed {
		return nil
	}
	over := make(map[uint32]bool)
	for i := range entry.States {
		switch s := &entry.States[i]; s.Status {
		case model.StatusDeallocated, model.StatusError, model.StatusDeclined:
			over[s.Epoch] = true
		}
	}
	var grants []model.ApplicationState
	for _, s := range entry.States {
		if s.Status != model.StatusElected || s.Decision == nil || over[s.Epoch] {
			continue
		}
		if _, retired := model.Retired(s.Decision.Winner, retirements); retired {
			grants = append(grants, s)
		}
	}
	return grants
}

// bury ends the grants of retired nodes: as ERROR where the application runs
// there as far as anybody knows, or was given up meanwhile; else as DECLINED,
// so that it is granted again.
func bury(entry *model.Entry, grants []model.ApplicationState, name func(model.UID) string) model.Change {
	var change model.Change
	f := entry.Fold
	for _, g := range grants {
		row := model.ApplicationState{
			Status: model.StatusDeclined, Epoch: g.Epoch, Description: fmt.Sprintf("Node %s was retired", name(g.Decision.Winner)),
		}
		runs := f.Allocated != nil && f.Allocated.Epoch == g.Epoch
		if runs || f.Request != nil && f.Grant != nil && f.Grant.Epoch == g.Epoch && !f.Final {
			row.Status, change.DropResource = model.StatusError, true
		}
		change.States = append(change.States, row)
	}
	if change.DropResource {
		for _, t := range entry.Tasks {
			if !t.Ended() {
				t.Result = model.TaskError("Application ended before the task could run")
				change.Tasks = append(change.Tasks, t)
			}
		}
	}
	return change
}

// nameOf is how a node is called in descriptions.
func (e *Election) nameOf(node model.UID) string {
	if node == e.opts.Node {
		return e.opts.NodeName
	}
	if e.opts.Member != nil {
		if name, _ := e.opts.Member(node); name != "" {
			return name
		}
	}
	return node.String()
}

// locationOf is where a node is; empty if that is not known.
func (e *Election) locationOf(node model.UID) string {
	if node == e.opts.Node {
		return e.opts.Location
	}
	if e.opts.Member != nil {
		_, location := e.opts.Member(node)
		return location
	}
	return ""
}

// orphaned is what the arbiter writes of an application whose label was deleted.
func orphaned(here Standpoint) func(entry *model.Entry) (model.Change, error) {
	return func(entry *model.Entry) (model.Change, error) {
		if !entry.Fold.Waiting() || !here.decides(entry.Application) { // perhaps since it was put into the queue
			return model.Change{}, nil
		}
		return model.Change{States: []model.ApplicationState{{
			Status: model.StatusError, Description: "Label was deleted",
		}}}, nil
	}
}
