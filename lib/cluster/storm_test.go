package cluster_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestStorm lets cuts, kills, restarts and clocks that are set happen at
// random, and then asks for quiet: all living members see each other, nobody
// has more links than it may, and nobody was taken for a twin.
func TestStorm(t *testing.T) {
	for range 6 {
		seed := rand.Uint64()
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFarm(t, 7)
				defer f.end()
				for _, n := range f.nodes {
					n.limit = 4
				}
				s := storm{farm: f, rand: rand.New(rand.NewPCG(seed, 0))}
				f.start()
				for range 40 {
					s.strike()
					time.Sleep(time.Duration(s.rand.Int64N(int64(9 * time.Second))))
				}
				f.heal()
				for _, n := range f.nodes {
					if !n.alive {
						n.start()
					}
				}
				took := f.until(90*time.Second, "all agree, with at most 4 links each", func() bool {
					return f.agree(f.all()...) && !slices.ContainsFunc(f.nodes, func(n *node) bool { return len(n.c.Status().Links) > 4 })
				})
				t.Logf("all agree %v after the storm", took)
				s.check()
			})
		})
	}
}

// storm does harm to a farm.
type storm struct {
	*farm
	rand *rand.Rand
}

func (s storm) strike() {
	n := s.nodes[s.rand.IntN(len(s.nodes))]
	switch s.rand.IntN(6) {
	case 0:
		if n.alive {
			n.kill()
		}
	case 1:
		n.end()
	case 2, 3:
		if !n.alive {
			n.skew.Store(int64(time.Duration(s.rand.Int64N(int64(50*time.Second))) - 25*time.Second)) // its clock was set meanwhile
			n.start()
		}
	case 4:
		at := 1 + s.rand.IntN(len(s.nodes)-1)
		s.cut(span(0, at), span(at, len(s.nodes)), s.rand.IntN(2) == 0)
	case 5:
		s.heal()
	}
}

func (s storm) check() {
	for _, n := range s.nodes {
		if n.log.has("another live process speaks for this node") {
			s.t.Errorf("%s was taken for a twin of itself", n.name)
		}
		if st := n.c.Status(); len(st.Components) != 1 {
			s.t.Errorf("%s sees parts %v", n.name, st.Components)
		}
	}
}
