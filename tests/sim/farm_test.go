package sim

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	netsim "github.com/aquarium-fish/aquarium-fish/lib/cluster/sim"
	"github.com/aquarium-fish/aquarium-fish/lib/election"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

// epoch is when a bubble of synctest begins.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// farm is nodes on a network. It lives in a bubble of synctest.
type farm struct {
	t        *testing.T
	seed     uint64
	net      *netsim.Network
	world    *world
	nodes    []*member
	safety   election.Safety
	maxLinks int
	logs     io.Writer // nil: nobody reads them
	boots    uint64
	measures []measure // of TestManyNodes
	// compareEvery is how often neighbours compare digests: each hour usually,
	// more often here, so that a short history sees it.
	compareEvery time.Duration
	restamped    atomic.Int64 // rows that were given the right time
	silent       bool         // some node was for longer than an available cluster waits

	mu   sync.Mutex
	dice *rand.Rand     // guarded by mu
	cuts map[[2]int]int // guarded by mu: how many faults cut this direction
	work sync.WaitGroup

	retention time.Duration // of closed applications; 0: for ever
	asked     sync.Map      // UID -> the process of it that answers for its store
}

// newFarm returns so many nodes that know the first one or two; they do not
// run yet.
func newFarm(t *testing.T, size int, seed uint64) *farm {
	f := &farm{
		t: t, seed: seed, net: netsim.NewNetwork(5 * time.Millisecond), world: newWorld(), dice: rand.New(rand.NewPCG(seed, 1)), //nolint:gosec // a simulation
		cuts: map[[2]int]int{}, safety: election.Strict, compareEvery: time.Minute,
	}
	if *verbose {
		f.logs = os.Stderr
	}
	for i := range size {
		m := &member{
			farm: f, index: i, uid: model.UID{byte(i + 1), byte(i >> 8), 3, 4, 5, 6, 0x40, 8, 0x80}, name: fmt.Sprintf("node-%d", i),
			location: fmt.Sprintf("site-%d", i%3), address: fmt.Sprintf("node-%d:8001", i), disk: store.NewDisk(),
			machine: &machine{world: f.world, index: i, limits: drivers.Limits{CPU: 4, RAM: 8}, slow: func() time.Duration { return f.upTo(3 * time.Second) }},
		}
		if i > 0 {
			m.join = []string{f.nodes[0].address}
		} else if size > 1 {
			m.join = []string{"node-1:8001"}
		}
		f.nodes = append(f.nodes, m)
	}
	return f
}

// play runs a test of a farm in fake time.
func play(t *testing.T, size int, seed uint64, test func(f *farm)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, size, seed)
		defer f.close()
		test(f)
	})
}

func (f *farm) start() {
	for _, m := range f.living() {
		if m.p == nil {
			m.start()
		}
	}
}

// close ends everything.
func (f *farm) close() {
	for _, m := range f.nodes {
		m.wake()
		m.kill(false)
	}
	f.work.Wait()
}

// chance throws the dice.
func (f *farm) chance(p float64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dice.Float64() < p
}

// upTo is a random time up to the limit.
func (f *farm) upTo(limit time.Duration) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return time.Duration(f.dice.Int64N(int64(limit) + 1))
}

// between is a random time.
func (f *farm) between(from, to time.Duration) time.Duration { return from + f.upTo(to-from) }

func (f *farm) pick(n int) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dice.IntN(n)
}

func (f *farm) any() *member {
	living := f.living()
	return living[f.pick(len(living))]
}

// cut drops what i sends to j, until as many heals.
func (f *farm) cut(i, j int, by int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	pair := [2]int{i, j}
	f.cuts[pair] += by
	if f.cuts[pair] > 0 {
		f.net.Cut(f.nodes[i].address, f.nodes[j].address)
	} else {
		f.net.Heal(f.nodes[i].address, f.nodes[j].address)
	}
}

// split cuts all between two sides, both ways; by -1 heals it.
func (f *farm) split(side func(i int) bool, by int) {
	for i := range f.nodes {
		for j := range f.nodes {
			if side(i) != side(j) {
				f.cut(i, j, by)
			}
		}
	}
}

// until waits for a condition and returns how long it took.
func (f *farm) until(limit, step time.Duration, cond func() bool) (took time.Duration, ok bool) {
	for began := time.Now(); ; time.Sleep(step) {
		synctest.Wait()
		if cond() {
			return time.Since(began), true
		}
		if time.Since(began) > limit {
			return limit, false
		}
	}
}

// agree reports whether all nodes that run see each other as active, and
// nobody else.
func (f *farm) agree() bool {
	up := 0
	for _, m := range f.nodes {
		if m.p != nil {
			up++
		}
	}
	for _, m := range f.nodes {
		if m.p != nil && len(m.p.cluster.Active()) != up {
			return false
		}
	}
	return true
}

// label makes a label on a node that runs.
func (f *farm) label(m *member, name string, defs ...model.LabelDefinition) model.Label {
	f.t.Helper()
	l, err := m.p.store.CreateLabel(context.Background(), model.Label{Name: name, Version: 1, Definitions: defs, Metadata: []byte("{}")})
	if err != nil {
		f.t.Fatal(err)
	}
	return l
}

func definition(cpu, ram uint, lifetime string) model.LabelDefinition {
	return model.LabelDefinition{
		Driver: "test", Options: []byte("{}"), Resources: model.Resources{CPU: cpu, RAM: ram, Lifetime: lifetime, NodeFilter: []string{}},
	}
}
