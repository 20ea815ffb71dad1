package aws

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// The tasks of the driver.
const (
	taskSnapshot = "snapshot"
	taskImage    = "image"
)

// The pauses between looks at what takes EC2 minutes or hours, and between two
// lines of the log about it.
const (
	leastPoll = 2 * time.Second
	mostPoll  = 30 * time.Second
	tellEvery = 5 * time.Minute
)

// taskOptions are those of both tasks.
type taskOptions struct {
	// Full has a snapshot of the root disk too, or an image of all disks.
	Full bool `json:"full"`
	// Force takes it of a machine that does not stop in order: its power is cut, or
	// where EC2 stops it not at all, it runs on meanwhile.
	Force bool `json:"force"`
	// Stop says whether a release stops the machine first; not given: it does,
	// but for a Mac.
	Stop *bool `json:"stop"`
}

// taskFailure ends a task with its text as the result.
type taskFailure struct{ reason string }

// Error implements error.
func (e *taskFailure) Error() string { return e.reason }

func failure(format string, args ...any) error { return &taskFailure{fmt.Sprintf(format, args...)} }

// underWay are the tasks that somebody works on now.
type underWay struct {
	mu    sync.Mutex
	tasks map[string]int
}

func (u *underWay) begin(uid string) (end func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.tasks == nil {
		u.tasks = map[string]int{}
	}
	u.tasks[uid]++
	return func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		if u.tasks[uid]--; u.tasks[uid] == 0 {
			delete(u.tasks, uid)
		}
	}
}

func (u *underWay) has(uid string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.tasks[uid] > 0
}

// RunTask implements drivers.Driver: `snapshot` and `image`. What was asked of
// EC2 for a task is in its record, written before: so the next try, or the next
// process, goes on with it. A task that was done answers what it answered then.
func (d *driver) RunTask(ctx context.Context, req drivers.TaskRequest) (json.RawMessage, error) {
	opts, ok := readTask(req)
	if !ok {
		return nil, drivers.ErrTaskUnknown
	}
	defer d.tasks.begin(req.UID.String())()
	done, err := d.turns.Take(ctx, "task "+req.UID.String())
	if err != nil {
		return nil, err
	}
	defer done()
	r := &taskRun{driver: d, req: req, opts: opts, log: d.log.With("task_uid", req.UID, "task", req.Task, "application_uid", req.Ref.ApplicationUID)}
	if err := r.begin(ctx); err != nil {
		return r.ended(ctx, nil, err)
	}
	if len(r.rec.Result) > 0 {
		return r.rec.Result, nil
	}
	result, err := r.run(ctx)
	return r.ended(ctx, result, err)
}

func readTask(req drivers.TaskRequest) (opts taskOptions, ok bool) {
	given := bytes.TrimSpace(req.Options)
	if req.Task != taskSnapshot && req.Task != taskImage {
		return opts, false
	}
	if len(given) == 0 {
		return opts, true
	}
	return opts, given[0] == '{' && json.Unmarshal(given, &opts) == nil
}

// taskRun is one try of a task. It has the turn of the task.
type taskRun struct {
	*driver
	req     drivers.TaskRequest
	opts    taskOptions
	rec     *taskRecord
	machine machine // zero, where it does not run
	gone    bool    // and never will again
	log     *slog.Logger
	told    time.Time // when the log was told of it
}

// snapshotResult and imageResult are what tasks say, in the keys that all
// drivers have, and what is of EC2 alone.
type snapshotResult struct {
	Snapshots []string     `json:"snapshots"`
	When      model.Status `json:"when"`
}

type imageResult struct {
	Image     madeImage    `json:"image"`
	Images    []string     `json:"images"` // its id, for the option image of a label
	Snapshots []string     `json:"snapshots"`
	When      model.Status `json:"when"`
}

type madeImage struct {
	ID        string   `json:"id"`
	Name      string   `json:"name"`
	Snapshots []string `json:"snapshots"`
}

// run does what is left to do of the task.
func (r *taskRun) run(ctx context.Context) (any, error) {
	if r.machine.ID != "" && r.rec.Image == "" && r.rec.made() == "" && len(r.rec.Snapshots) == 0 {
		if err := r.stop(ctx); err != nil {
			return nil, err
		}
	}
	if r.req.Task == taskSnapshot {
		return r.snapshot(ctx)
	}
	return r.image(ctx)
}

// ended writes down how a try ended, if that is for good. What failed leaves
// nothing; what can not be removed now has a lease, and is swept.
func (r *taskRun) ended(ctx context.Context, result any, err error) (json.RawMessage, error) {
	failed, isFailure := errors.AsType[*taskFailure](err)
	var text json.RawMessage
	switch {
	case isFailure:
		r.log.Warn("task failed", "error", failed.reason)
		text = model.TaskError(failed.reason)
		if r.rec == nil {
			return text, nil // nothing was made
		}
		if err := r.cleanUp(ctx); err != nil {
			r.log.Warn("what a failed task made is not removed yet; it is swept when its lease is over", "lease", r.rec.lease(), "error", err)
		}
	case err != nil:
		return nil, err
	default:
		if text, err = json.Marshal(result); err != nil {
			return nil, err
		}
		r.log.Info("task done", "result", string(text))
	}
	r.rec.Result = text
	if err := r.records().save(r.rec); err != nil {
		if isFailure {
			return text, nil
		}
		return nil, err
	}
	return text, nil
}

// until looks again and again until something is so. Trouble with AWS is waited
// out; the task's own time ends it, but not before it was looked once.
func (r *taskRun) until(ctx context.Context, what string, look func() (done bool, state string, err error)) error {
	retry := backoff{leastPoll, mostPoll}
	for {
		done, state, err := look()
		switch {
		case err == nil && done:
			return nil
		case ctx.Err() != nil: // no failure of the task: it comes back
			return fmt.Errorf("%s: %w", what, ctx.Err())
		case err == nil && time.Now().After(r.rec.Deadline):
			return failure("%s: it was not done by %s, and is given up (%s)", what, r.rec.Deadline.Format(time.RFC3339), state)
		case err != nil && lasting(err):
			return err
		case err != nil:
			state = err.Error()
		}
		if time.Since(r.told) >= tellEvery {
			r.told = time.Now()
			r.log.Info("task is under way", "step", what, "state", state)
		}
		if e := retry.wait(ctx); e != nil {
			return errors.Join(fmt.Errorf("%s: %s", what, state), e)
		}
	}
}

// lasting reports whether trying again does not help.
func lasting(err error) bool {
	_, failed := errors.AsType[*taskFailure](err)
	return failed || !transient(err)
}

// refusal is what the answer to a creating call means that nothing came of:
// nil, if it is to be asked again.
func refusal(what string, err error) error {
	if cloud.IsKind(err, cloud.NotFound) || duplicate(err) || transient(err) {
		return nil // it is too new, busy, or its name is held for a moment
	}
	return failure("%s: %v", what, err)
}

// duplicate reports whether an image of the name is there, or was a moment ago.
func duplicate(err error) bool {
	e, ok := errors.AsType[*cloud.Error](err)
	return ok && e.Code == "InvalidAMIName.Duplicate"
}

// mine asks for what the task made.
func (r *taskRun) mine() cloud.Query {
	return r.marks().And("tag:"+cloud.TagTask, r.req.UID.String())
}

// commit makes things results, which stay. Until then they are steps, which
// have a lease: so nothing half is ever taken for a result, and none is left.
func (r *taskRun) commit(ctx context.Context, ids []string) error {
	return r.until(ctx, "mark the result", func() (bool, string, error) {
		err := r.api.CreateTags(ctx, ids, cloud.Tags{cloud.TagPurpose: cloud.PurposeTask})
		if cloud.IsKind(err, cloud.NotFound) {
			return false, err.Error(), nil // it is new, and not known everywhere
		}
		return err == nil, "", err
	})
}

// cleanUp removes what the task made, as far as it is to be seen. Results are
// none, or it would not have failed.
func (r *taskRun) cleanUp(ctx context.Context) error {
	images, err := r.api.Images(ctx, self(), r.mine())
	if err != nil {
		return err
	}
	snapshots, err := r.api.Snapshots(ctx, self(), r.mine())
	if err != nil {
		return err
	}
	ids := []string{r.rec.Image, r.rec.Copy}
	for _, i := range images {
		ids = append(ids, i.ID)
	}
	var errs []error
	for _, id := range unique(ids) {
		if id != "" {
			errs = append(errs, absent(r.api.DeregisterImage(ctx, id)))
		}
	}
	ids = slices.Clone(r.rec.Snapshots)
	for _, s := range snapshots {
		ids = append(ids, s.ID)
	}
	for _, id := range unique(ids) {
		errs = append(errs, absent(r.api.DeleteSnapshot(ctx, id)))
	}
	return errors.Join(errs...)
}

// self are the owners of what we made.
func self() []string { return []string{"self"} }

// absent is nil for what is not there any more.
func absent(err error) error {
	if cloud.IsKind(err, cloud.NotFound) {
		return nil
	}
	return err
}

// description is what EC2 shows of everything that the task makes.
func (r *taskRun) description() string {
	return fmt.Sprintf("task %s of application %s", r.req.UID, cmp.Or(r.rec.Application, "unknown"))
}
