package lifecycle

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// taskPause is how long a task that yielded nothing rests before it is tried
// again (contract 12: looked at every 5 s).
const taskPause = 5 * time.Second

// runTask runs one task and records its result. A task that yields {} or fails
// is tried again until task_timeout; then it ends with an error.
func (r *runner) runTask(ctx context.Context, step Step) error {
	driver, err := r.driver(step.Allocation)
	if err != nil {
		return err
	}
	var result json.RawMessage
	err = r.await(ctx, r.m.opts.TaskTimeout, never, func(ctx context.Context) error {
		result, err = perform(ctx, driver, drivers.TaskRequest{
			UID: step.Task.UID, Task: step.Task.Task, When: model.Status(step.Task.When),
			Options: step.Task.Options, Ref: refOf(step.Allocation),
		})
		return err
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil && step.Task.When == string(model.StatusDeallocate) {
		r.known = false // perhaps there is nothing to run it on
	}
	result = r.settle(step.Task, result, err)
	if result == nil {
		return nil
	}
	delete(r.resting, step.Task.UID)
	return r.update(ctx, func(e *model.Entry) model.Change { return taskResult(e, step.Task.UID, result) })
}

// settle turns what a try yielded into the result to record, or nil if the
// task is to be tried again.
func (r *runner) settle(t model.ApplicationTask, result json.RawMessage, err error) json.RawMessage {
	now := time.Now()
	rested := r.resting[t.UID]
	if rested.first.IsZero() {
		rested.first = now
	}
	unable, told := errors.AsType[drivers.Unable](err)
	switch {
	case told:
		return model.TaskError(unable.Error())
	case errors.Is(err, drivers.ErrTaskUnknown):
		return model.TaskError(drivers.ErrTaskUnknown.Error())
	case err == nil && done(result):
		return result
	case now.Sub(rested.first) >= r.m.opts.TaskTimeout && err != nil:
		return model.TaskError(err.Error())
	case now.Sub(rested.first) >= r.m.opts.TaskTimeout:
		return model.TaskError("Task was not done within task_timeout " + r.m.opts.TaskTimeout.String())
	}
	if err != nil {
		r.log.Warn("task will be tried again", "task_uid", t.UID, "task", t.Task, "error", err)
	}
	rested.until = now.Add(taskPause)
	r.resting[t.UID] = rested
	return nil
}

// done reports whether a driver's result is one: a JSON object, not empty.
func done(result json.RawMessage) bool {
	result = bytes.TrimSpace(result)
	return len(result) > 0 && string(result) != "{}" && result[0] == '{' && json.Valid(result)
}

// restingTasks are the tasks whose pause is not over, and the shortest pause.
func (r *runner) restingTasks(now time.Time) (resting map[model.UID]bool, shortest time.Duration) {
	for uid, rest := range r.resting {
		left := rest.until.Sub(now)
		if left <= 0 {
			continue
		}
		if resting == nil {
			resting, shortest = map[model.UID]bool{}, left
		}
		resting[uid] = true
		shortest = min(shortest, left)
	}
	return resting, shortest
}
