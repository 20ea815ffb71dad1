package docker

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestHealth: what is asked how often, and what is known of it meanwhile.
func TestHealth(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var answer atomic.Value // func(context.Context) error
		var asked, room atomic.Int32
		well := func(context.Context) error { return nil }
		answer.Store(well)
		unsure := make(doubts, 1)
		h := newHealth("unix:///there", func(ctx context.Context) error {
			asked.Add(1)
			return answer.Load().(func(context.Context) error)(ctx)
		}, unsure, func() { room.Add(1) }, discard())
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); h.run(ctx) }()

		time.Sleep(time.Minute + time.Second)
		if n := asked.Load(); n != 12 || h.err() != nil {
			t.Errorf("within a minute it was asked %d times, want 12; err() = %v", n, h.err())
		}
		answer.Store(func(context.Context) error { return errors.New("refused") })
		unsure.raise()
		synctest.Wait()
		if err := h.err(); err == nil || !strings.Contains(err.Error(), "engine at unix:///there does not answer since 2000-01-01T00:01:01Z: refused") {
			t.Errorf("err() of a dead engine = %v, want where it is and since when", err)
		}
		asked.Store(0)
		for range 60 {
			unsure.raise() // those who fail do not make it be asked more often
			time.Sleep(time.Second)
		}
		if n := asked.Load(); n < 30 || n > 36 {
			t.Errorf("a dead engine was asked %d times within a minute, want once in 2s, and a few more", n)
		}
		waiter := make(chan error, 1)
		go func() { waiter <- h.await(t.Context()) }()
		short, stop := context.WithTimeout(t.Context(), time.Second/2)
		if err := h.await(short); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "refused") {
			t.Errorf("await() that ended = %v, want why", err)
		}
		stop()
		answer.Store(well)
		if err := <-waiter; err != nil || h.err() != nil || room.Load() != 1 {
			t.Errorf("await() = %v, err() = %v, told %d times, want nil, nil and once", err, h.err(), room.Load())
		}
		answer.Store(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		time.Sleep(askEvery + pingTimeout + time.Second)
		if err := h.err(); err == nil || !strings.Contains(err.Error(), "no answer within") {
			t.Errorf("err() of an engine that hangs = %v, want that it gave no answer", err)
		}
		cancel()
		<-ended
	})
}
