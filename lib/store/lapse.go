package store

import (
	"context"
	"fmt"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// A node that took a new incarnation may lack what it wrote before and others
// know: what it granted, what it began and ended. That is a lapse. It lasts,
// over restarts too, until the node has heard from everybody (lib/recall);
// meanwhile it grants nothing of before, and neither begins nor declines what
// it may have been granted then.

// markLapse has the newest clock reading of before, while there is a lapse.
const markLapse = "lapse"

// lapse is what a lapse leaves open. It is never changed, only replaced, under
// memory's lock.
type lapse struct {
	until model.HLC // what this node accepted later is of after
	since time.Time // when this process noticed it, with the monotonic reading
	// pending says that another node knows more, and the incarnation that
	// follows from it is not taken yet.
	pending bool
}

// Lapsed reports whether there is a lapse, and since when this process knows.
func (s *Store) Lapsed() (since time.Time, lapsed bool) {
	if l := s.lapse.Load(); l != nil {
		return l.since, true
	}
	return time.Time{}, false
}

// Forgot reports whether what was decided about an application may be known to
// others alone: all that is not certainly accepted here since.
func (s *Store) Forgot(app model.Application) bool {
	l := s.lapse.Load()
	return l != nil && (app.Arbiter != s.opts.Node || app.HLC <= l.until)
}

// Suspect notes that another node has rows of an origin of this node, up to
// seq, that it has not from this database (Forgotten), and reports whether that
// is so: the lapse begins at once, before any of those rows is taken in. Reincarnate makes it durable; a
// process that dies before that hears of it again. It does not block.
func (s *Store) Suspect(origin replica.Origin, seq uint64) bool {
	s.memory.mu.Lock()
	defer s.memory.mu.Unlock()
	if !s.forgot(origin, seq) {
		return false
	}
	s.heard = max(s.heard, origin.Incarnation)
	if l := s.lapse.Load(); l == nil || !l.pending {
		s.lapse.Store(&lapse{until: s.clock.Next(s.stamp()), since: time.Now(), pending: true})
	}
	return true
}

// EndLapse says that this node knows all that the others know of what it wrote
// before the incarnation. It does nothing if that is not its newest one, or
// another one is about to be taken. Subscribers get a resync.
func (s *Store) EndLapse(ctx context.Context, incarnation uint32) error {
	err := s.alone(ctx, func() error {
		l := s.lapse.Load()
		if l == nil || l.pending || s.origin.Incarnation != incarnation {
			return nil
		}
		if err := s.writeLapse(0); err != nil {
			return err
		}
		s.memory.mu.Lock()
		ended := s.lapse.CompareAndSwap(l, nil) // nothing was suspected meanwhile
		s.memory.mu.Unlock()
		if ended {
			s.log.Info("all members were heard of what this node may have forgotten: it decides again as ever", "incarnation", incarnation)
			s.feed.publish(nil, true)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("end the lapse: %w", err)
	}
	return nil
}

// writeLapse is a transaction of its own; 0 ends the lapse.
func (s *Store) writeLapse(until model.HLC) error {
	return s.writeAlone(func() error { return s.engine.putLapse(until) })
}

// writeAlone is a transaction of one write, in the writer between two batches.
func (s *Store) writeAlone(put func() error) error {
	b := newBatch(s)
	err := b.begin()
	if err == nil {
		err = put()
	}
	if err == nil {
		err = b.commit()
	}
	if err != nil {
		b.rollback()
	}
	return err
}

// resumeLapse is the lapse that a start begins with: the one of before that did
// not end, or a new one. until is 0 if there is none.
func (s *Store) resumeLapse(stored model.HLC) (until model.HLC) {
	if until = stored; s.bumped.Load() {
		until = max(until, s.clock.Next(s.stamp()))
	}
	if until > 0 {
		s.lapse.Store(&lapse{until: until, since: time.Now()})
	}
	return until
}

// learnOwn takes in that others bring back what this node had accepted, or
// credentials that it had made: that is of before the lapse, whatever the clock of this node said when that began.
func (t *tx) learnOwn(r replica.Row) error {
	s := t.store
	l := s.lapse.Load()
	if l == nil || r.Kind != replica.KindApplication && r.Kind != replica.KindResourceAccess || r.Version.Origin.Node != s.opts.Node || r.Version.HLC <= l.until {
		return nil
	}
	if err := t.touch(); err != nil {
		return err
	}
	if err := t.fail(s.engine.putLapse(r.Version.HLC)); err != nil {
		return err
	}
	s.memory.mu.Lock()
	defer s.memory.mu.Unlock()
	if l := s.lapse.Load(); l != nil { // also if the batch is lost: it will come again
		s.lapse.Store(&lapse{until: max(l.until, r.Version.HLC), since: l.since, pending: l.pending})
	}
	return nil
}

func (d *database) putLapse(until model.HLC) error {
	if until == 0 {
		return d.step("end the lapse", "DELETE FROM meta WHERE key = '"+markLapse+"'")
	}
	return d.step("store the lapse", "INSERT INTO meta (key, value) VALUES ('"+markLapse+"', ?) "+
		"ON CONFLICT (key) DO UPDATE SET value = max(value, excluded.value)", int64(until))
}

// readLapse is 0 if there is none.
func readLapse(ctx context.Context, db querier) (model.HLC, error) {
	until, err := column[int64](ctx, db, "SELECT value FROM meta WHERE key = '"+markLapse+"'")
	if err != nil || len(until) == 0 {
		return 0, err
	}
	return model.HLC(until[0]), nil
}

func (m *memoryEngine) putLapse(until model.HLC) error {
	r := &m.disk.rows
	was := r.lapse
	m.disk.undos = append(m.disk.undos, func() { r.lapse = was })
	if r.lapse = max(r.lapse, until); until == 0 {
		r.lapse = 0
	}
	return nil
}
