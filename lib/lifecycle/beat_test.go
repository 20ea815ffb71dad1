package lifecycle_test

import (
	"context"
	"testing"
	"time"
)

// TestLoopsComeRound: writer, election and manager come round well within a
// minute while nothing happens, and while a driver hangs.
func TestLoopsComeRound(t *testing.T) {
	inBubble(t, func(t *testing.T, f *farm) {
		f.start()
		for _, what := range []string{"idle", "a driver hangs"} {
			before := [3]uint64{}
			for range 10 {
				time.Sleep(35 * time.Second)
				now := [3]uint64{f.store.Beats(), f.election.Beats(), f.manager.Beats()}
				for i, name := range []string{"writer", "election", "manager"} {
					if now[i] == before[i] {
						t.Fatalf("%s: the %s did not come round in 35 s", what, name)
					}
				}
				before = now
			}
			f.script(func() {
				f.driver.before = func(ctx context.Context, _ string) error {
					<-ctx.Done()
					return ctx.Err()
				}
			})
			f.apply(f.label())
		}
	})
}
