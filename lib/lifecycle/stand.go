package lifecycle

import (
	"context"
	"encoding/json"

	"github.com/aquarium-fish/aquarium-fish/drivers"
)

// The tasks that the node offers with every driver that is a Suspender. To a
// driver that is none they are tasks like others.
const (
	taskSuspend = "suspend"
	taskResume  = "resume"
)

// standing tells the tasks that change what others meet: they keep their place
// among all tasks of a status. A snapshot between the two is one of what stands
// still.
func standing(task string) bool { return task == taskSuspend || task == taskResume }

// perform runs one task once. An environment that stands still already is what
// was asked for: so a task that a kill cut short may be run again.
func perform(ctx context.Context, driver drivers.Driver, req drivers.TaskRequest) (json.RawMessage, error) {
	suspender, ok := driver.(drivers.Suspender)
	if !ok || !standing(req.Task) {
		return driver.RunTask(ctx, req)
	}
	var options map[string]json.RawMessage // none is known
	if err := json.Unmarshal(req.Options, &options); err != nil || options == nil {
		return nil, drivers.ErrTaskUnknown
	}
	if req.Task == taskSuspend {
		return json.RawMessage(`{"suspended":true}`), suspender.Suspend(ctx, req.Ref)
	}
	return json.RawMessage(`{"resumed":true}`), suspender.Resume(ctx, req.Ref)
}
