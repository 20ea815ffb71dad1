package sim

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
)

var (
	first   = flag.Uint64("sim.seed", 1, "the first seed")
	seeds   = flag.Uint64("sim.seeds", 0, "how many seeds are played; 0: as many as there is time for")
	verbose = flag.Bool("sim.logs", false, "print what the nodes log")
)

// TestBriefHistories plays many short histories with all faults.
func TestBriefHistories(t *testing.T) {
	for seed := *first; seed < *first+many(200, 1500); seed++ {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			campaign(t, seed, brief(seed), 3+int(seed%7), 20, 2*time.Second)
		})
	}
}

var apps = flag.Int("sim.apps", 300, "applications of each hostile history")

// TestHostileHistories plays long ones: cuts of up to 905 s, power losses,
// sleeps, up to a fifth of all packets lost.
func TestHostileHistories(t *testing.T) {
	for seed := *first; seed < *first+many(2, 70); seed++ {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			campaign(t, seed, hostile(seed), 3+int(seed%4), *apps, 600*time.Millisecond)
		})
	}
}

// TestLeaps plays brief histories in which clocks are hours ahead again and
// again: in most of them always the same node's.
func TestLeaps(t *testing.T) {
	for seed := *first; seed < *first+many(10, 300); seed++ {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			p := brief(seed)
			p.ahead, p.one = 3*time.Hour, seed%3 != 0
			for range 5 {
				p.faults = append(p.faults, (*history).leap)
			}
			campaign(t, seed, p, 3+int(seed%4), 20, 2*time.Second)
		})
	}
}

// many is how many seeds are played.
func many(usual, most uint64) uint64 {
	switch {
	case *seeds > 0:
		return *seeds
	case needs.Long():
		return most
	}
	return usual
}

// TestOnDisk plays brief histories with databases of SQLite; a process that is
// killed leaves what it has committed.
func TestOnDisk(t *testing.T) {
	for seed := *first; seed < *first+5; seed++ {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			var folders []string
			for range 3 {
				folders = append(folders, t.TempDir())
			}
			play(t, len(folders), seed, func(f *farm) {
				for i, m := range f.nodes {
					m.disk, m.folder = nil, folders[i]
				}
				h := f.play(brief(0), 12, 2*time.Second)
				t.Logf("seed %d: %d applications", seed, len(h.ledger.apps))
			})
		})
	}
}
