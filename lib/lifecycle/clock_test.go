package lifecycle_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// TestTimesWrittenByAWrongClock: what comes about before the eyes of a process
// is as old as since then, however old what is written on it makes it look. So
// a clock that stands wrong, or is set between a write and the look at it,
// ends no allocation, no environment and no task.
func TestTimesWrittenByAWrongClock(t *testing.T) {
	for _, off := range []time.Duration{-3 * time.Hour, 3 * time.Hour} {
		t.Run(off.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFarm(t)
				f.now = func() time.Time { return time.Now().Add(off) }
				f.start()
				defer func() { f.stop() }()
				app := f.apply(f.label(definition(1, 1, "30m")))
				f.want(app, model.StatusAllocated)
				task := f.task(app, "snapshot", model.StatusDeallocate)
				time.Sleep(29 * time.Minute)
				f.want(app, model.StatusAllocated)
				f.recall(app)
				f.want(app, model.StatusDeallocated)
				if got := f.result(app, task); got != `{"when":"DEALLOCATE"}` {
					t.Errorf("the task before the release has %s", got)
				}
				f.wantNothingLeft()
			})
		})
	}
}
