package lifecycle_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/election"
	"github.com/aquarium-fish/aquarium-fish/lib/lifecycle"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

const leaveTime = 15 * time.Second

// seated is a farm with an environment in which somebody is logged in while
// the flag is set.
func seated(f *farm) (app model.UID, in *atomic.Bool) {
	in = &atomic.Bool{}
	in.Store(true)
	f.options = func(o *lifecycle.Options, _ *election.Options) {
		o.LoggedIn, o.LeaveTime = func(model.UID) bool { return in.Load() }, leaveTime
	}
	f.start()
	app = f.apply(f.label())
	f.want(app, model.StatusAllocated)
	return app, in
}

// TestReleaseWaitsForSessions: an environment that is given back stays until
// the last one in it has left, and not for longer than he may take.
func TestReleaseWaitsForSessions(t *testing.T) {
	inBubble(t, func(t *testing.T, f *farm) {
		app, in := seated(f)
		f.recall(app)
		time.Sleep(leaveTime - time.Second)
		f.want(app, model.StatusDeallocate)
		if n := f.world.count(); n != 1 {
			t.Fatalf("%d environments while somebody is logged in, want 1", n)
		}
		if trouble, ok := f.manager.Trouble(app); !ok || !strings.Contains(trouble.Err.Error(), "logged in") || trouble.Again.Sub(trouble.At) != leaveTime {
			t.Errorf("it says that it waits for %+v", trouble)
		}
		in.Store(false)
		f.manager.LookAt(app)
		f.want(app, model.StatusDeallocated)
		f.wantNothingLeft()
		f.manager.LookAt(app) // nobody has it any more
	})
}

// TestNobodyIsLoggedInAnyMore: what a release waited for is not told while the
// driver takes its time to remove the environment.
func TestNobodyIsLoggedInAnyMore(t *testing.T) {
	inBubble(t, func(t *testing.T, f *farm) {
		app, in := seated(f)
		removes := make(chan struct{})
		f.script(func() {
			f.driver.before = func(_ context.Context, call string) error {
				if call == "deallocate" {
					<-removes
				}
				return nil
			}
		})
		f.recall(app)
		f.want(app, model.StatusDeallocate)
		if _, ok := f.manager.Trouble(app); !ok {
			t.Error("it does not say that it waits")
		}
		in.Store(false)
		f.manager.LookAt(app)
		f.want(app, model.StatusDeallocate)
		if trouble, ok := f.manager.Trouble(app); ok {
			t.Errorf("it says %+v while it is removed", trouble)
		}
		close(removes)
		f.want(app, model.StatusDeallocated)
		f.wantNothingLeft()
	})
}

// TestSessionsThatDoNotEnd: the release comes when their time is over, whoever
// asked for it.
func TestSessionsThatDoNotEnd(t *testing.T) {
	inBubble(t, func(_ *testing.T, f *farm) {
		app, _ := seated(f)
		f.recall(app)
		time.Sleep(leaveTime - time.Nanosecond)
		f.want(app, model.StatusDeallocate)
		time.Sleep(time.Nanosecond)
		f.want(app, model.StatusDeallocated)
		f.wantNothingLeft()

		short := f.apply(f.label(definition(1, 1, "1m")))
		f.want(short, model.StatusAllocated)
		time.Sleep(time.Minute + leaveTime - time.Nanosecond)
		f.want(short, model.StatusDeallocate)
		time.Sleep(time.Nanosecond)
		f.want(short, model.StatusDeallocated)
		f.wantNothingLeft()
	})
}

// TestRestartWhileSessionsEnd: a stop of the node cuts them, so that nothing is
// waited for after it.
func TestRestartWhileSessionsEnd(t *testing.T) {
	inBubble(t, func(_ *testing.T, f *farm) {
		app, in := seated(f)
		f.recall(app)
		time.Sleep(time.Second)
		f.want(app, model.StatusDeallocate)
		in.Store(false)
		f.restart()
		f.want(app, model.StatusDeallocated)
		f.wantNothingLeft()
	})
}

// TestTasksBesideSessions: what is to be done with an environment before it is
// removed is not held up by who is in it.
func TestTasksBesideSessions(t *testing.T) {
	inBubble(t, func(t *testing.T, f *farm) {
		app, _ := seated(f)
		task := f.task(app, "snapshot", model.StatusDeallocate)
		f.recall(app)
		f.want(app, model.StatusDeallocate)
		if got := f.result(app, task); got != `{"when":"DEALLOCATE"}` {
			t.Errorf("the task has %s", got)
		}
		time.Sleep(leaveTime)
		f.want(app, model.StatusDeallocated)
		f.wantNothingLeft()
	})
}
