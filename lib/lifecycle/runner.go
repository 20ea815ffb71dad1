package lifecycle

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/loop"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

// runner takes one application through its life on this node. Only its own
// goroutine touches its fields, except where noted.
type runner struct {
	m    *Manager
	uid  model.UID
	log  *slog.Logger
	wake chan struct{} // capacity 1: any number of events is one look

	known    bool // presence is
	presence drivers.Presence
	ending   string

	looked    bool // at the application, at least once
	lifetime  age  // of the Resource
	intent    age  // of the open Allocation
	request   age  // of the release request
	measuring model.UID
	untouched uint32                    // epoch of an intent that this process stored and asked no driver for
	unmade    uint32                    // the same, of one that it may have asked for images, and for nothing else
	imageless uint32                    // epoch whose images were missing when it was to be allocated on a draining node
	searched  bool                      // drivers said what they have of the application
	unsaid    bool                      // they were asked, and did not say, or not in time
	intended  uint32                    // epoch of the last intent that this process stored
	fetched   uint32                    // epoch whose images this process has had at hand
	downloads atomic.Bool               // it waits for images now; read by Manager.Fetching
	fetchedAt atomic.Pointer[time.Time] // when that was; read by Manager.FetchedAt

	resting map[model.UID]rest
	retry   loop.Backoff
	alarmed time.Time
	trouble atomic.Pointer[Trouble] // of the step that fails now; read by Manager.Trouble

	watchCancel context.CancelFunc
	watching    sync.WaitGroup
	ended       chan string   // capacity 1: how the environment ended by itself
	doubted     chan struct{} // capacity 1: the watch fails, somebody should look
}

func newRunner(m *Manager, uid model.UID) *runner {
	return &runner{
		m: m, uid: uid, log: m.opts.Logger.With("application_uid", uid),
		retry: retrySchedule(), wake: make(chan struct{}, 1), ended: make(chan string, 1), doubted: make(chan struct{}, 1), resting: map[model.UID]rest{},
	}
}

// retrySchedule is the pause between tries of one step: an environment that
// can not be removed costs money, so the longest is a minute.
func retrySchedule() loop.Backoff { return loop.Backoff{Min: time.Second, Max: time.Minute} }

// poke makes the runner look again. Safe from any goroutine.
func (r *runner) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// run looks and acts until nothing is left to do or ctx is cancelled.
func (r *runner) run(ctx context.Context) {
	defer r.stopWatch(ctx)
	for ctx.Err() == nil {
		e, err := r.m.opts.Store.Application(ctx, r.uid)
		switch {
		case errors.Is(err, store.ErrNotFound):
			if r.m.leave(r) {
				return
			}
			r.drain()
			continue
		case err != nil:
			r.failed(ctx, "application not readable", err)
			continue
		}
		if a, ok := r.completed(e); ok {
			r.act(ctx, e, Step{Action: Complete, Epoch: a.Epoch, Allocation: a})
			continue
		}
		step := Next(e, r.facts(e))
		if step.Action == Done {
			if r.m.leave(r) {
				return
			}
			r.drain()
			continue
		}
		r.act(ctx, e, step)
	}
}

func (r *runner) drain() {
	select {
	case <-r.wake:
	default:
	}
}

// act does one step. Errors are logged and retried with back-off; the next
// look decides anew.
func (r *runner) act(ctx context.Context, e *model.Entry, step Step) {
	r.tellWait(step)
	if step.Action == Wait {
		r.wait(ctx, untilComplete(e, step.Wait))
		return
	}
	if err := r.do(ctx, e, step); err != nil {
		r.failed(ctx, actionNames[step.Action], err)
		return
	}
	r.retry.Reset()
	r.alarmed = time.Time{}
	r.trouble.Store(nil)
}

// do does one step that is no wait.
func (r *runner) do(ctx context.Context, e *model.Entry, step Step) error {
	switch step.Action {
	case Search:
		return r.searchForgotten(ctx, e, step)
	case Decline:
		return r.decline(ctx, step)
	case Finish:
		return r.finish(ctx, step)
	case Withdraw:
		return r.withdraw(ctx, step)
	case TakeBack:
		return r.takeBack(ctx, e, step)
	case Complete:
		return r.complete(ctx, step.Allocation)
	case Intend:
		return r.intend(ctx, e, step)
	case Allocate:
		return r.allocate(ctx, step)
	case Inspect:
		return r.inspect(ctx, e, step)
	case Fail:
		return r.update(ctx, func(e *model.Entry) model.Change { return fail(e, step.Epoch, step.Reason) })
	case Expire:
		r.log.Info("environment will be released", "reason", step.Reason)
		return r.update(ctx, func(e *model.Entry) model.Change { return expire(e, step.Epoch, step.Reason) })
	case RunTask:
		return r.runTask(ctx, step)
	case Release:
		return r.release(ctx, step)
	case EndTasks:
		return r.update(ctx, func(e *model.Entry) model.Change { return model.Change{Tasks: endTasks(e)} })
	}
	return nil
}

var actionNames = map[Action]string{ //nolint:gochecknoglobals // constant
	Decline: "grant not declined", Withdraw: "grant not declined", Finish: "grant not finished", TakeBack: "environment not taken up again",
	Complete: "allocation not completed", Intend: "intent not stored",
	Search: "drivers not asked for what was forgotten", Wait: "it waits",
	Allocate: "environment not allocated", Inspect: "environment not inspected", Fail: "failure not stored",
	Expire: "release not requested", RunTask: "task not run", Release: "environment not released",
	EndTasks: "tasks not ended",
}

// alarmAfter is how long something may fail before it is an error that
// somebody has to look at, and alarmEvery how often that is said again.
const alarmAfter, alarmEvery = 10 * time.Minute, time.Hour

// failed logs a failed step and waits before the next look. Nothing is ever
// given up here: Next knows when patience ends.
func (r *runner) failed(ctx context.Context, what string, err error) {
	if ctx.Err() != nil {
		return // stopping is no failure
	}
	pause := r.retry.Next()
	now := time.Now()
	r.trouble.Store(&Trouble{What: what, Err: err, At: now, Again: now.Add(pause)})
	if r.alarmed.IsZero() {
		r.alarmed = now.Add(alarmAfter)
	}
	if now.After(r.alarmed) {
		r.alarmed = now.Add(alarmEvery)
		r.log.Error("keeps failing, somebody should look", "what", what, "error", err)
	} else {
		r.log.Warn("step failed, will be tried again", "what", what, "error", err, "again_in", pause)
	}
	r.wait(ctx, pause)
}

// tellWait keeps why it is waited for something that somebody should see to, and
// forgets it when that is over: the step that follows may take long.
func (r *runner) tellWait(step Step) {
	if step.Action != Wait || step.Reason == "" {
		if t := r.trouble.Load(); t != nil && t.What == actionNames[Wait] {
			r.trouble.Store(nil)
		}
		return
	}
	now := time.Now()
	r.trouble.Store(&Trouble{What: actionNames[Wait], Err: errors.New(step.Reason), At: now, Again: now.Add(step.Wait)})
}

// wait returns at an event, when the environment ended, or after d (0 =
// only then).
func (r *runner) wait(ctx context.Context, d time.Duration) {
	var due <-chan time.Time
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-ctx.Done():
	case <-r.wake:
	case r.ending = <-r.ended:
		r.presence = drivers.Ended
	case <-r.doubted:
		r.known = false
	case <-due:
	}
}

// never is for steps that no event stops.
func never(*model.Entry) bool { return false }

// update writes a change decided on the newest state.
func (r *runner) update(ctx context.Context, decide func(e *model.Entry) model.Change) error {
	_, err := r.m.opts.Store.Update(ctx, r.uid, func(e *model.Entry) (model.Change, error) {
		return decide(e), nil
	})
	return err
}

// facts is what this process knows beside the entry.
func (r *runner) facts(e *model.Entry) Facts {
	now, boot := time.Now(), r.m.opts.Boot()
	f := Facts{
		Node:    r.m.opts.Node,
		Heir:    r.m.opts.Heir,
		StartBy: r.m.opts.StartBy, Untouched: r.untouched, Intended: r.intended,
		Unmade: r.unmade, Imageless: r.imageless, Draining: r.m.draining(),
		Settled:  r.m.opts.Settled == nil || r.m.opts.Settled(),
		Writable: r.m.opts.Store.Writable() == nil,
		Doubt:    r.m.opts.Store.Doubt(e.Application),
		Known:    r.known, Presence: r.presence, Ending: r.ending,
		AllocateTimeout: r.m.opts.AllocateTimeout, TaskTimeout: r.m.opts.TaskTimeout,
	}
	f.Promise, f.Promised = r.promise(e)
	if lapse, lapsed := r.m.lapsed(); lapsed {
		f.Lapsed, f.Promised = true, lapsedPromise(f, lapse)
	}
	f.Unsearched = r.unsearched(e)
	if f.Doubt == store.Doubtful || !f.Settled || f.Lapsed && f.Intended == 0 {
		r.intent = newAge(now, now, boot) // what an operator, or others, have to decide is not late
	}
	r.measure(e, now, boot)
	f.Allocating, f.Releasing = r.allocating(e, now, boot), r.request.at(now, boot)
	f.Age, f.Lifetime = r.lifetime.at(now, boot), r.lifetimeOf(e)
	f.Resting, f.Rest = r.restingTasks(now)
	if e.Fold.Request != nil && r.m.opts.LoggedIn != nil { // it counts for a release only
		f.LoggedIn, f.LeaveTime = r.m.opts.LoggedIn(r.uid), r.m.opts.LeaveTime
	}
	return f
}

// promise is how long ago this process cast the vote that the grant in force
// was decided on.
func (r *runner) promise(e *model.Entry) (time.Duration, bool) {
	vote, voted := r.vote(e)
	if !voted {
		return 0, false
	}
	return r.m.opts.Promised(r.uid, vote.UID)
}

// vote is this node's that the grant in force was decided on.
func (r *runner) vote(e *model.Entry) (model.Vote, bool) {
	g := e.Fold.Grant
	if g == nil || g.Decision == nil {
		return model.Vote{}, false
	}
	return g.Decision.Vote(r.m.opts.Node)
}

// measure starts each clock once, when what it measures is first seen.
func (r *runner) measure(e *model.Entry, now time.Time, boot time.Duration) {
	if open := e.OpenAllocations(); r.intent.seen.IsZero() && len(open) > 0 {
		r.intent = r.ageOf(open[len(open)-1].CreatedAt, now, boot)
	}
	if r.request.seen.IsZero() && e.Fold.Request != nil {
		r.request = r.ageOf(e.Fold.Request.CreatedAt, now, boot)
	}
	if e.Resource != nil && r.measuring != e.Resource.UID {
		r.measuring = e.Resource.UID
		r.lifetime = r.ageOf(e.Resource.CreatedAt, now, boot)
	}
	r.looked = true
}

// ageOf starts measuring what is seen for the first time: what was not there at
// an earlier look came about since, whatever time of day is written on it, by
// this node or another one.
func (r *runner) ageOf(created, now time.Time, boot time.Duration) age {
	if r.looked {
		created = now
	}
	return newAge(created, now, boot)
}

// lifetimeOf is how long the environment may live; 0 = for ever. A lifetime
// that can not be read was refused at the label's creation; one of an old
// database counts as the default.
func (r *runner) lifetimeOf(e *model.Entry) time.Duration {
	epoch, _ := executes(e, r.m.opts.Node)
	a, ok := e.Allocation(epoch)
	if !ok {
		return 0
	}
	fallback := r.m.opts.defaultLifetime(a.Definition.Driver)
	d, err := model.ParseLifetime(a.Definition.Resources.Lifetime, fallback)
	if err != nil {
		return fallback
	}
	return d
}

// defaultLifetime counts for definitions that set none.
func (o *Options) defaultLifetime(instance string) time.Duration {
	if o.InstanceLifetime != nil {
		if d, ok := o.InstanceLifetime(instance); ok {
			return d
		}
	}
	return o.DefaultLifetime
}
