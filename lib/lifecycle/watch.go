package lifecycle

import (
	"context"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
)

// watch notices when the environment ends by itself, if its driver can tell.
func (r *runner) watch(ctx context.Context, driver drivers.Driver, ref drivers.Ref) {
	w, ok := driver.(drivers.Watcher)
	if !ok || r.watchCancel != nil {
		return
	}
	ctx, r.watchCancel = context.WithCancel(ctx)
	r.watching.Go(func() { r.watchUntilEnded(ctx, w, ref) })
}

func (r *runner) watchUntilEnded(ctx context.Context, w drivers.Watcher, ref drivers.Ref) {
	retry := retrySchedule()
	for ctx.Err() == nil {
		var ending string
		err := drivers.Guard(r.log, func() (err error) {
			ending, err = w.Watch(ctx, ref)
			return err
		})
		if err == nil {
			r.ended <- ending // capacity 1, and one watch per environment
			return
		}
		if ctx.Err() == nil {
			r.log.Warn("environment can not be watched", "error", err)
			r.doubt()
			_ = retry.Wait(ctx) // only a cancelled ctx ends it early
		}
	}
}

// doubt makes the runner inspect the environment: what can not be watched may
// be gone.
func (r *runner) doubt() {
	select {
	case r.doubted <- struct{}{}:
	default:
	}
}

// stopWatch ends the watch and waits for it, as for every call to a driver: not
// in silence.
func (r *runner) stopWatch(ctx context.Context) {
	if r.watchCancel == nil {
		return
	}
	r.watchCancel()
	_ = r.await(ctx, 0, never, func(context.Context) error { r.watching.Wait(); return nil })
	r.watchCancel = nil
	select {
	case <-r.ended:
	default:
	}
}

// rest is how long a task is left alone after it yielded nothing.
type rest struct {
	until time.Time
	first time.Time // when it was first tried
}
