package cluster_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster"
)

// TestJoinedOnce: the log says of a node that it joined when it is new to the
// database, else that it is back, and why.
func TestJoinedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, 2)
		defer f.end()
		a, b := f.nodes[0], f.nodes[1]
		together := func() {
			t.Helper()
			f.until(time.Minute, "both agree", func() bool { return f.agree(f.all()...) })
		}
		count := func(when string, joined, back int) {
			t.Helper()
			time.Sleep(time.Second)
			if got := []int{a.log.count("node joined"), a.log.count("node is back")}; got[0] != joined || got[1] != back {
				t.Errorf("%s: %d joined, %d are back, want %d and %d", when, got[0], got[1], joined, back)
			}
		}
		f.start()
		together()
		count("a new node", 1, 0)
		b.kill()
		f.until(time.Minute, "it is gone", func() bool { return len(a.c.Active()) == 1 })
		b.start()
		together()
		count("it was started anew", 1, 1)

		a.end()
		a.known = []cluster.Known{{Node: b.uid, Name: b.name, Address: b.address}}
		a.start()
		together()
		count("it is known from before this start", 1, 2)
	})
}
