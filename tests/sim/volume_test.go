package sim

import (
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

// TestVolumePutBackDuringAllocation: the volume of a node is put back whole to
// before an application came, while the driver of that node makes its
// environment. No row was written since that others could know of, so nothing
// tells that anything was forgotten; it runs once all the same.
func TestVolumePutBackDuringAllocation(t *testing.T) {
	play(t, 4, 1, func(f *farm) {
		f.nodes[0].machine.limits.CPU = 2 // what is large runs elsewhere
		for _, m := range f.nodes {
			m.machine.slow = func() time.Duration { return 20 * time.Second }
		}
		f.start()
		f.until(time.Minute, time.Second, f.agree)
		large := f.label(f.nodes[0], "large", definition(3, 1, "6s"))
		time.Sleep(5 * time.Second)
		copies := map[*member]*store.Disk{}
		for _, m := range f.nodes {
			copies[m] = m.disk.Snapshot()
		}
		app := f.nodes[0].create(large)
		if _, ok := f.until(time.Minute, 10*time.Millisecond, func() bool { return f.world.ran(app) }); !ok {
			t.Fatalf("it is %s", f.nodes[0].status(app))
		}
		m := f.nodes[f.nodes[0].grantedTo(app)]
		m.kill(true)
		m.disk.Rewind(copies[m])
		m.last, m.lost = sight{}, true
		m.start()
		f.nodes[0].want(app, model.StatusDeallocated, 5*time.Minute)
		f.until(3*time.Minute, time.Second, func() bool { return f.world.running() == 0 })
		f.look()
		if f.world.running() != 0 {
			t.Error("an environment is left")
		}
	})
}
