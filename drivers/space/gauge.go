// Package space knows how much room file systems have, and asks them in a way
// that one which hangs holds nobody up.
package space

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
)

// gb is what sizes of disks count in, in bytes.
const gb = 1 << 30

// ToGB is how many whole GB so many bytes are.
func ToGB(bytes int64) uint { return uint(max(0, bytes) / gb) } //nolint:gosec // not negative

const (
	// fresh is how old a reading may be that is given without looking again,
	// and costFactor how many times what the look took at least: many files are
	// not counted all the time.
	fresh      = 2 * time.Second
	costFactor = 20
	// patience is how long who asks waits for a look: it takes microseconds
	// where the file system is well.
	patience = 100 * time.Millisecond
	// stale is how old a reading may be that is given while a look is under way.
	stale = time.Minute
	// closing is how long Close waits for one.
	closing = time.Second
)

// Reading is what was found at one look.
type Reading struct {
	Room drivers.DiskRoom
	// Kept are the disks that are there whoever runs, by name.
	Kept map[string]bool
}

var errHangs = errors.New("the file system does not answer; look whether it hangs or is unmounted")

// Gauge keeps the last reading of a file system. Make it with New.
type Gauge struct {
	path string
	look func() (Reading, error)

	mu      sync.Mutex // guards what is below; never held while looking
	last    Reading
	err     error     // of the last look
	at      time.Time // of the last look's end; zero before the first
	took    time.Duration
	flight  chan struct{} // of the look under way: closed at its end
	closed  bool
	flights sync.WaitGroup
}

// New returns a gauge that has looked at nothing yet. path is for its errors.
func New(path string, look func() (Reading, error)) *Gauge { return &Gauge{path: path, look: look} }

// Read returns what there is, from memory or by a look that it waits a moment
// for. At most one look is under way, whatever happens to it.
func (g *Gauge) Read() (Reading, error) {
	if flight := g.launch(time.Now()); flight != nil {
		await(flight, patience)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	err := g.err
	if g.at.IsZero() || g.flight != nil && time.Since(g.at) > stale {
		err = errHangs
	}
	if err != nil {
		return Reading{}, fmt.Errorf("room at %s: %w", g.path, err)
	}
	return g.last, nil
}

// launch starts a look if one is due and none is under way, and returns what
// is closed at its end.
func (g *Gauge) launch(now time.Time) <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	due := g.at.IsZero() || now.Sub(g.at) >= max(fresh, costFactor*g.took)
	if g.closed || g.flight != nil || !due {
		return nil
	}
	flight := make(chan struct{})
	g.flight = flight
	g.flights.Go(func() {
		reading, err := g.look()
		g.landed(reading, err, now)
		close(flight)
	})
	return flight
}

func (g *Gauge) landed(r Reading, err error, began time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.at = time.Now()
	g.took, g.flight, g.err = g.at.Sub(began), nil, err
	if err == nil {
		g.last = r
	}
}

// Close ends the looking. One that hangs is not waited for: nothing can end it
// but the file system or the end of the process.
func (g *Gauge) Close() {
	g.mu.Lock()
	g.closed = true
	flight := g.flight
	g.mu.Unlock()
	if flight == nil || await(flight, closing) {
		g.flights.Wait()
	}
}

// await waits for the end of a look, and reports whether it came.
func await(flight <-chan struct{}, most time.Duration) bool {
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-flight:
		return true
	case <-timer.C:
		return false
	}
}
