package lifecycle_test

import (
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

// TestWanted: a driver finds its environment among what the node keeps for it as long as it lives, and not in
// another's; a restored database vouches for nothing.
func TestWanted(t *testing.T) {
	inBubble(t, func(t *testing.T, f *farm) {
		f.start()
		app := f.apply(f.label())
		f.want(app, model.StatusAllocated)
		wants := func(instance string) (all int, whole bool) {
			names, whole := f.manager.Wanted(instance)
			f.world.mu.Lock()
			defer f.world.mu.Unlock()
			for token := range f.world.envs {
				if names[token] {
					all++
				}
			}
			return all, whole
		}
		if n, whole := wants("test"); n != 1 || !whole {
			t.Errorf("of its instance %d are wanted, all: %v", n, whole)
		}
		if n, _ := wants("other"); n != 0 {
			t.Errorf("of another instance %d are wanted", n)
		}
		f.restore(f.backup())
		f.want(app, model.StatusAllocated)
		if n, whole := wants("test"); n != 1 || whole {
			t.Errorf("on a restored database %d are wanted, all: %v", n, whole)
		}
		f.confirm(store.ChoiceNone)
		if _, whole := wants("test"); !whole {
			t.Error("a confirmed database vouches for nothing")
		}
		f.recall(app)
		f.want(app, model.StatusDeallocated)
		rest(time.Minute)
		if names, _ := f.manager.Wanted("test"); len(names) != 0 {
			t.Errorf("what is gone is wanted: %v", names)
		}
	})
}
