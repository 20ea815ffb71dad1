package health

import (
	"context"
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/loop"
)

const (
	// lookEvery is how often the loops are looked at. Who looks is a loop of this process like them: while the process is
	// suspended, starved or the clock jumps, there are no looks to miss.
	lookEvery = 5 * time.Second
	// stuckLooks is at how many looks in a row a loop may be found where it was: a minute. The slowest comes round every
	// 30 s by itself, and all wait for the disk.
	stuckLooks = 12
)

// Loop is one of the loops of the node that must come round, if only because nothing happened.
type Loop struct {
	Name  string
	Beats func() uint64 // how often it came round; must not block
}

// watch finds loops that stand still.
type watch struct {
	loops []Loop

	mu    sync.Mutex
	last  []uint64 // guarded by mu
	still []int    // looks in a row without a beat; guarded by mu
}

func newWatch(loops []Loop) *watch {
	w := &watch{loops: loops, last: make([]uint64, len(loops)), still: make([]int, len(loops))}
	for i, l := range loops {
		w.last[i] = l.Beats()
	}
	return w
}

// look compares with the last look, and names the loops that stand still since this look, and those that go on again.
func (w *watch) look() (stuck, again []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, l := range w.loops {
		beats := l.Beats()
		if beats == w.last[i] {
			if w.still[i]++; w.still[i] == stuckLooks {
				stuck = append(stuck, l.Name)
			}
			continue
		}
		if w.still[i] >= stuckLooks {
			again = append(again, l.Name)
		}
		w.last[i], w.still[i] = beats, 0
	}
	return stuck, again
}

// state says whether all came round once, and whether one stands still.
func (w *watch) state() (started, stuck bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	started = true
	for i, l := range w.loops {
		started = started && l.Beats() > 0
		stuck = stuck || w.still[i] >= stuckLooks
	}
	return started, stuck
}

// Run looks at the loops of the node until ctx is done, and then returns nil. Attach comes first.
func (h *Handler) Run(ctx context.Context) error {
	n := h.node.Load()
	loop.Every(ctx, lookEvery, func(context.Context) {
		stuck, again := n.watch.look()
		for _, name := range stuck {
			h.log.Error("a part of the node stands still, a restart may help", "part", name, "for", stuckLooks*lookEvery)
		}
		for _, name := range again {
			h.log.Info("a part of the node goes on again", "part", name)
		}
	})
	return nil
}
