package topo

import (
	"slices"
	"testing"
	"time"
)

// cutOff ends a link, with what is on its way.
func (f *flood) cutOff(i, j int) {
	f.unlink(i, j)
	f.mail = slices.DeleteFunc(f.mail, func(m floodMail) bool { return m.from == i && m.to == j || m.from == j && m.to == i })
}

// restart begins a new process of a node, by a clock that may be wrong.
func (f *flood) restart(i int) {
	n := f.nodes[i]
	for j := range n.links {
		f.cutOff(i, j)
	}
	wrong := time.Duration(0)
	switch f.rand.IntN(3) {
	case 0:
		wrong = -time.Duration(f.rand.Int64N(int64(3 * time.Hour)))
	case 1:
		wrong = time.Duration(f.rand.Int64N(int64(4 * time.Minute)))
	}
	n.db, n.dead = New(n.uid, f.rand.Uint64(), f.now.Add(wrong)), false
	f.tell(i)
}

// pause is mostly short, and now and then longer than anybody is believed.
func (f *flood) pause() time.Duration {
	longest := 5 * time.Second
	if f.rand.IntN(5) == 0 {
		longest = 3 * Expiry / 2
	}
	return time.Duration(f.rand.Int64N(int64(longest)))
}

// views are which process of each node, of what links, each node sees.
func (f *flood) views() bool {
	for _, n := range f.nodes {
		s := n.db.Snapshot(f.now)
		for _, m := range f.nodes {
			own := m.db.own.said
			seen, _ := s.Member(m.uid)
			if seen.State != StateActive || seen.LSA.Boot != own.Boot || base(seen.LSA) != base(own) || !slices.Equal(ends(seen.LSA), ends(own)) {
				return false
			}
		}
	}
	return true
}

// TestRandomTrouble: nodes start again by wrong clocks while links come and go,
// some for longer than anybody is believed. When the trouble is over all see
// the same within the time in which what is dead is forgotten.
func TestRandomTrouble(t *testing.T) {
	for seed := range uint64(20) {
		f := newFlood(t, 3+int(seed%3), seed)
		for range 40 {
			i, j := f.rand.IntN(len(f.nodes)), f.rand.IntN(len(f.nodes))
			_, linked := f.nodes[i].links[j]
			switch {
			case f.rand.IntN(4) == 0:
				f.restart(i)
			case i == j:
			case linked:
				f.cutOff(i, j)
			default:
				f.link(i, j)
			}
			f.run(f.pause())
		}
		for i := range len(f.nodes) - 1 { // at least a chain
			if _, linked := f.nodes[i].links[i+1]; !linked {
				f.link(i, i+1)
			}
		}
		f.until(Expiry+Renewal+10*time.Second, f.views)
		f.run(time.Minute)
		if !f.views() {
			t.Errorf("seed %d: they agreed, and do not any more", seed)
		}
	}
}
