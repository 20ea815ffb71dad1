package lifecycle_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/capacity"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

func TestRestartWhileAllocated(t *testing.T) {
	inBubble(t, func(t *testing.T, f *farm) {
		f.start()
		app := f.apply(f.label(definition(3, 1, "")))
		f.want(app, model.StatusAllocated)
		f.stop()
		if f.world.count() != 1 {
			t.Fatal("stopping the node removed the environment")
		}
		f.start()
		if got := f.entry(app).Fold.Status(); got != model.StatusAllocated {
			t.Errorf("the first look shows %s", got)
		}
		if err := f.ledger.Fits(f.claim(2), capacity.Offer{Limits: drivers.Limits{CPU: 4}, Free: 1}); err == nil {
			t.Error("the ledger forgot what runs")
		}
		f.recall(app)
		f.want(app, model.StatusDeallocated)
		f.wantNothingLeft()
	})
}

func TestRestartFindsTheEnvironmentGone(t *testing.T) {
	inBubble(t, func(_ *testing.T, f *farm) {
		f.start()
		app := f.apply(f.label())
		f.want(app, model.StatusAllocated)
		f.stop()
		f.script(func() { clear(f.world.envs) })
		f.start()
		f.wantDescription(app, model.StatusDeallocated, "Environment is gone")
		f.wantNothingLeft()
	})
}

func TestRestartThatCanNotLookIsNoAbsence(t *testing.T) {
	inBubble(t, func(t *testing.T, f *farm) {
		f.start()
		app := f.apply(f.label())
		f.want(app, model.StatusAllocated)
		f.stop()
		f.script(func() {
			f.driver.before = func(_ context.Context, call string) error {
				if call == "inspect" {
					return errors.New("engine is not up yet")
				}
				return nil
			}
		})
		f.start()
		time.Sleep(time.Hour)
		f.want(app, model.StatusAllocated)
		if f.world.count() != 1 {
			t.Error("an environment that could not be looked at was removed")
		}
		f.recall(app)
		f.want(app, model.StatusDeallocated)
		f.wantNothingLeft()
	})
}

func TestRestartDuringAllocation(t *testing.T) {
	for _, made := range []bool{false, true} {
		inBubble(t, func(t *testing.T, f *farm) {
			hang := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
			if made {
				f.driver.after = hang
			} else {
				f.script(func() {
					f.driver.before = func(ctx context.Context, call string) error {
						if call == "allocate" {
							return hang(ctx)
						}
						return nil
					}
				})
			}
			f.start()
			app := f.apply(f.label())
			f.want(app, model.StatusElected)
			f.stop()
			f.script(func() { f.driver.before, f.driver.after = nil, nil })
			f.start()
			f.want(app, model.StatusAllocated)
			if f.world.peak() != 1 {
				t.Errorf("%d environments existed for one application", f.world.peak())
			}
			if got := f.entry(app).Fold.Grant.Epoch; got != 1 {
				t.Errorf("epoch is %d: an intent must be taken up, not granted again", got)
			}
			f.recall(app)
			f.want(app, model.StatusDeallocated)
			f.wantNothingLeft()
		})
	}
}

func TestGrantWithoutIntentIsDeclinedAndGrantedAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, f *farm) {
		f.script(func() { f.driver.capacity = 0 })
		f.start()
		app := f.apply(f.label())
		f.want(app, model.StatusNew)
		// What a node leaves that died between grant and intent.
		_, err := f.store.Update(context.Background(), app, func(*model.Entry) (model.Change, error) {
			return model.Change{States: []model.ApplicationState{{
				UID: model.GrantUID(app, 1, self), Status: model.StatusElected, Epoch: 1,
				Decision: &model.Decision{Winner: self},
			}}}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		f.want(app, model.StatusNew)
		f.script(func() { f.driver.capacity = 1 })
		time.Sleep(5 * time.Second)
		f.want(app, model.StatusAllocated)
		if got := f.entry(app).Fold; got.Grant.Epoch != 2 || got.Declined != 1 {
			t.Errorf("fold is %+v, want epoch 2 after one decline", got)
		}
		f.recall(app)
		f.want(app, model.StatusDeallocated)
		f.wantNothingLeft()
	})
}

func TestRestartDuringRelease(t *testing.T) {
	inBubble(t, func(_ *testing.T, f *farm) {
		f.start()
		app := f.apply(f.label())
		f.want(app, model.StatusAllocated)
		f.script(func() {
			f.driver.before = func(_ context.Context, call string) error {
				if call == "deallocate" {
					return errors.New("not now")
				}
				return nil
			}
		})
		f.recall(app)
		f.want(app, model.StatusDeallocate)
		f.restart()
		f.want(app, model.StatusDeallocate)
		f.script(func() { f.driver.before = nil })
		time.Sleep(time.Minute)
		f.want(app, model.StatusDeallocated)
		f.wantNothingLeft()
	})
}

// A release that has begun may have removed the environment: a task that is
// posted then has nothing to run on, and must not hold up the release.
func TestTaskPostedDuringAReleaseDoesNotHoldItUp(t *testing.T) {
	for name, again := range map[string]func(*farm){"restart": (*farm).restart, "retry": func(*farm) {}} {
		inBubble(t, func(t *testing.T, f *farm) {
			f.start()
			app := f.apply(f.label())
			f.want(app, model.StatusAllocated)
			f.script(func() {
				f.driver.before = func(_ context.Context, call string) error {
					if call != "deallocate" {
						return nil
					}
					f.script(func() { clear(f.world.envs) })
					return errors.New("the answer was lost")
				}
			})
			f.recall(app)
			f.want(app, model.StatusDeallocate)
			task := f.task(app, "snapshot", model.StatusDeallocate)
			synctest.Wait()
			f.script(func() { f.driver.before = nil })
			again(f)
			time.Sleep(time.Minute) // the longest pause between tries
			f.want(app, model.StatusDeallocated)
			if got := f.result(app, task); got != `{"error":"Application ended before the task could run"}` {
				t.Errorf("%s: the task ended with %s", name, got)
			}
			f.wantNothingLeft()
		})
	}
}

func TestRestartBeforeAReleaseRunsItsTasks(t *testing.T) {
	inBubble(t, func(t *testing.T, f *farm) {
		f.start()
		app := f.apply(f.label())
		f.want(app, model.StatusAllocated)
		task := f.task(app, "snapshot", model.StatusDeallocate)
		f.script(func() {
			f.driver.before = func(_ context.Context, call string) error {
				if call == "task" {
					return errors.New("engine is busy")
				}
				return nil
			}
		})
		f.recall(app)
		f.want(app, model.StatusDeallocate)
		f.script(func() { f.driver.before = nil })
		f.restart()
		f.want(app, model.StatusDeallocated)
		if got := f.result(app, task); got != `{"when":"DEALLOCATE"}` {
			t.Errorf("the task ended with %s", got)
		}
		f.wantNothingLeft()
	})
}

func TestRestartAfterAFailedAllocation(t *testing.T) {
	inBubble(t, func(_ *testing.T, f *farm) {
		f.script(func() {
			f.driver.before = func(_ context.Context, call string) error {
				if call == "allocate" || call == "deallocate" {
					return errors.New(call + " broke")
				}
				return nil
			}
		})
		f.start()
		app := f.apply(f.label())
		f.want(app, model.StatusElected)
		f.restart()
		f.want(app, model.StatusElected)
		f.script(func() { f.driver.before = nil })
		time.Sleep(time.Minute)
		f.wantDescription(app, model.StatusError, "Driver allocate resource error:allocate broke")
		f.wantNothingLeft()
	})
}

func TestDriverThatComesBackLater(t *testing.T) {
	inBubble(t, func(_ *testing.T, f *farm) {
		f.start()
		app := f.apply(f.label())
		f.want(app, model.StatusAllocated)
		f.stop()
		f.script(func() { f.absent = "engine is down" })
		f.start()
		f.want(app, model.StatusAllocated)
		f.recall(app)
		waiting := f.apply(f.label())
		time.Sleep(time.Hour)
		f.want(app, model.StatusDeallocate)
		f.want(waiting, model.StatusNew)
		f.script(func() { f.absent = "" })
		f.manager.DriversChanged()
		f.election.Wake()
		f.want(app, model.StatusDeallocated)
		f.want(waiting, model.StatusAllocated)
		f.recall(waiting)
		synctest.Wait()
		f.wantNothingLeft()
	})
}

func TestStrayIsRemovedAfterTwoSightings(t *testing.T) {
	t.Run("", func(t *testing.T) { testStray(t, nil) })
	t.Run("of a driver that can not list all", func(t *testing.T) { testStray(t, errors.New("a claim can not be read")) })
}

func testStray(t *testing.T, more error) {
	inBubble(t, func(t *testing.T, f *farm) {
		f.driver.more = more
		f.start()
		app := f.apply(f.label())
		f.want(app, model.StatusAllocated)
		f.script(func() { f.world.envs["0123456789abcdef0123456789abcdef"] = "" })
		time.Sleep(time.Minute + time.Second)
		if f.world.count() != 2 {
			t.Fatal("a stray was removed at its first sighting")
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if f.world.count() != 1 {
			t.Error("the stray is still there after two sightings")
		}
		f.want(app, model.StatusAllocated)
		f.recall(app)
		f.want(app, model.StatusDeallocated)
		f.wantNothingLeft()
	})
}
