package turns

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := New()
		first, err := turns.Take(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		other, err := turns.Take(t.Context(), "b") // is not held up
		if err != nil {
			t.Fatal(err)
		}
		other()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := turns.Take(ctx, "a"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Take() of a turn that is taken = %v, want to wait for its context", err)
		}
		first()
		second, err := turns.Take(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		second()
		if len(turns.keys) != 0 {
			t.Errorf("%d keys are remembered with nobody there", len(turns.keys))
		}
	})
}

// TestOneAtATime has goroutines come while others have the turn, wait for it or
// give up.
func TestOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := New()
		inside, most, worked := 0, 0, 0 // guarded by the turn
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%4+1)*10*time.Millisecond+time.Millisecond)
				defer cancel()
				done, err := turns.Take(ctx, "a")
				if err != nil {
					return
				}
				defer done()
				inside++
				most = max(most, inside)
				time.Sleep(5 * time.Millisecond)
				inside--
				worked++
			})
		}
		wg.Wait()
		if most != 1 || worked != 9 { // 41 ms of patience, 5 ms each
			t.Errorf("%d at once and %d in all had the turn, want 1 and 9", most, worked)
		}
		if len(turns.keys) != 0 {
			t.Errorf("%d keys are remembered with nobody there", len(turns.keys))
		}
	})
}
