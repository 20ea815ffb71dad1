package space

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

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
	// counting is how long a look may count what was written: well below stale,
	// so that many files are no reason to know nothing.
	counting = 20 * time.Second
	// closing is how long close waits for one.
	closing = time.Second
)

var (
	errHangs = errors.New("the file system does not answer; look whether it hangs or is unmounted")
	// errLooking: many files take their time, and that is nobody's trouble yet.
	errLooking = errors.New("it is not counted yet what is written there")
)

// gauge keeps what the last look at a file system found. Make it with newGauge.
type gauge[T any] struct {
	path string
	look func(context.Context) (T, error)

	mu      sync.Mutex // guards what is below; never held while looking
	last    T
	err     error     // of the last look
	at      time.Time // of the last look's end; zero before the first
	took    time.Duration
	flight  chan struct{} // of the look under way: closed at its end
	began   time.Time     // of the last look
	closed  bool
	flights sync.WaitGroup
}

// newGauge returns a gauge that has looked at nothing yet. path is for its errors.
func newGauge[T any](path string, look func(context.Context) (T, error)) *gauge[T] {
	return &gauge[T]{path: path, look: look}
}

// read returns what there is, from memory or by a look that it waits a moment
// for. At most one look is under way, whatever happens to it.
func (g *gauge[T]) read() (T, error) {
	if flight := g.launch(time.Now()); flight != nil {
		await(flight, patience)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	err := g.err
	if g.at.IsZero() || g.flight != nil && time.Since(g.at) > stale {
		err = errLooking
		if time.Since(g.began) > counting+fresh {
			err = errHangs
		}
	}
	if err != nil {
		var none T
		return none, fmt.Errorf("room at %s: %w", g.path, err)
	}
	return g.last, nil
}

// launch starts a look if one is due and none is under way, and returns what
// is closed at its end.
func (g *gauge[T]) launch(now time.Time) <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed || g.flight != nil || !g.at.IsZero() && now.Sub(g.at) < g.lasts() {
		return nil
	}
	flight := make(chan struct{})
	g.flight, g.began = flight, now
	g.flights.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), counting)
		defer cancel()
		found, err := g.look(ctx)
		g.landed(found, err)
		close(flight)
	})
	return flight
}

// lasts is how long the last look counts. What it took beyond the time for
// counting was a hang, and says nothing of the next one's cost; an error costs
// more than to look again. mu is held.
func (g *gauge[T]) lasts() time.Duration {
	if g.err != nil {
		return fresh
	}
	return max(fresh, costFactor*min(g.took, counting))
}

func (g *gauge[T]) landed(found T, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.at = time.Now()
	g.took, g.flight, g.err = g.at.Sub(g.began), nil, err
	if err == nil {
		g.last = found
	}
}

// close ends the looking. One that hangs is not waited for: nothing can end it
// but the file system or the end of the process.
func (g *gauge[T]) close() {
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
