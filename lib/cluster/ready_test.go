package cluster_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster"
	"github.com/aquarium-fish/aquarium-fish/lib/cluster/topo"
)

// TestHealth: a node whose database takes no writes is no active member, nor
// one of which the look hangs; maintenance is told at once.
func TestHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, 3)
		defer f.end()
		f.start()
		f.until(30*time.Second, "all agree", func() bool { return f.agree(f.all()...) })
		n := f.nodes[1]
		inactive := func(why string) func() bool {
			return func() bool {
				m := member(f.nodes[2], n.uid)
				return m.State == topo.StateInactive && strings.Contains(m.Why, why)
			}
		}
		n.change(func() { n.report.Maintenance = true })
		f.until(time.Second, "in maintenance", inactive("in maintenance"))
		n.change(func() { n.report.Maintenance = false })
		f.until(2*time.Second, "active again", func() bool { return f.agree(f.all()...) })

		n.change(func() { n.sick = errors.New("disk full") })
		f.until(7*time.Second, "sick", inactive("not healthy"))
		if n.c.Status().Unhealthy != "disk full" || !n.log.has("disk full") {
			t.Errorf("it does not tell why: %q", n.c.Status().Unhealthy)
		}
		n.change(func() { n.sick = nil })
		f.until(7*time.Second, "well again", func() bool { return f.agree(f.all()...) })

		n.change(func() { n.hang = true })
		f.until(25*time.Second, "hangs", inactive("not healthy"))
		n.change(func() { n.hang = false })
		f.until(90*time.Second, "well again", func() bool { return f.agree(f.all()...) })
	})
}

// TestReady: alone at once, with nobody to be reached after 15 s, else when
// the rows that the first neighbour knew are here.
func TestReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, 2)
		defer f.end()
		f.nodes[0].start()
		f.until(time.Second, "the founder is ready", f.nodes[0].c.Ready)
		for range 5 {
			f.nodes[0].rows.Write(origin(0))
		}
		f.nodes[1].rows.Stall(true)
		f.nodes[1].start()
		f.until(10*time.Second, "it is reachable", func() bool { return member(f.nodes[0], uidOf(1)).Reachable() })
		time.Sleep(time.Minute)
		if m := member(f.nodes[0], uidOf(1)); f.nodes[1].c.Ready() || m.State != topo.StateInactive {
			t.Errorf("ready without the rows; others see it %s", m.State)
		}
		f.nodes[1].rows.Stall(false)
		f.until(time.Second, "it is ready", f.nodes[1].c.Ready)
		f.until(time.Second, "all agree", func() bool { return f.agree(0, 1) })
	})
}

func TestReadyWithNobodyThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, 2)
		defer f.end()
		n := f.nodes[1]
		n.start()
		time.Sleep(14 * time.Second)
		synctest.Wait()
		if n.c.Ready() {
			t.Error("ready before 15 s without the node that it should join")
		}
		f.until(2*time.Second, "ready after 15 s", n.c.Ready)
	})
}

// TestReadyWhenSourceDies: who catches up with a node that dies catches up
// with another one, or goes on alone.
func TestReadyWhenSourceDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, 2)
		defer f.end()
		f.nodes[0].rows.Write(origin(0))
		f.nodes[0].start()
		f.nodes[1].rows.Stall(true)
		f.nodes[1].start()
		f.until(10*time.Second, "it is reachable", func() bool { return member(f.nodes[0], uidOf(1)).Reachable() })
		f.nodes[0].kill()
		time.Sleep(14 * time.Second)
		if f.nodes[1].c.Ready() {
			t.Error("ready at once when its source died")
		}
		f.until(2*time.Second, "ready alone", f.nodes[1].c.Ready)
	})
}

// TestCovered: true only when every node that is not retired has spoken, and
// all that is known of is here.
func TestCovered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, 3)
		defer f.end()
		n := f.nodes[0]
		n.known = []cluster.Known{{Node: uidOf(1), Name: "node-1"}, {Node: uidOf(2), Name: "node-2"}, {Node: uidOf(8), Name: "stolen", Retired: true}}
		began := time.Now()
		f.nodes[0].start()
		f.nodes[1].start()
		f.until(10*time.Second, "two agree", func() bool { return member(n, uidOf(1)).State == topo.StateActive })
		if n.c.Covered(began) {
			t.Error("covered while a known node was not heard")
		}
		f.until(20*time.Second, "covered but for it", func() bool { return n.c.CoveredReachable(began) })
		f.nodes[2].start()
		f.until(20*time.Second, "covered", func() bool { return n.c.Covered(began) })
		n.rows.Stall(true)
		f.nodes[2].rows.Write(origin(2))
		f.until(20*time.Second, "not covered while a row lacks", func() bool { return !n.c.Covered(began) })
		if n.c.CoveredReachable(began) {
			t.Error("covered while a row of one that can be reached lacks")
		}
		n.rows.Stall(false)
		f.until(5*time.Second, "covered again", func() bool { return n.c.Covered(began) })
		if n.c.Covered(time.Now().Add(time.Hour)) {
			t.Error("covered since a time when nobody spoke")
		}
		other := f.nodes[2]
		other.change(func() { other.report.Succession = 7 })
		f.until(5*time.Second, "not covered while one knows another successor", func() bool { return !n.c.Covered(began) && !n.c.CoveredReachable(began) })
		n.change(func() { n.report.Succession = 7 })
		f.nodes[1].change(func() { f.nodes[1].report.Succession = 7 })
		f.until(5*time.Second, "covered when all know the same", func() bool { return n.c.Covered(began) })
	})
}

// TestCoveredSoonAfterARetirement: the members speak soon after they heard of
// it, in whatever order they did, so the successor does not wait for their
// next renewal.
func TestCoveredSoonAfterARetirement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, 3)
		defer f.end()
		known := func(self int, retired bool) (list []cluster.Known) {
			for i := range 3 {
				if i != self {
					list = append(list, cluster.Known{Node: uidOf(i), Name: f.nodes[i].name, Retired: retired && i == 2})
				}
			}
			return list
		}
		for i, n := range f.nodes {
			n.known = known(i, false)
			n.start()
		}
		f.until(20*time.Second, "they know each other", func() bool { return member(f.nodes[0], uidOf(1)).State == topo.StateActive })
		f.nodes[2].kill()
		time.Sleep(time.Minute) // all is quiet
		f.nodes[1].change(func() { f.nodes[1].known = known(1, true) })
		time.Sleep(300 * time.Millisecond)
		f.nodes[0].change(func() { f.nodes[0].known = known(0, true) })
		heard := time.Now()
		f.until(5*time.Second, "covered", func() bool { return f.nodes[0].c.Covered(heard) })
	})
}
