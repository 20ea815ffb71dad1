package loop_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/aquarium-fish/aquarium-fish/lib/loop"
)

func TestEveryTicks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var calls atomic.Int64
		done := make(chan struct{})
		go func() {
			defer close(done)
			loop.Every(ctx, 5*time.Second, func(context.Context) { calls.Add(1) })
		}()
		for _, step := range []struct {
			after time.Duration
			want  int64
		}{{5*time.Second - 1, 0}, {1, 1}, {time.Hour, 721}} {
			time.Sleep(step.after)
			synctest.Wait()
			if got := calls.Load(); got != step.want {
				t.Errorf("after %v more: %d calls, want %d", step.after, got, step.want)
			}
		}
		cancel()
		<-done
	})
}

func TestEveryNeverOverlapsAndDropsMissedTicks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		running, calls := 0, 0
		loop.Every(ctx, time.Second, func(context.Context) {
			running++
			if running != 1 {
				t.Errorf("%d calls at once, want 1", running)
			}
			time.Sleep(10 * time.Second)
			running--
			calls++
		})
		if calls != 6 {
			t.Errorf("%d calls of 10 s in a minute, want 6", calls)
		}
	})
}

func TestEveryWaitsForTheRunningCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		finished := false
		loop.Every(ctx, time.Second, func(context.Context) {
			time.Sleep(10 * time.Second)
			finished = true
		})
		if !finished {
			t.Error("Every returned while its call was running")
		}
	})
}

func TestBackoffBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := loop.Backoff{
			Min: time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "min")),
			Max: time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "max")),
		}
		lowest, highest := b.Min, b.Max
		if lowest == 0 {
			lowest = loop.DefaultMin
		}
		if highest == 0 {
			highest = loop.DefaultMax
		}
		full := min(lowest, highest)
		for i := range 100 {
			got := b.Next()
			if got < full/2 || got > full {
				t.Fatalf("pause %d = %v, want within [%v, %v]", i, got, full/2, full)
			}
			full = min(full*2, highest)
		}
		b.Reset()
		if got := b.Next(); got > min(lowest, highest) || b.Failures() != 1 {
			t.Fatalf("first pause after Reset = %v, want at most %v", got, min(lowest, highest))
		}
	})
}

// TestBackoffWaits: the pauses are kept, and end with the context.
func TestBackoffWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b loop.Backoff
		start := time.Now()
		for range 3 {
			if err := b.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		// 5 s + 10 s + 20 s, each at most halved
		if took := time.Since(start); took < 17*time.Second || took > 35*time.Second {
			t.Errorf("three pauses took %v, want 17.5 s to 35 s", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start = time.Now()
		if err := b.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("Wait = %v after %v, want the deadline's error after 1 s", err, time.Since(start))
		}
	})
}
