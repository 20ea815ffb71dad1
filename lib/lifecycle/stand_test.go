package lifecycle_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/election"
	"github.com/aquarium-fish/aquarium-fish/lib/lifecycle"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

const suspended, resumed = `{"suspended":true}`, `{"resumed":true}`

// wantResult fails unless the task has the result now, at rest.
func (f *farm) wantResult(app, task model.UID, want string) {
	f.t.Helper()
	synctest.Wait()
	if got := f.result(app, task); got != want {
		f.t.Errorf("the task yielded %s, want %s", got, want)
	}
}

func (f *farm) wantDone(want ...string) {
	f.t.Helper()
	synctest.Wait()
	if got := f.world.done(); !slices.Equal(got, want) {
		f.t.Errorf("done: %q, want %q", got, want)
	}
}

func TestSuspendAndResume(t *testing.T) {
	inBubble(t, func(_ *testing.T, f *farm) {
		f.start()
		app := f.apply(f.label())
		f.want(app, model.StatusAllocated)
		for range 2 { // twice is no error
			f.wantResult(app, f.task(app, "suspend", model.StatusAllocated), suspended)
		}
		f.wantResult(app, f.task(app, "snapshot", model.StatusAllocated), `{"when":"ALLOCATED"}`)
		f.want(app, model.StatusAllocated)
		f.restart()
		f.want(app, model.StatusAllocated)
		for range 2 {
			f.wantResult(app, f.task(app, "resume", model.StatusAllocated), resumed)
		}
		f.wantDone("suspend", "suspend", "snapshot at ALLOCATED with 1", "resume", "resume")
		f.recall(app)
		f.want(app, model.StatusDeallocated)
		f.wantNothingLeft()
	})
}

// TestSuspendedIsReleased: nobody has to resume it.
func TestSuspendedIsReleased(t *testing.T) {
	for name, end := range map[string]struct {
		by  func(f *farm, app model.UID)
		how string
	}{
		"recalled":  {func(f *farm, app model.UID) { f.recall(app) }, "Requested by user u"},
		"lifetime":  {func(*farm, model.UID) { time.Sleep(time.Hour) }, "Resource lifetime timeout reached:1h0m0s"},
		"its end":   {func(f *farm, app model.UID) { f.world.end(f.entry(app).Resource.Identifier, "killed") }, "Environment ended by itself: killed"},
		"a restart": {func(f *farm, app model.UID) { f.restart(); f.recall(app) }, "Requested by user u"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(_ *testing.T, f *farm) {
				f.start()
				app := f.apply(f.label(definition(1, 1, "1h")))
				f.want(app, model.StatusAllocated)
				f.wantResult(app, f.task(app, "suspend", model.StatusAllocated), suspended)
				time.Sleep(59 * time.Minute)
				f.want(app, model.StatusAllocated)
				end.by(f, app)
				f.wantDescription(app, model.StatusDeallocated, end.how)
				f.wantNothingLeft()
			})
		})
	}
}

// TestSuspendCutShort: the node dies between the deed and its record.
func TestSuspendCutShort(t *testing.T) {
	inBubble(t, func(_ *testing.T, f *farm) {
		f.start()
		app := f.apply(f.label())
		f.want(app, model.StatusAllocated)
		f.script(func() {
			f.driver.stood = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		})
		task := f.task(app, "suspend", model.StatusAllocated)
		f.wantDone("suspend")
		f.wantResult(app, task, `{}`)
		f.stop()
		f.driver.stood = nil
		f.start()
		f.wantResult(app, task, suspended)
		f.wantDone("suspend", "suspend")
	})
}

// TestSuspendKeepsItsPlace: what was asked for after it does not overtake it
// while it fails, nor does it overtake.
func TestSuspendKeepsItsPlace(t *testing.T) {
	inBubble(t, func(_ *testing.T, f *farm) {
		failing := "suspend"
		f.driver.before = func(_ context.Context, call string) error {
			if call == failing {
				return errors.New("not now")
			}
			return nil
		}
		f.start()
		app := f.apply(f.label())
		f.want(app, model.StatusAllocated)
		f.task(app, "suspend", model.StatusAllocated)
		synctest.Wait()
		f.task(app, "snapshot", model.StatusAllocated)
		last := f.task(app, "resume", model.StatusAllocated)
		time.Sleep(time.Minute)
		f.wantDone()
		f.script(func() { failing = "task" })
		time.Sleep(10 * time.Second)
		f.wantDone("suspend")
		f.wantResult(app, last, `{}`)
		f.script(func() { failing = "" })
		time.Sleep(10 * time.Second)
		f.wantDone("suspend", "snapshot at ALLOCATED with 1", "resume")
		f.wantResult(app, last, resumed)
	})
}

// TestSuspendThatFails ends with the timeout, and then those after it run.
func TestSuspendThatFails(t *testing.T) {
	inBubble(t, func(_ *testing.T, f *farm) {
		f.driver.before = func(_ context.Context, call string) error {
			if call == "suspend" {
				return errors.New("frozen freezer")
			}
			return nil
		}
		f.start()
		app := f.apply(f.label())
		f.want(app, model.StatusAllocated)
		task := f.task(app, "suspend", model.StatusAllocated)
		synctest.Wait()
		next := f.task(app, "snapshot", model.StatusAllocated)
		time.Sleep(61 * time.Minute)
		f.wantResult(app, task, `{"error":"frozen freezer"}`)
		f.wantResult(app, next, `{"when":"ALLOCATED"}`)
		f.want(app, model.StatusAllocated)
	})
}

// plain is a driver that can not suspend.
type plain struct{ drivers.Driver }

// TestSuspendWhereItIsNotAvailable: a task that can not be done ends at once.
func TestSuspendWhereItIsNotAvailable(t *testing.T) {
	const unavailable = `{"error":"task not available in driver"}`
	for name, change := range map[string]func(f *farm){
		"no such driver": func(f *farm) {
			f.options = func(l *lifecycle.Options, e *election.Options) {
				l.Driver = func(name string) (drivers.Driver, string) {
					d, absent := f.driverOf(name)
					return plain{d}, absent
				}
				e.Driver = l.Driver
			}
		},
		"no such engine": func(f *farm) {
			f.driver.before = func(_ context.Context, call string) error {
				if call == "suspend" || call == "resume" {
					return drivers.ErrTaskUnknown
				}
				return nil
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(_ *testing.T, f *farm) {
				change(f)
				f.start()
				app := f.apply(f.label())
				f.want(app, model.StatusAllocated)
				f.wantResult(app, f.task(app, "suspend", model.StatusAllocated), unavailable)
				f.wantResult(app, f.task(app, "resume", model.StatusAllocated), unavailable)
				f.wantDone()
			})
		})
	}
}

// TestSuspendThatCanNotBe: a driver's own words end the task, at once.
func TestSuspendThatCanNotBe(t *testing.T) {
	inBubble(t, func(_ *testing.T, f *farm) {
		f.driver.before = func(_ context.Context, call string) error {
			if call == "suspend" {
				return fmt.Errorf("suspend: %w", drivers.Unable("its label has no hibernate"))
			}
			return nil
		}
		f.start()
		app := f.apply(f.label())
		f.want(app, model.StatusAllocated)
		f.wantResult(app, f.task(app, "suspend", model.StatusAllocated), `{"error":"its label has no hibernate"}`)
		f.wantDone()
	})
}

func TestSuspendWithOptionsThatAreNone(t *testing.T) {
	inBubble(t, func(t *testing.T, f *farm) {
		f.start()
		app := f.apply(f.label())
		f.want(app, model.StatusAllocated)
		e, err := f.store.Update(t.Context(), app, func(*model.Entry) (model.Change, error) {
			return model.Change{Tasks: []model.ApplicationTask{{
				Task: "suspend", When: "ALLOCATED", Options: json.RawMessage(`["now"]`), Result: json.RawMessage(`{}`),
			}}}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		f.wantResult(app, e.Tasks[0].UID, `{"error":"task not available in driver"}`)
		f.wantDone()
	})
}
