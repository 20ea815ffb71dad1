package cli

import (
	"context"
	"errors"
	"time"
)

// How often a condition is looked at: at once after the start, as most things take a moment, and then as often as the
// node can bear from many clients.
const (
	pollFirst  = 50 * time.Millisecond
	pollLast   = time.Second
	pollGrowth = 3 // halves: each pause is 3/2 of the one before
)

// poll asks until done, until an error that another try will not mend, or until the context ends. A node that restarts
// or is busy is asked again: the wait of a build must outlive it.
func poll(ctx context.Context, ask func(context.Context) (done bool, err error)) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var last error
	for pause := pollFirst; ; pause = min(pause*pollGrowth/2, pollLast) {
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), last)
		case <-timer.C:
		}
		done, err := ask(ctx)
		switch {
		case err == nil && done:
			return nil
		case err == nil:
			last = nil
		case ctx.Err() != nil:
			return errors.Join(ctx.Err(), last)
		case !passing(err):
			return err
		default:
			last = err
		}
		timer.Reset(pause)
	}
}

// withTimeout is a context of a wait; zero is no limit.
func withTimeout(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	if timeout <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, timeout)
}
