package store

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"
)

const (
	// maxBatch is how many requests share a COMMIT (design rule 1): a batch
	// stays below some 20 ms of work, and an fsync is shared well enough.
	maxBatch = 200
	// maxQueued is how many requests wait without their caller being held up
	// at the door; the callers beyond it wait there, in the same order.
	maxQueued = 2 * maxBatch
	// probeEvery is how often a database that refused a COMMIT is tried again.
	probeEvery = time.Second
	// roundEvery is how often the writer comes round although nobody writes.
	roundEvery = 10 * time.Second
)

// request is one caller's write.
type request struct {
	ctx context.Context
	run func(*tx) error
	// remote says that it brings nothing but what other nodes still have.
	remote bool
	done   chan error // capacity 1
}

// do runs one request in the writer and returns after it is durable, readable
// and fed. An error of ctx after the request was queued leaves open whether
// it was written.
func (s *Store) do(ctx context.Context, run func(*tx) error) error {
	return s.await(&request{ctx: ctx, run: run, done: make(chan error, 1)})
}

func (s *Store) await(r *request) error {
	ctx := r.ctx
	select {
	case <-s.closing:
		return ErrClosed
	default:
	}
	select {
	case s.requests <- r:
	case <-s.closing:
		return ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("queue write: %w", ctx.Err())
	}
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("await write: %w", ctx.Err())
	case <-s.stopped:
	}
	select {
	case err := <-r.done:
		return err
	default: // it came after the last batch
		return ErrClosed
	}
}

// write is the writer: it owns the writing connection until the store closes.
func (s *Store) write() {
	defer close(s.stopped)
	var probe <-chan time.Time // nil while all is well
	round := time.NewTicker(roundEvery)
	defer round.Stop()
	for {
		s.heart.Beat()
		probe = s.probeTimer(probe)
		select {
		case r := <-s.requests:
			s.commit(s.gather(r))
		case job := <-s.jobs:
			job()
		case <-round.C: // nothing to do: it came round
		case <-probe:
			probe = nil
			s.probe()
		case <-s.closing:
			for batch := s.gather(nil); len(batch) > 0; batch = s.gather(nil) {
				s.commit(batch)
			}
			return
		}
	}
}

// Beats is how often the writer came round, which it does every roundEvery,
// whatever happens.
func (s *Store) Beats() uint64 { return s.heart.Beats() }

// gather takes what is queued and waits for nobody.
func (s *Store) gather(first *request) []*request {
	var batch []*request
	if first != nil {
		batch = append(batch, first)
	}
	for len(batch) < maxBatch {
		select {
		case r := <-s.requests:
			batch = append(batch, r)
		default:
			return batch
		}
	}
	return batch
}

// commit writes one batch: SQL, COMMIT, read model, feed, answers, in this
// order. The first run has no savepoints, which cost a third of a small write;
// if a request has to be undone, and hardly any ever is, all are run again,
// each in its own.
func (s *Store) commit(requests []*request) {
	b := newBatch(s)
	b.fleeting = !slices.ContainsFunc(requests, func(r *request) bool { return !r.remote })
	answers := make([]error, len(requests))
	err := s.runAll(b, requests, answers)
	if errors.Is(err, errAgain) {
		b.rollback()
		fleeting := b.fleeting
		b = newBatch(s)
		b.careful, b.fleeting = true, fleeting
		err = s.runAll(b, requests, answers)
	}
	if err == nil {
		err = b.commit()
	}
	if err != nil {
		b.rollback()
		s.refuse(err, requests)
		return
	}
	if b.begun {
		s.commits.Add(1)
		s.setHealth(nil)
	}
	s.memory.apply(b)
	for app := range b.assembled {
		delete(s.waiting, app)
	}
	s.crash.point("feed.before")
	s.feed.publish(b.keys, false)
	if len(b.vector) > 0 {
		s.advanced.notify()
	}
	s.crash.point("answer.before")
	for i, r := range requests {
		r.done <- answers[i]
	}
}

// runAll runs the requests. Its error means that the whole batch is lost.
func (s *Store) runAll(b *batch, requests []*request, answers []error) error {
	for i, r := range requests {
		if r.ctx.Err() != nil {
			answers[i] = fmt.Errorf("await write: %w", r.ctx.Err())
			continue
		}
		t := &tx{batch: b, now: s.stamp()}
		answers[i] = guard(r.run, t)
		if err := t.end(answers[i] == nil); err != nil {
			return err
		}
	}
	return nil
}

// guard turns a panic in a request into its error: it must not take the writer,
// and with it everybody's writes, along.
func guard(run func(*tx) error, t *tx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic in a write: %v\n%s", p, debug.Stack())
		}
	}()
	return run(t)
}

// refuse answers ErrUnavailable to everybody in a batch that was lost, also to
// those that wrote nothing: what they saw of the others never came to be.
func (s *Store) refuse(cause error, requests []*request) {
	err := fmt.Errorf("%w: %w", ErrUnavailable, cause)
	s.setHealth(err)
	for _, r := range requests {
		r.done <- err
	}
}

// Writable returns nil, or why the last write failed. While it does, nothing
// may be started whose record could not be stored. It turns nil again after
// the next write that succeeds; the store tries one every second.
func (s *Store) Writable() error {
	if p := s.health.Load(); p != nil {
		return *p
	}
	return nil
}

// setHealth notes whether the database takes writes; a change is logged, and
// a recovery fed as a resync.
func (s *Store) setHealth(err error) {
	was := s.Writable()
	if err != nil {
		s.health.Store(&err)
		if was == nil {
			s.log.Error("database is not writable", "error", err)
		}
		return
	}
	if was != nil {
		s.health.Store(nil)
		s.log.Info("database is writable again")
		s.noteToldLate()
		s.feed.publish(nil, true)
	}
}

// probeTimer fires when the next probe is due; never while all is well. One
// that runs goes on running: requests that write nothing prove nothing.
func (s *Store) probeTimer(running <-chan time.Time) <-chan time.Time {
	switch {
	case s.Writable() == nil:
		return nil
	case running != nil:
		return running
	}
	return time.After(probeEvery)
}

// probe tries a write that changes nothing that matters.
func (s *Store) probe() {
	b := newBatch(s)
	err := errors.Join(b.begin(), b.commit())
	if err != nil {
		b.rollback()
		err = fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	s.setHealth(err)
}
