package lifecycle_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/capacity"
	"github.com/aquarium-fish/aquarium-fish/lib/election"
	"github.com/aquarium-fish/aquarium-fish/lib/lifecycle"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

// write changes an application from outside, as another node or an old
// database would have.
func (f *farm) write(app model.UID, c model.Change) {
	f.t.Helper()
	_, err := f.store.Update(context.Background(), app, func(*model.Entry) (model.Change, error) { return c, nil })
	if err != nil {
		f.t.Fatal(err)
	}
}

// TestManyDeclinesDelayButDoNotExclude lets the pause after a decline grow
// beyond the election's tick, which looks at the application again meanwhile.
func TestManyDeclinesDelayButDoNotExclude(t *testing.T) {
	inBubble(t, func(_ *testing.T, f *farm) {
		f.absent = "later"
		f.start()
		app := f.apply(f.label())
		for epoch := range uint32(10) {
			f.write(app, model.Change{States: []model.ApplicationState{
				{Status: model.StatusElected, Epoch: epoch + 1, Decision: &model.Decision{Winner: self}},
				{Status: model.StatusDeclined, Epoch: epoch + 1},
			}})
		}
		f.script(func() { f.absent = "" })
		f.want(app, model.StatusNew)
		time.Sleep(time.Minute)
		f.want(app, model.StatusAllocated)
		f.recall(app)
		f.wantNothingLeft()
	})
}

// TestEndedGrantIsStillReleased is what an old database leaves: the last row
// is there, but so is the environment.
func TestEndedGrantIsStillReleased(t *testing.T) {
	inBubble(t, func(t *testing.T, f *farm) {
		f.start()
		app := f.apply(f.label())
		f.want(app, model.StatusAllocated)
		f.write(app, model.Change{States: []model.ApplicationState{{Status: model.StatusError, Epoch: 1, Description: "d"}}})
		f.want(app, model.StatusError)
		if e := f.entry(app); !e.Done() {
			t.Errorf("not done: %+v", e.Allocations)
		}
		f.wantNothingLeft()
	})
}

// TestRecallDuringAnInspectionIsNeverLost recalls while a driver hangs in a
// look at the environment, after many that failed.
func TestRecallDuringAnInspectionIsNeverLost(t *testing.T) {
	inBubble(t, func(t *testing.T, f *farm) {
		f.start()
		app := f.apply(f.label())
		f.want(app, model.StatusAllocated)
		f.stop()
		var hang atomic.Bool
		f.driver.before = func(ctx context.Context, call string) error {
			if call != "inspect" {
				return nil
			}
			if hang.Load() {
				<-ctx.Done()
				return ctx.Err()
			}
			return errors.New("engine is down")
		}
		f.start()
		time.Sleep(10 * time.Minute)
		hang.Store(true)
		time.Sleep(61 * time.Second) // the longest pause
		before := time.Now()
		f.recall(app)
		f.want(app, model.StatusDeallocated)
		if took := time.Since(before); took != 0 {
			t.Errorf("released after %v, want at once", took)
		}
		f.wantNothingLeft()
	})
}

// TestEnvironmentOfAnUnknownDriverIsNoStray has an allocation of which an old
// database did not know the driver.
func TestEnvironmentOfAnUnknownDriverIsNoStray(t *testing.T) {
	inBubble(t, func(t *testing.T, f *farm) {
		f.driver.limits = drivers.Limits{CPU: 4}
		f.start()
		app := f.apply(f.label(definition(9, 1, ""))) // never fits by itself
		f.script(func() { f.world.envs["old"] = "" })
		f.write(app, model.Change{
			States: []model.ApplicationState{
				{Status: model.StatusElected, Epoch: 1, Decision: &model.Decision{Winner: self}},
				{Status: model.StatusAllocated, Epoch: 1},
			},
			Allocations: []model.Allocation{{Epoch: 1, Identifier: "env-old"}},
		})
		time.Sleep(5 * time.Minute)
		if n := f.world.count(); n != 1 {
			t.Errorf("%d environments, want the old one to live", n)
		}
		f.want(app, model.StatusAllocated)
		f.recall(app)
		f.want(app, model.StatusDeallocated)
		f.wantNothingLeft()
	})
}

// TestWatchThatFailsLeadsToALook has an environment that vanishes without an
// end to tell of.
func TestWatchThatFailsLeadsToALook(t *testing.T) {
	inBubble(t, func(_ *testing.T, f *farm) {
		f.start()
		app := f.apply(f.label())
		f.want(app, model.StatusAllocated)
		f.script(func() { clear(f.world.envs) })
		f.world.end("", "") // wakes the watch, which finds nothing
		f.wantDescription(app, model.StatusDeallocated, "Environment is gone")
		f.wantNothingLeft()
	})
}

func TestPanicInADriverIsItsError(t *testing.T) {
	inBubble(t, func(_ *testing.T, f *farm) {
		f.driver.before = func(_ context.Context, call string) error {
			if call == "allocate" {
				panic("nil map")
			}
			return nil
		}
		f.start()
		app := f.apply(f.label())
		f.want(app, model.StatusError)
		f.wantNothingLeft()
	})
}

// TestPanicBesideALife: neither the reaper nor a watch takes the node along.
func TestPanicBesideALife(t *testing.T) {
	inBubble(t, func(_ *testing.T, f *farm) {
		f.start()
		app := f.apply(f.label())
		f.want(app, model.StatusAllocated)
		f.script(func() {
			f.driver.before = func(_ context.Context, call string) error {
				if call == "list" || call == "watch" {
					panic("nil map")
				}
				return nil
			}
		})
		f.world.end("", "") // the watch begins anew
		time.Sleep(5 * time.Minute)
		f.want(app, model.StatusAllocated)
		f.recall(app)
		f.wantNothingLeft()
	})
}

// TestDrainDuringAVote drains the node when it has looked whether it takes
// anything and before it has granted: nothing begins once it counts as empty.
func TestDrainDuringAVote(t *testing.T) {
	inBubble(t, func(t *testing.T, f *farm) {
		var looks atomic.Int32
		f.options = func(_ *lifecycle.Options, o *election.Options) {
			o.Maintenance = func() bool { return looks.Add(1) > 1 } // a pass with nothing to vote on does not look
		}
		f.start()
		app := f.apply(f.label())
		time.Sleep(time.Minute)
		f.want(app, model.StatusNew)
		if n := f.manager.Running(); n != 0 {
			t.Errorf("Running() = %d, want 0", n)
		}
	})
}

// TestRunningCountsFromTheVote: a drain that waits until nothing runs does not
// miss what is about to.
func TestRunningCountsFromTheVote(t *testing.T) {
	inBubble(t, func(t *testing.T, f *farm) {
		f.start()
		now := time.Now()
		app := model.UID{9}
		if err := f.ledger.Hold(app, f.claim(1), capacity.Offer{Free: 1}, now, now.Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if n := f.manager.Running(); n != 1 {
			t.Errorf("Running() with a hold = %d, want 1", n)
		}
		f.ledger.Unhold(app)
		running := f.apply(f.label())
		f.want(running, model.StatusAllocated)
		if n := f.manager.Running(); n != 1 {
			t.Errorf("Running() with a runner and its reservation = %d, want 1", n)
		}
		f.recall(running)
		f.wantNothingLeft()
		if n := f.manager.Running(); n != 0 {
			t.Errorf("Running() in the end = %d, want 0", n)
		}
	})
}

// TestDriverThatNeverReturns: it is waited for, and everybody can see that.
func TestDriverThatNeverReturns(t *testing.T) {
	inBubble(t, func(t *testing.T, f *farm) {
		release := make(chan struct{})
		f.driver.before = func(ctx context.Context, call string) error {
			if call == "allocate" {
				<-release // whatever its context says
				return ctx.Err()
			}
			return nil
		}
		f.start()
		late, recalled := f.apply(f.label()), f.apply(f.label())
		time.Sleep(5 * time.Minute)
		f.recall(recalled)
		hangs := func(app model.UID) bool {
			trouble, ok := f.manager.Trouble(app)
			return ok && trouble.What == "driver hangs"
		}
		time.Sleep(50 * time.Second)
		if hangs(recalled) {
			t.Error("a driver that was told to stop 50 s ago is said to hang")
		}
		time.Sleep(11 * time.Second)
		if !hangs(recalled) || hangs(late) {
			t.Error("a driver that was told to stop a minute ago is not said to hang, or one whose time is not over is")
		}
		time.Sleep(6 * time.Minute) // allocate_timeout is 10 minutes
		if !hangs(late) {
			t.Error("a driver whose time was over a minute ago is not said to hang")
		}
		close(release)
		f.want(late, model.StatusError)
		f.wantNothingLeft()
		if hangs(late) || hangs(recalled) {
			t.Error("they are said to hang after they returned")
		}
	})
}

// TestWatchThatNeverReturns: a release waits for it, and everybody can see that.
func TestWatchThatNeverReturns(t *testing.T) {
	inBubble(t, func(t *testing.T, f *farm) {
		release := make(chan struct{})
		f.driver.before = func(_ context.Context, call string) error {
			if call == "watch" {
				<-release // whatever its context says
			}
			return nil
		}
		f.start()
		app := f.apply(f.label())
		f.want(app, model.StatusAllocated)
		f.recall(app)
		hangs := func() bool {
			trouble, ok := f.manager.Trouble(app)
			return ok && trouble.What == "driver hangs"
		}
		time.Sleep(50 * time.Second)
		if hangs() {
			t.Error("a watch that was told to stop 50 s ago is said to hang")
		}
		time.Sleep(11 * time.Second)
		if !hangs() {
			t.Error("a watch that was told to stop a minute ago is not said to hang")
		}
		close(release)
		f.want(app, model.StatusDeallocated)
		f.wantNothingLeft()
		if hangs() {
			t.Error("it is said to hang after it returned")
		}
	})
}

// faulty is a store that fails to write about one application.
type faulty struct {
	*store.Store

	mu    sync.Mutex
	app   model.UID
	calls int
	fails int // how many of the calls
}

// fail sets the application and how many of the calls about it fail.
func (s *faulty) fail(app model.UID, calls int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.app, s.fails = app, calls
}

func (s *faulty) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

// rotten counts a call and reports whether it fails.
func (s *faulty) rotten(app model.UID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if app != s.app {
		return false
	}
	s.calls++
	return s.calls <= s.fails
}

var errRotten = errors.New("page is rotten")

func (s *faulty) Update(ctx context.Context, app model.UID, decide func(*model.Entry) (model.Change, error)) (*model.Entry, error) {
	if s.rotten(app) {
		return nil, errRotten
	}
	return s.Store.Update(ctx, app, decide)
}

// electOn starts a farm whose election writes through a faulty store.
func electOn(f *farm) *faulty {
	s := &faulty{}
	f.options = func(_ *lifecycle.Options, o *election.Options) {
		s.Store = f.store
		o.Store = s
	}
	f.start()
	return s
}

func TestElectionDoesNotSpinOnAWriteThatFails(t *testing.T) {
	inBubble(t, func(t *testing.T, f *farm) {
		f.absent = "later"
		s := electOn(f)
		label := f.label()
		rotten, good := f.apply(label), f.apply(label)
		s.fail(rotten, 1000)
		f.script(func() { f.absent = "" })
		f.election.Wake()
		time.Sleep(time.Minute)
		f.want(good, model.StatusAllocated)
		if n := s.count(); n > 30 {
			t.Errorf("%d tries in a minute", n)
		}
		s.fail(rotten, 0)
		time.Sleep(10 * time.Second)
		f.want(rotten, model.StatusAllocated)
	})
}

// TestBusyElectionKeepsItsSafetyNet loses a write while there is always
// something to do.
func TestBusyElectionKeepsItsSafetyNet(t *testing.T) {
	inBubble(t, func(t *testing.T, f *farm) {
		f.absent = "for good"
		s := electOn(f)
		app := f.apply(f.label())
		f.want(app, model.StatusNew)
		s.fail(app, 1)
		f.recall(app)
		for range 20 {
			time.Sleep(time.Second)
			f.election.Wake()
		}
		synctest.Wait()
		if !f.entry(app).Fold.Closed {
			t.Error("the recalled application is not closed")
		}
	})
}

// TestRestoredIntentCountsInTheDriver has one place left, promised before the
// restart, that the driver does not know of yet.
func TestRestoredIntentCountsInTheDriver(t *testing.T) {
	inBubble(t, func(t *testing.T, f *farm) {
		f.driver.before = func(ctx context.Context, call string) error {
			if call != "allocate" {
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		}
		f.driver.capacity = 1
		f.start()
		label := f.label()
		app := f.apply(label)
		f.want(app, model.StatusElected)
		f.restart()
		f.want(app, model.StatusElected)
		if err := f.ledger.Fits(f.claim(1), capacity.Offer{Limits: drivers.Limits{}, Free: 1}); err == nil {
			t.Error("the place is promised a second time")
		}
	})
}
