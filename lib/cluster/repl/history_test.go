package repl

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

var histories = flag.Int("histories", 60, "random histories to play")

// TestHistories plays random histories of 7 nodes: writes of all sorts with
// clocks minutes apart, links that come and go and lose what is under way,
// power cuts, databases that take nothing for a while, or not everything. After
// quiet all nodes must hold the same, their own rows among it. A short run is one
// with the race detector, for which a third tells nothing new.
func TestHistories(t *testing.T) {
	n := *histories
	if testing.Short() {
		n = min(n, 20)
	}
	for seed := range n {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { play(t, uint64(seed)) })
		})
	}
}

func play(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 7))
	opts := Options{Far: uint64(5 + r.IntN(200)), Batch: replica.Limit{Rows: 1 + r.IntN(8), Bytes: 4 << 10}, Write: 1 + r.IntN(40), Inbox: 2 << 10}
	f := newFarm(t, 7, opts)
	defer f.close()
	for _, m := range f.nodes {
		m.store.skew = time.Duration(r.IntN(241)-120) * time.Second
	}
	own := map[replica.Version]bool{}
	for range 150 {
		disturb(f, r)
		for range r.IntN(6) {
			m := f.nodes[r.IntN(7)]
			own[writeSomething(m, r).Version] = true
		}
		time.Sleep(time.Duration(r.IntN(1500)) * time.Millisecond)
	}
	heal(f, r)
	f.settle(5 * time.Minute)
	for _, m := range f.nodes {
		for key, row := range m.store.snapshot() {
			if !own[row.Version] {
				t.Fatalf("node %d holds a row that nobody wrote: %v %v", m.id, key, row)
			}
		}
		if stats := m.engine.Stats(); stats.Mismatches != 0 {
			t.Errorf("node %d: %d mismatches", m.id, stats.Mismatches)
		}
	}
	for _, m := range f.nodes {
		m.engine.Compare()
	}
	time.Sleep(time.Minute)
	for _, m := range f.nodes {
		if stats := m.engine.Stats(); stats.Mismatches != 0 || stats.Compared == 0 && len(stats.Links) > 0 {
			t.Errorf("node %d after comparing: %+v", m.id, stats)
		}
	}
}

// disturb makes one thing go wrong, or right again.
func disturb(f *farm, r *rand.Rand) {
	i, j := r.IntN(7), r.IntN(7)
	m := f.nodes[i]
	switch n := r.IntN(20); {
	case n < 7 && i != j:
		f.connect(i, j, randomCable(r))
	case n < 12 && i != j:
		f.cut(i, j)
	case n < 14: // two halves
		for a := range 3 {
			for b := 3; b < 7; b++ {
				f.cut(a, b)
			}
		}
	case n == 14:
		f.crash(i)
	case n == 15:
		m.store.fail(errors.New("disk is full"))
	case n == 16:
		odd := uint64(r.IntN(5))
		m.store.refuseIf(func(b replica.Batch) bool { return b.Origin.Node[0] == byte(j+1) && b.To%5 == odd })
	default:
		mend(m)
	}
}

func mend(m *member) {
	m.store.mu.Lock()
	defer m.store.mu.Unlock()
	m.store.broken, m.store.refuse = nil, func(replica.Batch) error { return nil }
}

func randomCable(r *rand.Rand) cableOptions {
	return cableOptions{
		delay: time.Duration(r.IntN(300)) * time.Millisecond, queue: 1 + r.IntN(20), perRow: time.Duration(r.IntN(5)) * time.Millisecond,
	}
}

// heal makes everything work again, on a random connected graph.
func heal(f *farm, r *rand.Rand) {
	for _, m := range f.nodes {
		mend(m)
	}
	for i := 1; i < 7; i++ {
		f.connect(i, r.IntN(i), randomCable(r))
	}
}

// writeSomething writes a row as a node might: a new one, one more version of
// a shared one, an immutable one under a key that others use too, its own
// node's, or the end of one.
func writeSomething(m *member, r *rand.Rand) replica.Row {
	key := fmt.Sprint("k", r.IntN(12))
	body := fmt.Sprintf(`{"by":%d,"n":%d}`, m.id, r.IntN(1000))
	switch r.IntN(8) {
	case 0:
		return m.store.write(replica.KindUser, key, "")
	case 1, 2:
		return m.store.write(replica.KindUser, key, body)
	case 3:
		return m.store.write(replica.KindApplicationState, key, body)
	case 4:
		return m.store.write(replica.KindLabel, key, "")
	case 5:
		return m.store.write(replica.KindNode, string(m.store.self.Node[:]), body)
	case 6: // of somebody else: everybody drops it
		other := model.UID{99}
		return m.store.write(replica.KindNode, string(other[:]), body)
	}
	return m.store.write(replica.Kind(500+r.IntN(3)), fmt.Sprint(m.id, "-", m.store.Vector()[m.store.self]), body)
}
