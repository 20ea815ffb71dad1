package lifecycle_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/election"
	"github.com/aquarium-fish/aquarium-fish/lib/lifecycle"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// drained is why a grant is declined whose images are not there.
const drained = "Node is in maintenance, and the images were not there yet"

// draining is a test of a node that downloads an image for an hour, with its
// switch. drain(true) is what `node drain` does.
func draining(t *testing.T, test func(f *farm, s *imageServer, drain func(on bool), kill func())) {
	t.Helper()
	downloading(t, time.Hour, func(f *farm, s *imageServer, driver *imaged, open func()) {
		var on atomic.Bool
		of := f.options
		f.options = func(mo *lifecycle.Options, eo *election.Options) {
			of(mo, eo)
			mo.Draining, eo.Maintenance = on.Load, on.Load
		}
		f.restart()
		test(f, s, func(state bool) {
			on.Store(state)
			f.manager.LookAgain()
			f.election.Wake()
		}, func() {
			f.stop()
			_ = driver.cache.Close()
			open()
			f.start()
		})
	})
}

// TestDrainDoesNotWaitForImages: of an application whose images are fetched
// nothing runs yet, so a node that drains gives it back at once. The download
// goes on, and serves the next one.
func TestDrainDoesNotWaitForImages(t *testing.T) {
	draining(t, func(f *farm, s *imageServer, drain func(bool), _ func()) {
		app := f.apply(f.label())
		time.Sleep(30 * time.Minute)
		if f.want(app, model.StatusElected); !f.manager.Fetching(app) {
			f.t.Fatal("its images are not fetched")
		}
		drain(true)
		f.wantDescription(app, model.StatusNew, drained)
		f.wantNothingLeft()
		time.Sleep(10 * time.Minute)
		f.want(app, model.StatusNew)
		drain(false)
		time.Sleep(10 * time.Minute)
		f.want(app, model.StatusElected)
		time.Sleep(11 * time.Minute)
		f.want(app, model.StatusAllocated)
		if n := s.requests.Load(); n != 1 {
			f.t.Errorf("%d downloads for one image", n)
		}
	})
}

// TestDrainThatEndsAtOnce costs nobody his application.
func TestDrainThatEndsAtOnce(t *testing.T) {
	draining(t, func(f *farm, _ *imageServer, drain func(bool), _ func()) {
		app := f.apply(f.label())
		time.Sleep(time.Minute)
		for range 20 {
			drain(true)
			drain(false)
		}
		time.Sleep(time.Hour)
		f.want(app, model.StatusAllocated)
	})
}

// TestDrainKeepsWhatRuns: an environment that is being made, or is there, is
// waited for, and one that was never begun is not.
func TestDrainKeepsWhatRuns(t *testing.T) {
	draining(t, func(f *farm, _ *imageServer, drain func(bool), _ func()) {
		running := f.apply(f.label())
		time.Sleep(time.Hour + time.Minute)
		f.want(running, model.StatusAllocated)
		gate := make(chan struct{})
		f.script(func() {
			f.driver.after = func(ctx context.Context) error {
				select {
				case <-gate:
				case <-ctx.Done():
				}
				return ctx.Err()
			}
		})
		made := f.apply(f.label())
		f.want(made, model.StatusElected)
		drain(true)
		time.Sleep(time.Minute)
		f.want(made, model.StatusElected)
		close(gate)
		f.want(made, model.StatusAllocated)
		f.want(running, model.StatusAllocated)
	})
}

// TestDrainAfterARestartInTheFetch: whether the earlier process made something
// is asked of the driver before the grant is declined.
func TestDrainAfterARestartInTheFetch(t *testing.T) {
	for _, drainedFirst := range []bool{true, false} {
		t.Run(fmt.Sprint("drained before the restart's end: ", drainedFirst), func(t *testing.T) {
			draining(t, func(f *farm, _ *imageServer, drain func(bool), kill func()) {
				app := f.apply(f.label())
				time.Sleep(10 * time.Minute)
				f.want(app, model.StatusElected)
				if drainedFirst {
					f.stop()
					drain(true)
					f.start()
				} else {
					kill()
					time.Sleep(time.Minute)
					f.want(app, model.StatusElected)
					drain(true)
				}
				f.wantDescription(app, model.StatusNew, drained)
				f.wantNothingLeft()
				time.Sleep(time.Hour) // the download goes on
				f.want(app, model.StatusNew)
				drain(false)
				f.want(app, model.StatusAllocated)
			})
		})
	}
}

// TestDrainTakesUpWhatAnEarlierProcessMade although its image is gone since.
func TestDrainTakesUpWhatAnEarlierProcessMade(t *testing.T) {
	inBubble(t, func(_ *testing.T, f *farm) {
		driver := &failing{scripted: f.driver, err: errNoAnswer}
		cached := &cachedOnce{failing: driver}
		var on atomic.Bool
		f.options = func(mo *lifecycle.Options, eo *election.Options) {
			of := func(string) (drivers.Driver, string) { return cached, "" }
			mo.Driver, eo.Driver = of, of
			mo.Draining, eo.Maintenance = on.Load, on.Load
		}
		cached.there.Store(true)
		f.script(func() { f.driver.after = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() } })
		f.start()
		app := f.apply(f.label())
		f.want(app, model.StatusElected)
		f.stop()
		cached.there.Store(false)
		f.script(func() { f.driver.after = nil })
		on.Store(true)
		f.start()
		f.want(app, model.StatusAllocated)
		if f.world.peak() != 1 {
			f.t.Errorf("%d environments were made", f.world.peak())
		}
	})
}

// cachedOnce has its images until a test takes them away.
type cachedOnce struct {
	*failing
	there atomic.Bool
}

func (d *cachedOnce) Cached(model.LabelDefinition) bool { return d.there.Load() }
