package cluster_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster"
	"github.com/aquarium-fish/aquarium-fish/lib/cluster/topo"
)

// knowAll makes all nodes of the farm known to each other.
func (f *farm) knowAll() {
	for i, n := range f.nodes {
		n.known = nil
		for j, o := range f.nodes {
			if i != j {
				n.known = append(n.known, cluster.Known{Node: o.uid, Name: o.name, Address: o.address})
			}
		}
	}
}

// TestReadyInALapse: a node whose database lacks something hears all that it
// can reach, not one neighbour alone, and gives the others 15 s.
func TestReadyInALapse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, 3)
		defer f.end()
		f.knowAll()
		n := f.nodes[0]
		f.nodes[1].start()
		n.lapsed = true
		began := time.Now()
		n.start()
		f.until(10*time.Second, "one is reachable", func() bool { return member(n, uidOf(1)).Reachable() })
		time.Sleep(time.Until(began.Add(14 * time.Second)))
		synctest.Wait()
		if n.c.Ready() {
			t.Fatal("ready before it could have heard the third")
		}
		f.until(3*time.Second, "ready without the one that can not be reached", n.c.Ready)
	})
}

// TestReadyInALapseOnceAllAreHeard: then nothing is waited for.
func TestReadyInALapseOnceAllAreHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, 3)
		defer f.end()
		f.knowAll()
		for _, n := range f.nodes {
			n.start()
		}
		f.until(30*time.Second, "all agree", func() bool { return f.agree(f.all()...) })
		n := f.nodes[0]
		n.rows.Stall(true)
		for range 5 { // what one alone knows
			f.nodes[2].rows.Write(origin(2))
		}
		n.change(func() { n.lapsed = true }) // it turns out while it runs
		f.until(2*time.Second, "it is not ready any more", func() bool { return !n.c.Ready() })
		f.until(3*time.Second, "and not asked to do anything", func() bool { return member(f.nodes[1], n.uid).State == topo.StateInactive })
		time.Sleep(time.Minute)
		synctest.Wait()
		if n.c.Ready() {
			t.Fatal("ready without the rows of one that it can reach")
		}
		n.rows.Stall(false)
		f.until(10*time.Second, "ready again", n.c.Ready)
		f.until(10*time.Second, "all agree", func() bool { return f.agree(f.all()...) })
		n.change(func() { n.lapsed = false })
		time.Sleep(time.Second)
		if !n.c.Ready() {
			t.Error("not ready after the lapse")
		}
	})
}

// TestReadyInALapseWhenWhoKnewIsGone: what it alone knew is waited for no longer.
func TestReadyInALapseWhenWhoKnewIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, 3)
		defer f.end()
		f.knowAll()
		for _, n := range f.nodes {
			n.start()
		}
		f.until(30*time.Second, "all agree", func() bool { return f.agree(f.all()...) })
		n := f.nodes[0]
		n.rows.Stall(true)
		f.nodes[2].rows.Write(origin(2))
		n.change(func() { n.lapsed = true })
		time.Sleep(30 * time.Second)
		if n.c.Ready() {
			t.Fatal("ready without the rows of one that it can reach")
		}
		f.nodes[1].rows.Stall(true)
		f.nodes[2].kill()
		n.rows.Stall(false)
		f.until(3*time.Minute, "ready without the one that is gone", n.c.Ready)
	})
}

// TestReadyAloneInALapse: who knows of nobody waits for nobody.
func TestReadyAloneInALapse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, 1)
		defer f.end()
		f.nodes[0].lapsed = true
		f.nodes[0].start()
		f.until(time.Second, "ready", f.nodes[0].c.Ready)
	})
}
