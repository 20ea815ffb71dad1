package lifecycle_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/election"
	"github.com/aquarium-fish/aquarium-fish/lib/lifecycle"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

func TestFirstComeFirstServed(t *testing.T) {
	inBubble(t, func(t *testing.T, f *farm) {
		f.driver.limits = drivers.Limits{CPU: 2}
		f.start()
		label := f.label()
		var apps []model.UID
		for range 6 {
			apps = append(apps, f.apply(label))
			time.Sleep(time.Millisecond)
		}
		for len(apps) > 0 {
			f.want(apps[0], model.StatusAllocated)
			if len(apps) > 2 {
				f.want(apps[1], model.StatusAllocated)
				f.want(apps[2], model.StatusNew)
			}
			before := time.Now()
			f.recall(apps[0])
			synctest.Wait()
			if took := time.Since(before); took != 0 {
				t.Errorf("freed room was given out after %v, want at once", took)
			}
			apps = apps[1:]
		}
		f.wantNothingLeft()
	})
}

func TestWhatDoesNotFitBlocksNobodyUntilItStarves(t *testing.T) {
	inBubble(t, func(_ *testing.T, f *farm) {
		f.driver.limits = drivers.Limits{CPU: 4}
		f.start()
		small, big := f.label(definition(1, 1, "")), f.label(definition(4, 1, ""))
		running := f.apply(small)
		f.want(running, model.StatusAllocated)
		starving := f.apply(big)
		younger := f.apply(small)
		f.want(starving, model.StatusNew)
		f.want(younger, model.StatusAllocated)

		time.Sleep(11 * time.Minute)
		held := f.apply(small)
		time.Sleep(time.Minute)
		f.want(held, model.StatusNew) // there is room, but the head goes first
		f.recall(running)
		f.recall(younger)
		f.want(starving, model.StatusAllocated)
		f.want(held, model.StatusNew)
		f.recall(starving)
		f.want(held, model.StatusAllocated)
		f.recall(held)
		f.wantNothingLeft()
	})
}

func TestWhatCanNeverFitHoldsNobodyBack(t *testing.T) {
	inBubble(t, func(_ *testing.T, f *farm) {
		f.driver.limits = drivers.Limits{CPU: 4}
		f.start()
		huge := f.apply(f.label(definition(5, 1, "")))
		time.Sleep(time.Hour)
		small := f.apply(f.label())
		f.want(small, model.StatusAllocated)
		f.want(huge, model.StatusNew)
		f.recall(small)
		f.recall(huge)
		f.want(huge, model.StatusRecalled)
		f.wantNothingLeft()
	})
}

func TestMaintenance(t *testing.T) {
	inBubble(t, func(t *testing.T, f *farm) {
		var off atomic.Bool
		f.options = func(_ *lifecycle.Options, o *election.Options) { o.Maintenance = func() bool { return !off.Load() } }
		f.start()
		app := f.apply(f.label())
		time.Sleep(time.Hour)
		f.want(app, model.StatusNew)
		if votes := f.election.OpenVotes(); len(votes) != 1 || votes[0].Yes() || votes[0].Round < 100 {
			t.Errorf("open votes are %+v, want one no in a late round", votes)
		}
		off.Store(true)
		f.election.Wake()
		f.want(app, model.StatusAllocated)
		if votes := f.election.OpenVotes(); len(votes) != 0 {
			t.Errorf("votes stay open: %+v", votes)
		}
		f.recall(app)
		f.wantNothingLeft()
	})
}

func TestSecondDefinitionWhereTheFirstDoesNotFit(t *testing.T) {
	inBubble(t, func(t *testing.T, f *farm) {
		f.driver.limits = drivers.Limits{CPU: 2}
		f.start()
		app := f.apply(f.label(definition(3, 1, ""), definition(2, 1, "")))
		f.want(app, model.StatusAllocated)
		if got := f.entry(app).Resource.DefinitionIndex; got != 1 {
			t.Errorf("definition %d runs, want 1", got)
		}
		f.recall(app)
		f.wantNothingLeft()
	})
}

func TestLabelDeletedWhileWaiting(t *testing.T) {
	inBubble(t, func(t *testing.T, f *farm) {
		f.script(func() { f.driver.capacity = 0 })
		f.start()
		label := f.label()
		app := f.apply(label)
		f.want(app, model.StatusNew)
		if _, err := f.store.DeleteLabel(context.Background(), label.UID); err != nil {
			t.Fatal(err)
		}
		f.wantDescription(app, model.StatusError, "Label was deleted")
		f.wantNothingLeft()
	})
}

func TestLabelDeletedWhileAllocated(t *testing.T) {
	inBubble(t, func(t *testing.T, f *farm) {
		f.start()
		label := f.label()
		app := f.apply(label)
		f.want(app, model.StatusAllocated)
		if _, err := f.store.DeleteLabel(context.Background(), label.UID); err != nil {
			t.Fatal(err)
		}
		f.restart()
		f.want(app, model.StatusAllocated)
		f.recall(app)
		f.want(app, model.StatusDeallocated)
		f.wantNothingLeft()
	})
}

func TestManyLivesLeaveNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, f *farm) {
		f.driver.limits = drivers.Limits{CPU: 4, RAM: 8}
		var n atomic.Int64
		f.script(func() {
			f.driver.before = func(_ context.Context, call string) error {
				if n.Add(1)%7 == 0 && call != "list" {
					return errors.New("every seventh call fails")
				}
				return nil
			}
		})
		f.start()
		labels := []model.Label{f.label(definition(1, 1, "2m")), f.label(definition(3, 2, "1m")), f.label(definition(2, 5, "3m"))}
		var apps []model.UID
		for i := range 60 {
			apps = append(apps, f.apply(labels[i%3]))
			time.Sleep(10 * time.Second)
			if i%5 == 0 {
				f.restart()
			}
		}
		time.Sleep(3 * time.Hour)
		for _, app := range apps {
			if s := f.entry(app).Fold; !s.Closed || !s.Final {
				t.Errorf("application %s shows %s", app, s.Status())
			}
		}
		f.wantNothingLeft()
	})
}
