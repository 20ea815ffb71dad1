package lifecycle

import (
	"context"
	"errors"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// overdueAfter is how long a driver may take to return once its time is over
// or it was told to stop, before somebody is told.
const overdueAfter = time.Minute

// await runs f, a call to a driver, in a goroutine of its own and waits for
// it. Its context ends after limit, and when stop says so at an event. An event
// that came meanwhile is not lost: a pause after a failure would outlast what
// it asks for. A driver that does not return then is waited for, as what it
// does is not known, but not in silence.
func (r *runner) await(
	ctx context.Context, limit time.Duration, stop func(e *model.Entry) bool, f func(ctx context.Context) error,
) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- drivers.Guard(r.log, func() error { return f(ctx) }) }()
	overdue := time.NewTimer(max(0, limit) + overdueAfter)
	defer overdue.Stop()
	woken := false
	for {
		select {
		case err := <-done:
			if woken {
				r.poke()
			}
			return err
		case <-overdue.C:
			r.hangs()
			overdue.Reset(alarmEvery)
		case <-r.wake:
			woken = true
			e, err := r.m.opts.Store.Application(ctx, r.uid)
			if err == nil && ctx.Err() == nil && stop(e) {
				cancel()
				overdue.Reset(overdueAfter)
			}
		}
	}
}

var errHangs = errors.New("its time is over and it does not return; look what it waits for, a restart of the node may help")

// hangs tells that a driver does not return.
func (r *runner) hangs() {
	now := time.Now()
	r.trouble.Store(&Trouble{What: "driver hangs", Err: errHangs, At: now, Again: now.Add(alarmEvery)})
	r.log.Error("driver hangs, somebody should look", "error", errHangs)
}
