package sim

import (
	"testing"
	"time"
)

// TestKilledBehindACut: a node is killed while nobody can be told, and starts
// again, by a clock that was set back, before anybody has missed it. The others
// notice that the old links lead nowhere, and take the new ones.
func TestKilledBehindACut(t *testing.T) {
	play(t, 3, 1, func(f *farm) {
		f.start()
		if _, ok := f.until(time.Minute, time.Second, f.agree); !ok {
			t.Fatal("the nodes do not find each other")
		}
		time.Sleep(time.Minute)
		m := f.nodes[2]
		side := func(i int) bool { return i == m.index }
		f.split(side, 1)
		m.kill(false)
		f.split(side, -1)
		m.skew.Store(int64(-30 * time.Second))
		m.start()
		if _, ok := f.until(30*time.Second, 100*time.Millisecond, f.agree); !ok {
			for _, n := range f.nodes {
				t.Errorf("node %d counts %d as active, of 3", n.index, len(n.p.cluster.Active()))
			}
		}
	})
}
