package test

import (
	"sync"

	"github.com/aquarium-fish/aquarium-fish/lib/durable"
)

// flusher makes what was made in or removed from a folder survive a power
// loss. One flush serves all who asked before it began: many environments at
// once cost little more than one.
type flusher struct {
	path string
	sync func(path string) error
	busy sync.Mutex // held by the flush that runs; it guards nothing else

	mu   sync.Mutex
	next *flushRound // the one that has not begun; guarded by mu
}

type flushRound struct {
	once sync.Once
	err  error
}

func newFlusher(path string) *flusher {
	return &flusher{path: path, sync: durable.SyncFolder, next: new(flushRound)}
}

// flush returns when all that the caller did in the folder is durable.
func (f *flusher) flush() error {
	f.mu.Lock()
	round := f.next
	f.mu.Unlock()
	round.once.Do(func() {
		f.busy.Lock()
		defer f.busy.Unlock()
		f.mu.Lock()
		f.next = new(flushRound) // who asks from here on is not served by this one
		f.mu.Unlock()
		round.err = f.sync(f.path)
	})
	return round.err
}
