package store

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// Bumped reports whether this node took a new incarnation since it started: its
// database may lack what others know that it wrote. Until it has heard of those
// it should decide nothing.
func (s *Store) Bumped() bool { return s.bumped.Load() }

// incarnate settles under which origin this node writes, before it writes
// anything: the one of before, or a new incarnation if the database may be
// another one than the one that it last wrote to.
func (s *Store) incarnate(c *contents) error {
	found, file := s.engine.foundMarker()
	s.setOrigin(replica.Origin{Node: s.opts.Node, Incarnation: c.incarnation})
	s.along, s.sameRun = beginning{s.origin, s.toldUpTo(c)}, found.sameRun(c.session, file)
	aside := found != nil && found.Aside && c.session == 0
	switch {
	case aside: // numbers of before are used by none of these rows, and nothing was lost
		s.origin.Incarnation = max(s.origin.Incarnation, found.Incarnation)
		s.setOrigin(s.nextOrigin())
	case found.other(c.session, file) || found != nil && found.Incarnation > c.incarnation: // the latter: a process died while it took one
		if found != nil {
			s.origin.Incarnation = max(s.origin.Incarnation, found.Incarnation)
		}
		s.setOrigin(s.nextOrigin())
		s.bumped.Store(true)
		s.log.Warn("the database may not be the one that this node last wrote to: it takes a new incarnation and asks others for what it lacks",
			"incarnation", s.origin.Incarnation)
	}
	if s.along.origin == s.origin {
		s.setBegan(s.along.began)
	}
	s.marker = marker{Running: true, Incarnation: s.origin.Incarnation, Session: newSession(), File: file}
	s.marker.Opening, s.marker.Previous, s.marker.Aside = true, c.session, aside
	return s.engine.writeMarker(s.marker)
}

// setOrigin changes under which origin this node writes; the writer's.
func (s *Store) setOrigin(o replica.Origin) {
	s.memory.mu.Lock()
	defer s.memory.mu.Unlock()
	s.origin = o
}

// setBegan notes where the rows of this run begin; the writer's.
func (s *Store) setBegan(seq uint64) {
	s.memory.mu.Lock()
	defer s.memory.mu.Unlock()
	s.began = seq
}

// tell notes that rows of an origin are given away, up to seq, before they are.
func (s *Store) tell(origin replica.Origin, seq uint64) {
	s.memory.mu.RLock()
	defer s.memory.mu.RUnlock()
	told := &s.told
	switch {
	case s.left != nil && origin == s.left.origin:
		told = &s.left.told
	case origin != s.origin:
		return
	}
	for was := told.Load(); seq > was && !told.CompareAndSwap(was, seq); was = told.Load() {
	}
}

// Forgotten looks in what another node knows for an origin of this node that it
// knows up to a number which it can not have from this database: of what was
// here when this process started, and what was given away since.
func (s *Store) Forgotten(theirs replica.Vector) (origin replica.Origin, seq uint64, forgotten bool) {
	s.memory.mu.RLock()
	defer s.memory.mu.RUnlock()
	for o, n := range theirs {
		if s.forgot(o, n) && (!forgotten || o.Incarnation > origin.Incarnation) {
			origin, seq, forgotten = o, n, true
		}
	}
	return origin, seq, forgotten
}

// forgot reports whether another node can not have an origin up to seq from
// this database. The own vector does not tell: where a whole volume was put
// back, as many rows may have been written since as were lost. The caller holds
// memory's lock, or is the writer.
func (s *Store) forgot(origin replica.Origin, seq uint64) bool {
	switch {
	case origin.Node != s.origin.Node:
		return false
	case origin.Incarnation > s.origin.Incarnation: // durable here before the first row of it was given away
		return seq > 0
	}
	if l := s.left; l != nil && origin == l.origin {
		return seq > max(l.began, l.told.Load())
	}
	return origin == s.origin && seq > max(s.began, s.told.Load())
}

// left is the origin that this run wrote under before Restamp began the one of
// now: others may know more of it than this run can have told, too.
type left struct {
	origin replica.Origin
	began  uint64        // as Store.began
	told   atomic.Uint64 // as Store.told
}

// leave notes which origin Restamp leaves, before there is another one. In a
// lapse everybody is heard anyway. The caller holds memory's lock.
func (s *Store) leave() {
	if s.left = nil; s.lapse.Load() != nil {
		return
	}
	s.left = &left{origin: s.origin, began: s.began}
	s.left.told.Store(s.told.Load())
}

// beginnings are where the rows of this run begin, by their origins, the older first.
func (s *Store) beginnings() (list []beginning) {
	if l := s.left; l != nil {
		list = append(list, beginning{l.origin, l.began})
	}
	return append(list, beginning{s.origin, s.began})
}

// beginning is the last sequence number of an origin that is not of this run.
type beginning struct {
	origin replica.Origin
	began  uint64
}

// nextOrigin is this node's next incarnation, after all that it and others know
// of.
func (s *Store) nextOrigin() replica.Origin {
	s.memory.mu.RLock()
	defer s.memory.mu.RUnlock()
	next := s.origin
	next.Incarnation = max(next.Incarnation, s.heard)
	for o := range s.memory.vector {
		if o.Node == next.Node {
			next.Incarnation = max(next.Incarnation, o.Incarnation)
		}
	}
	next.Incarnation++
	return next
}

// settleSession ends the opening: the database has the session now.
func (s *Store) settleSession() error {
	s.marker.Opening, s.marker.Previous, s.marker.Aside = false, 0, false
	return s.engine.writeMarker(s.marker)
}

// Reincarnate is for when another node has rows of an origin, up to seq, that
// is this node's and that it has not from this database (Forgotten): that is
// older than what the node has told. The node takes a new incarnation, under which it writes what
// it has written since it started; what it wrote before that others will bring,
// as if it were a stranger's. It does nothing if this is not so, or not any more.
func (s *Store) Reincarnate(ctx context.Context, origin replica.Origin, seq uint64) error {
	err := s.alone(ctx, func() error {
		suspected := s.lapse.Load() != nil && s.lapse.Load().pending // perhaps before more was written here
		if origin.Node != s.origin.Node || !s.forgot(origin, seq) && !suspected {
			return nil
		}
		next := s.nextOrigin()
		next.Incarnation = max(next.Incarnation, origin.Incarnation+1)
		return s.reincarnate(next)
	})
	if err != nil {
		return fmt.Errorf("take a new incarnation: %w", err)
	}
	return nil
}

// markIncarnation comes before anything is written under an incarnation: with it
// the number is used, whatever comes of the rest.
func (s *Store) markIncarnation(next replica.Origin) error {
	m := s.marker
	m.Incarnation = next.Incarnation
	if err := s.engine.writeMarker(m); err != nil {
		return err
	}
	s.marker = m
	return nil
}

// reincarnate runs in the writer between two batches.
func (s *Store) reincarnate(next replica.Origin) error {
	var again []*syncRow
	for _, of := range s.beginnings() {
		rows, err := s.rowsSince(of.origin, of.began)
		if err != nil {
			return err
		}
		again = append(again, rows...)
	}
	if err := s.markIncarnation(next); err != nil {
		return err
	}
	b, until := newBatch(s), s.clock.Next(s.stamp())
	if err := s.renumber(b, again, next, until); err != nil {
		b.rollback()
		return err
	}
	s.memory.mu.Lock()
	s.lapse.Store(&lapse{until: until, since: s.noticed()})
	s.origin = next
	s.memory.moved(b)
	s.began, s.left = 0, nil
	s.untold.Store(true)
	s.told.Store(0)
	s.memory.mu.Unlock()
	s.bumped.Store(true)
	s.log.Warn("others know more of this node than its database: it takes a new incarnation and asks them for what it lacks",
		"incarnation", next.Incarnation, "rows_written_since_start", len(again))
	s.advanced.notify()
	s.feed.publish(nil, true) // what waits may have been decided already
	return nil
}

// rowsSince are the rows of this node after a sequence number.
func (s *Store) rowsSince(origin replica.Origin, after uint64) (rows []*syncRow, err error) {
	err = s.engine.readRows(origin, after, s.memory.vector[origin], func(r replica.Row) bool {
		row := &syncRow{Row: r}
		row.app = appOf(row)
		rows = append(rows, row)
		return true
	})
	return rows, err
}

// noticed is since when it is known that there is a lapse.
func (s *Store) noticed() time.Time {
	if since, lapsed := s.Lapsed(); lapsed {
		return since
	}
	return time.Now()
}

// renumber writes rows under another origin, and that there is a lapse, durable.
func (s *Store) renumber(b *batch, rows []*syncRow, next replica.Origin, until model.HLC) error {
	if err := b.begin(); err != nil {
		return err
	}
	b.renumber(rows, next)
	for _, of := range s.beginnings() {
		b.vector[of.origin] = of.began
	}
	if err := s.untoldNow(0); err != nil {
		return err
	}
	if err := s.engine.putSession(next.Incarnation, s.marker.Session); err != nil {
		return err
	}
	if err := s.engine.putLapse(until); err != nil {
		return err
	}
	return b.commit()
}
