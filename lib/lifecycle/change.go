package lifecycle

import (
	"fmt"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/metadata"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// The functions here are what a runner writes. Each is called by the store
// with the newest state and checks again what Next decided on an older one.

// ofEpoch is a row of an execution.
func ofEpoch(status model.Status, epoch uint32, description string) model.Change {
	return model.Change{States: []model.ApplicationState{{
		Status: status, Epoch: epoch, Description: description,
	}}}
}

// endGrant ends a grant of which no allocation was ever stored.
func endGrant(e *model.Entry, epoch uint32, status model.Status, description string) model.Change {
	if _, intended := e.Allocation(epoch); intended || ended(e, epoch) {
		return model.Change{}
	}
	if status != model.StatusDeclined && e.Fold.Overtaken(epoch) {
		status, description = model.StatusDeclined, "Another grant is in force"
	}
	change := ofEpoch(status, epoch, description)
	if status != model.StatusDeclined {
		change.Tasks = endTasks(e)
	}
	return change
}

// intend stores an allocation, unless the grant does not stand any more or was
// recalled.
func intend(e *model.Entry, a model.Allocation) model.Change {
	if !inForce(e, a.Epoch, a.NodeUID) || e.Fold.Request != nil {
		return model.Change{}
	}
	if _, twice := e.Allocation(a.Epoch); twice {
		return model.Change{}
	}
	return model.Change{Allocations: []model.Allocation{a}}
}

// allocated records what the driver made: as the Resource, or only in the
// allocation if the application was recalled or settled elsewhere meanwhile.
func allocated(e *model.Entry, epoch uint32, env drivers.Environment) model.Change {
	a, ok := e.Allocation(epoch)
	if !ok || !a.Open() {
		return model.Change{}
	}
	a.Identifier = env.Identifier
	change := model.Change{Allocations: []model.Allocation{a}}
	if !inForce(e, epoch, a.NodeUID) || e.Fold.Request != nil || e.Fold.Final || a.Failure != "" || e.Fold.Allocated != nil {
		return change
	}
	change.States = ofEpoch(model.StatusAllocated, epoch, "Driver allocated the resource").States
	change.Resource = &model.Resource{
		LabelUID: a.LabelUID, NodeUID: a.NodeUID, DefinitionIndex: a.DefinitionIndex,
		Identifier: env.Identifier, IPAddr: env.IPAddr, HWAddr: env.HWAddr,
		Authentication: env.Authentication, Metadata: metadata.Public(a.Metadata),
	}
	return change
}

// fail marks an allocation that will end in ERROR once nothing of it is left.
func fail(e *model.Entry, epoch uint32, description string) model.Change {
	a, ok := e.Allocation(epoch)
	if !ok || !a.Open() || a.Failure != "" || e.Fold.Request != nil {
		return model.Change{}
	}
	a.Failure = description
	return model.Change{Allocations: []model.Allocation{a}}
}

// withdrawn closes an allocation for which no driver was asked for anything,
// and declines its grant, unless that names another node by now.
func withdrawn(e *model.Entry, epoch uint32, now time.Time, description string) model.Change {
	a, ok := e.Allocation(epoch)
	if !ok || !a.Open() || a.Identifier != "" {
		return model.Change{}
	}
	a.ReleasedAt = now.UTC()
	change := model.Change{Allocations: []model.Allocation{a}}
	if !ended(e, epoch) && !replaced(e, a) {
		change.States = ofEpoch(model.StatusDeclined, epoch, description).States
	}
	return change
}

// replaced reports whether the grant of the allocation's epoch names another
// node by now: two arbiters granted one epoch, and the other one's stays. Its
// rows are that node's.
func replaced(e *model.Entry, a model.Allocation) bool {
	for i := range e.States {
		s := &e.States[i]
		if s.Status == model.StatusElected && s.Epoch == a.Epoch && s.Decision != nil {
			return s.Decision.Winner != a.NodeUID
		}
	}
	return false
}

// released closes an allocation of which the driver confirmed that nothing is
// left, and ends its grant and its tasks.
func released(e *model.Entry, epoch uint32, now time.Time) model.Change {
	a, ok := e.Allocation(epoch)
	if !ok || !a.Open() {
		return model.Change{}
	}
	a.ReleasedAt = now.UTC()
	var change model.Change
	if !ended(e, epoch) && !replaced(e, a) {
		status, description := lastRow(e, a)
		change = ofEpoch(status, epoch, description)
		if status != model.StatusDeclined {
			change.Tasks = endTasks(e)
		}
	}
	change.Allocations = []model.Allocation{a}
	change.DropResource = dropsResource(e, a)
	return change
}

// dropsResource reports whether the Resource is that of the allocation.
func dropsResource(e *model.Entry, a model.Allocation) bool {
	if g := e.Fold.Grant; g == nil || g.Epoch == a.Epoch && !replaced(e, a) {
		return true
	}
	return e.Resource != nil && e.Resource.Identifier == a.Identifier && e.Resource.NodeUID == a.NodeUID
}

// lastRow is how a released grant ends. One that the fold does not name steps
// aside for the one that it names; that it failed besides concerns nobody.
func lastRow(e *model.Entry, a model.Allocation) (model.Status, string) {
	switch {
	case e.Fold.Allocated != nil && e.Fold.Allocated.Epoch != a.Epoch:
		return model.StatusDeclined, "Another node runs the application"
	case e.Fold.Overtaken(a.Epoch):
		return model.StatusDeclined, "Another grant came after it"
	case e.Fold.Final: // by another grant: its last row stays the last
		return model.StatusDeclined, "The application ended by another grant"
	case a.Failure != "":
		return model.StatusError, a.Failure
	}
	return model.StatusDeallocated, "Driver deallocated the resource"
}

// endTasks gives every open task the reason why it will not run.
func endTasks(e *model.Entry) []model.ApplicationTask {
	open := unendedTasks(e)
	for i := range open {
		open[i].Result = model.TaskError("Application ended before the task could run")
	}
	return open
}

// taskResult records a task's result unless it has one.
func taskResult(e *model.Entry, task model.UID, result []byte) model.Change {
	for _, t := range e.Tasks {
		if t.UID == task && !t.Ended() {
			t.Result = result
			return model.Change{Tasks: []model.ApplicationTask{t}}
		}
	}
	return model.Change{}
}

// expire asks for the release for the executor itself. Tasks that waited for
// ALLOCATED end with the release.
func expire(e *model.Entry, epoch uint32, description string) model.Change {
	if e.Fold.Allocated == nil || e.Fold.Allocated.Epoch != epoch {
		return model.Change{}
	}
	change, err := model.RequestRelease(e, description)
	if err != nil { // a user was faster
		return model.Change{}
	}
	return change
}

// newAllocation is the intent to run the label's definition that the grant
// names. Its error is the description of the ERROR row.
func newAllocation(e *model.Entry, label model.Label, node model.UID, tokens [2]string) (model.Allocation, error) {
	d := e.Fold.Grant.Decision
	if d.Definition < 0 || d.Definition >= len(label.Definitions) {
		return model.Allocation{}, fmt.Errorf("Label has no definition %d", d.Definition) //nolint:staticcheck // a v1 description
	}
	merged, err := model.MergeMetadata(e.Application.Metadata, label.Metadata)
	if err != nil {
		return model.Allocation{}, fmt.Errorf("Unable to parse the app metadata:%w", err) //nolint:staticcheck // contract 11
	}
	return model.Allocation{
		ApplicationUID: e.Application.UID, Epoch: e.Fold.Grant.Epoch, NodeUID: node,
		Token: tokens[0], MetaToken: tokens[1],
		LabelUID: label.UID, DefinitionIndex: d.Definition, Definition: label.Definitions[d.Definition],
		Metadata: merged, LabelMetadata: label.Metadata,
	}, nil
}
