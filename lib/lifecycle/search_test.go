package lifecycle_test

import (
	"context"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/election"
	"github.com/aquarium-fish/aquarium-fish/lib/lifecycle"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// onList is a driver whose list does something first, on a node that nothing fits on.
func onList(f *farm, before func(ctx context.Context)) {
	f.driver.limits = drivers.Limits{CPU: 4}
	f.driver.before = func(ctx context.Context, call string) error {
		if call == "list" {
			before(ctx)
		}
		return ctx.Err()
	}
}

// grantOfBefore is a grant by the vote of an earlier process.
func grantOfBefore(definition int) model.ApplicationState {
	return model.ApplicationState{Status: model.StatusElected, Epoch: 1, Decision: &model.Decision{Winner: self, Definition: definition}}
}

// grantedBefore is an application with such a grant, and further rows.
func (f *farm) grantedBefore(definition int, rows ...model.ApplicationState) model.UID {
	f.t.Helper()
	app := f.apply(f.label(tooLarge()))
	f.write(app, model.Change{States: append([]model.ApplicationState{grantOfBefore(definition)}, rows...)})
	return app
}

func tooLarge() model.LabelDefinition { return definition(9, 1, "") }

func (f *farm) declined(app model.UID) bool {
	for _, s := range f.entry(app).States {
		if s.Status == model.StatusDeclined {
			return true
		}
	}
	return false
}

// TestListThatNeverReturns: a grant of before waits for the driver, and everybody can see that.
func TestListThatNeverReturns(t *testing.T) {
	inBubble(t, func(t *testing.T, f *farm) {
		release := make(chan struct{})
		onList(f, func(context.Context) { <-release })
		f.start()
		app := f.grantedBefore(0)
		rest(119 * time.Second)
		hangs := func() bool {
			trouble, ok := f.manager.Trouble(app)
			return ok && trouble.What == "driver hangs"
		}
		if hangs() {
			t.Error("a driver whose time was over 59 s ago is said to hang")
		}
		rest(2 * time.Second)
		if !hangs() {
			t.Error("a driver whose time was over a minute ago is not said to hang")
		}
		close(release)
		rest(time.Second)
		if !f.declined(app) {
			t.Error("the grant is not declined after the driver returned")
		}
		if hangs() {
			t.Error("it is said to hang after it returned")
		}
	})
}

// TestRecallDoesNotWaitForASearch: neither one that goes on nor one to come.
func TestRecallDoesNotWaitForASearch(t *testing.T) {
	for _, tt := range []struct {
		name string
		rows []model.ApplicationState
		then func(f *farm, app model.UID)
	}{
		{"recalled before", []model.ApplicationState{{Status: model.StatusRecalled}}, func(*farm, model.UID) {}},
		{"recalled meanwhile", nil, func(f *farm, app model.UID) { rest(10 * time.Second); f.recall(app) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(_ *testing.T, f *farm) {
				onList(f, func(ctx context.Context) { <-ctx.Done() })
				f.start()
				app := f.grantedBefore(0, tt.rows...)
				tt.then(f, app)
				f.wantDescription(app, model.StatusDeallocated, "Recalled before anything was allocated")
				f.wantNothingLeft()
			})
		})
	}
}

// TestRecallWaitsForASearchInALapse: what the reaper spares the release has to find.
func TestRecallWaitsForASearchInALapse(t *testing.T) {
	inBubble(t, func(_ *testing.T, f *farm) {
		since := time.Now()
		f.options = func(o *lifecycle.Options, _ *election.Options) {
			o.Lapsed = func() (time.Time, bool) { return since, true }
		}
		onList(f, func(context.Context) { time.Sleep(20 * time.Second) })
		f.start()
		app := f.apply(f.label(tooLarge()))
		f.script(func() { f.world.envs["t"], f.world.apps["t"] = "", app })
		f.write(app, model.Change{States: []model.ApplicationState{grantOfBefore(0)}})
		rest(time.Second)
		f.recall(app)
		rest(10 * time.Second)
		f.want(app, model.StatusRecalled)
		rest(10 * time.Second)
		f.want(app, model.StatusDeallocated)
		f.wantNothingLeft()
	})
}

// TestDriversAreSearchedAtTheSameTime: one after the other they would take the
// time of all.
func TestDriversAreSearchedAtTheSameTime(t *testing.T) {
	inBubble(t, func(t *testing.T, f *farm) {
		f.options = func(o *lifecycle.Options, _ *election.Options) {
			o.Instances = func() []string { return []string{"test", "other"} }
			o.Driver = func(string) (drivers.Driver, string) { return f.driver, "" }
		}
		onList(f, func(context.Context) { time.Sleep(50 * time.Second) })
		f.start()
		app := f.grantedBefore(7) // no definition of its label: nothing says whose it is
		rest(49 * time.Second)
		if f.declined(app) {
			t.Error("declined before the drivers have answered")
		}
		rest(2 * time.Second)
		if !f.declined(app) {
			t.Error("not declined although the drivers have answered")
		}
	})
}

// TestBeginningForgottenAndRecalled: what was being made before a volume was put
// back is removed although the recall does not wait for the search.
func TestBeginningForgottenAndRecalled(t *testing.T) {
	inBubble(t, func(t *testing.T, f *farm) {
		app, before := f.beginning()
		f.rewind(before, func() {
			onList(f, func(ctx context.Context) {
				select {
				case <-time.After(20 * time.Second):
				case <-ctx.Done():
				}
			})
		})
		rest(time.Second)
		f.recall(app)
		f.want(app, model.StatusDeallocated)
		if f.world.count() != 1 {
			t.Fatalf("%d environments, want the one that nobody knows of", f.world.count())
		}
		rest(5 * time.Minute)
		f.wantNothingLeft()
	})
}

// TestVoteOfThisProcess: what it voted for itself no earlier process has begun,
// also where it took the vote back since, as it does when it drains.
func TestVoteOfThisProcess(t *testing.T) {
	for _, tt := range []struct {
		name        string
		boot, voter uint64
		want        bool
	}{
		{"this one", 7, 7, true},
		{"an earlier one", 8, 7, false},
		{"votes without a boot", 0, 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, f *farm) {
				f.options = func(o *lifecycle.Options, _ *election.Options) { o.Voter = tt.voter }
				onList(f, func(ctx context.Context) { <-ctx.Done() })
				f.start()
				app := f.apply(f.label(tooLarge()))
				grant := grantOfBefore(0)
				grant.Decision.Yes = []model.Vote{{NodeUID: self, Boot: tt.boot}}
				f.write(app, model.Change{States: []model.ApplicationState{grant}})
				rest(time.Second)
				if got := f.declined(app); got != tt.want {
					t.Errorf("declined at once: %t, want %t", got, tt.want)
				}
			})
		})
	}
}
