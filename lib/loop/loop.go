// Package loop holds the only ticker loop of the program, and the only retry schedule.
package loop

import (
	"context"
	"math/rand/v2"
	"time"
)

// Every calls f once per period until ctx is done; the first call comes one period after the start. Calls never
// overlap: a tick that falls due while f runs is taken right after it, further ones are dropped. f gets ctx, and is not
// called once ctx is done. Every returns when ctx is done and f has returned. A period that is not positive panics:
// periods are constants or checked configuration.
func Every(ctx context.Context, period time.Duration, f func(ctx context.Context)) {
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if ctx.Err() != nil { // select picks at random when both are ready
				return
			}
			f(ctx)
		}
	}
}

// The bounds of a Backoff that names none: a broken driver instance or a locked file is worth a look after seconds,
// and after five minutes nobody should have to restart the node to get it back.
const (
	DefaultMin = 5 * time.Second
	DefaultMax = 5 * time.Minute
)

// Backoff is a schedule of growing pauses: each doubles the one before from Min to Max and is then cut by a random part
// of up to a half, so that what failed together does not return together. The zero value uses DefaultMin and
// DefaultMax. It is not safe for concurrent use.
type Backoff struct {
	Min, Max time.Duration

	failures int
}

// Next counts one more failure and returns how long to pause: in [d/2, d] for d = Min, 2 Min, 4 Min … Max.
func (b *Backoff) Next() time.Duration {
	lowest, highest := b.Min, b.Max
	if lowest <= 0 {
		lowest = DefaultMin
	}
	if highest <= 0 {
		highest = DefaultMax
	}
	d := lowest
	for range b.failures {
		if d > highest/2 {
			d = highest
			break
		}
		d *= 2
	}
	d = min(d, highest)
	b.failures++
	return d - rand.N(d/2+1)
}

// Failures tells how many pauses were handed out since the start or the last Reset.
func (b *Backoff) Failures() int { return b.failures }

// Reset starts again with the shortest pause: call it after a success.
func (b *Backoff) Reset() { b.failures = 0 }

// Wait pauses for Next, or until ctx is done, and then returns ctx's error.
func (b *Backoff) Wait(ctx context.Context) error {
	return Sleep(ctx, b.Next())
}

// Sleep pauses for d, or until ctx is done, and then returns ctx's error.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
