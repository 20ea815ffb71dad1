package awssdk

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// TestBudgetStaysUnderTheLimit: whatever is asked for, and also if every second
// request is refused and tried again, AWS never sees more than half of what it allows.
func TestBudgetStaysUnderTheLimit(t *testing.T) {
	for _, tt := range []struct {
		action string
		calls  int
		do     func(context.Context, cloud.API) error
	}{
		{"RunInstances", 30, withToken},
		{"CreateImage", 90, withoutToken},
		{"DescribeInstances", 300, looking},
	} {
		t.Run(tt.action, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				var times []time.Time
				s := &script{t: t, answer: func(n int, r request) *reply {
					mu.Lock()
					defer mu.Unlock()
					times = append(times, time.Now())
					switch {
					case n%2 == 0:
						return failure(503, "RequestLimitExceeded", "slow down")
					case r.action == "RunInstances":
						return launched("i-1")
					case r.action == "CreateImage":
						return success(r.action, "<imageId>ami-1</imageId>")
					}
					return success(r.action, "")
				}}
				c := s.client()
				var wg sync.WaitGroup
				for range tt.calls {
					wg.Go(func() { _ = tt.do(context.Background(), c) })
				}
				wg.Wait()
				if len(times) <= tt.calls {
					t.Fatalf("%d requests for %d calls: none was tried again", len(times), tt.calls)
				}
				limit := cloud.LimitOf(tt.action)
				for i := range times {
					for j := i; j < len(times); j++ {
						most := 0.5 * (float64(limit.Burst) + limit.PerSecond*times[j].Sub(times[i]).Seconds())
						if got := float64(j - i + 1); got > most+1 {
							t.Fatalf("%v requests within %v, want %v at most", got, times[j].Sub(times[i]), most)
						}
					}
				}
			})
		})
	}
}

// TestATurnThatDoesNotCome: who has no time to wait is told at once, and knows
// that nothing was done.
func TestATurnThatDoesNotCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{t: t, answer: always(launched("i-1"))}
		c := s.client()
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if err := withToken(context.Background(), c); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		begun, before := time.Now(), len(s.sent)
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		err := withToken(ctx, c)
		if !errors.Is(err, context.DeadlineExceeded) || !cloud.Undone(err) || len(s.sent) != before || time.Since(begun) > 2*time.Second {
			t.Errorf("error %v after %v", err, time.Since(begun))
		}
		if err := looking(ctx, c); err == nil { // the script answers with a launch
			t.Error("another action has the same turn")
		}
		ctx, cancel = context.WithCancel(context.Background())
		time.AfterFunc(time.Second, cancel)
		begun = time.Now()
		if err := withToken(ctx, c); !errors.Is(err, context.Canceled) || !cloud.Undone(err) || time.Since(begun) != time.Second {
			t.Errorf("error %v after %v, want a cancel after 1 s", err, time.Since(begun))
		}
		wg.Wait()
	})
}
