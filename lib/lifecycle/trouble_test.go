package lifecycle_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// TestTroubleIsToldWhileItLasts fails the release for a while.
func TestTroubleIsToldWhileItLasts(t *testing.T) {
	inBubble(t, func(t *testing.T, f *farm) {
		f.start()
		app := f.apply(f.label())
		f.want(app, model.StatusAllocated)
		if trouble, ok := f.manager.Trouble(app); ok {
			t.Errorf("trouble although all is well: %+v", trouble)
		}
		cause := errors.New("volume is busy")
		f.script(func() {
			f.driver.before = func(_ context.Context, call string) error {
				if call == "deallocate" {
					return cause
				}
				return nil
			}
		})
		f.recall(app)
		f.want(app, model.StatusDeallocate)
		trouble, ok := f.manager.Trouble(app)
		now := time.Now()
		if !ok || trouble.What != "environment not released" || !errors.Is(trouble.Err, cause) || trouble.At.After(now) || !trouble.Again.After(now) {
			t.Errorf("Trouble() = %+v, %v", trouble, ok)
		}
		f.script(func() { f.driver.before = nil })
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		f.want(app, model.StatusDeallocated)
		if trouble, ok := f.manager.Trouble(app); ok {
			t.Errorf("trouble after the end: %+v", trouble)
		}
	})
}
