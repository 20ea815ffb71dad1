package repl

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// spread notes when each row is first on each node.
type spread struct {
	mu    sync.Mutex
	nodes int
	born  map[replica.Version]time.Time
	count map[replica.Version]int
	took  []time.Duration
}

func watchSpread(f *farm) *spread {
	s := &spread{nodes: len(f.nodes), born: map[replica.Version]time.Time{}, count: map[replica.Version]int{}}
	for _, m := range f.nodes {
		m.store.mu.Lock()
		m.store.seen = s.seen
		m.store.mu.Unlock()
	}
	return s
}

func (s *spread) seen(row replica.Row) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count[row.Version] == 0 {
		s.born[row.Version] = time.Now()
	}
	if s.count[row.Version]++; s.count[row.Version] == s.nodes {
		s.took = append(s.took, time.Since(s.born[row.Version]))
	}
}

func (s *spread) quantile(q float64) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.took) == 0 {
		return -1
	}
	slices.Sort(s.took)
	return s.took[int(float64(len(s.took)-1)*q)]
}

// mesh links nodes as they find each other: each dials some others at random,
// nobody has more than 8 links, and all are connected.
func (f *farm) mesh(r *rand.Rand, dials int, opts func() cableOptions) {
	const most = 8
	count := make([]int, len(f.nodes))
	join := func(i, j int) {
		if i != j && count[i] < most && count[j] < most && f.links[[2]int{min(i, j), max(i, j)}] == nil {
			f.connect(i, j, opts())
			count[i]++
			count[j]++
		}
	}
	for i := 1; i < len(f.nodes); i++ {
		for before := count[i]; count[i] == before; {
			join(i, r.IntN(i))
		}
	}
	for i := range f.nodes {
		for range dials - 1 { // the first made it one of them
			join(i, r.IntN(len(f.nodes)))
		}
	}
}

// load writes rows on random nodes at a rate for a time.
func (f *farm) load(r *rand.Rand, perSecond int, d time.Duration) int {
	n := 0
	for began := time.Now(); time.Since(began) < d; n++ {
		f.nodes[r.IntN(len(f.nodes))].store.write(999, fmt.Sprint("k", n), `{"some":"body that is about as long as one"}`)
		time.Sleep(time.Duration(r.ExpFloat64() * float64(time.Second) / float64(perSecond)))
	}
	return n
}

func TestLatency(t *testing.T) {
	tests := []struct {
		name        string
		nodes, rate int
		dials       int
		d           time.Duration
		p99         time.Duration
		copies      float64
	}{
		{"3 nodes, 1 row/s", 3, 1, 2, 5 * time.Minute, 300 * time.Millisecond, 2},
		{"3 nodes, 400 rows/s", 3, 400, 2, 10 * time.Second, 300 * time.Millisecond, 2},
		{"10 nodes, 400 rows/s", 10, 400, 3, 10 * time.Second, 400 * time.Millisecond, 4},
		{"100 nodes, 400 rows/s", 100, 400, 3, 3 * time.Second, 500 * time.Millisecond, 3.5},
	}
	for _, tt := range tests {
		if testing.Short() { // time is not real: the race detector sees nothing in more rows that it did not see before
			tt.d = max(tt.d/10, time.Second)
		}
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := rand.New(rand.NewPCG(1, 2))
				f := newFarm(t, tt.nodes, Options{})
				defer f.close()
				f.mesh(r, tt.dials, func() cableOptions { return cableOptions{delay: time.Duration(1+r.IntN(10)) * time.Millisecond} })
				time.Sleep(5 * time.Second)
				s := watchSpread(f)
				rows := f.load(r, tt.rate, tt.d)
				f.settle(5 * time.Second)
				var received uint64
				for _, m := range f.nodes {
					stats := m.engine.Stats()
					received += stats.RowsTaken + stats.RowsDuplicate
				}
				copies := float64(received) / float64(rows*(tt.nodes-1))
				t.Logf("%d links, %d rows: p50 %v, p99 %v, %.2f copies, %d writes on node 0", len(f.links), len(s.took), s.quantile(.5), s.quantile(.99), copies, f.nodes[0].store.written())
				if p99 := s.quantile(.99); len(s.took) != rows || p99 > tt.p99 || copies > tt.copies {
					t.Errorf("p99 %v, %.2f copies, %d of %d rows everywhere; want at most %v, %v", p99, copies, len(s.took), rows, tt.p99, tt.copies)
				}
			})
		})
	}
}
