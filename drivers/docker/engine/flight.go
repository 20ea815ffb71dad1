package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/images"
)

const (
	// mostFailed bounds the failures that are remembered for people to see.
	mostFailed = 100
	// reportEvery is how often the log says how far an image has come.
	reportEvery = 30 * time.Second
	// failureAge is for how long a new attempt has to get further than the one
	// that failed to count as being on its way.
	failureAge = time.Hour
)

// flight is one image on its way into the engine, shared by all who wait for it.
type flight struct {
	done chan struct{}
	// These are guarded by Images.mu, and set for good before done is closed.
	id       string
	err      error
	finished bool
	waiters  int  // each gets a hold on the image
	shown    bool // in lists; not while it is somebody else's to show
	status   drivers.ImageStatus
	logged   time.Time
	motion   images.Motion
}

// failure is why an image could not be had.
type failure struct {
	status drivers.ImageStatus
	at     time.Time
	motion images.Motion // until then
}

// join makes the caller a waiter of the key's flight, a new one where there is none.
func (i *Images) join(key string, w wanted, shown bool, work func(context.Context, *flight) (known, error)) (*flight, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed {
		return nil, ErrClosed
	}
	if f := i.flights[key]; f != nil {
		f.waiters++
		return f, nil
	}
	f := &flight{done: make(chan struct{}), waiters: 1, shown: shown, status: w.status(), logged: time.Now()}
	if failed, ok := i.failed[key]; ok && f.logged.Sub(failed.at) < failureAge {
		f.motion = failed.motion.After()
	}
	i.flights[key] = f
	i.wg.Go(func() {
		began := time.Now()
		k, err := i.settled(f, work)
		if err != nil && i.ctx.Err() != nil {
			err = ErrClosed
		}
		i.finish(key, f, k.id, err)
		switch {
		case err == nil:
			i.log.Debug("image is in the engine", "image", w.source(), "id", k.id, "took", time.Since(began).Round(time.Millisecond))
			i.evict(i.ctx)
		case f.shown && !errors.Is(err, ErrClosed): // who else shows it says so too
			i.log.Warn("image is not available", "image", w.source(), "error", err)
		}
	})
	return f, nil
}

// settled does the work, again if what it found is being removed meanwhile, and
// returns with a hold on the image.
func (i *Images) settled(f *flight, work func(context.Context, *flight) (known, error)) (known, error) {
	for {
		k, err := work(i.ctx, f)
		if err != nil {
			return known{}, err
		}
		i.mu.Lock()
		gone := i.removing[k.id]
		if gone == nil {
			i.held[k.id]++
			i.mu.Unlock()
			return k, nil
		}
		i.mu.Unlock()
		select {
		case <-gone:
		case <-i.ctx.Done():
			return known{}, context.Cause(i.ctx)
		}
	}
}

// finish hands the outcome to all waiters. The flight's own hold becomes theirs.
func (i *Images) finish(key string, f *flight, id string, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	f.id, f.err, f.finished = id, err, true
	delete(i.flights, key)
	if err == nil {
		i.held[id] += f.waiters
		i.release(id)
		delete(i.failed, key)
	} else if f.shown && !errors.Is(err, ErrClosed) {
		if len(i.failed) >= mostFailed {
			clear(i.failed)
		}
		f.status.State, f.status.Error = drivers.ImageFailed, err.Error()
		i.failed[key] = failure{f.status, time.Now(), f.motion}
	}
	close(f.done)
}

// await returns the image's ID with a hold on it, or when ctx ends.
func (i *Images) await(ctx context.Context, f *flight, w wanted) (string, error) {
	select {
	case <-f.done:
		return f.id, f.err
	case <-ctx.Done():
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case !f.finished:
		f.waiters--
	case f.err == nil:
		i.release(f.id)
	}
	return "", fmt.Errorf("wait for image %s: %w", w.source(), context.Cause(ctx))
}

// report notes how far a flight is, for lists and now and then for the log.
func (i *Images) report(f *flight, state drivers.ImageState, done, total int64) {
	now := time.Now()
	i.mu.Lock()
	f.status.State, f.status.Done, f.status.Total = state, done, total
	due := now.Sub(f.logged) >= reportEvery
	if due {
		f.logged = now
	}
	image := f.status.Source
	i.mu.Unlock()
	if due {
		i.log.Info("image is on its way into the engine", "image", image, "state", string(state), "done", done, "total", total)
	}
}

// watched returns a context for a long answer of the engine: it also ends when
// alive was not called for the time of Limits.Stall.
func (i *Images) watched(ctx context.Context) (watched context.Context, alive, stop func()) {
	limit := i.opts.Limits.Stall
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(limit, func() { cancel(fmt.Errorf("the engine said nothing for %v", limit)) })
	return ctx, func() { timer.Reset(limit) }, func() { timer.Stop(); cancel(nil) }
}
