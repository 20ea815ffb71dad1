package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// A node whose clock was ahead has stamped what it wrote meanwhile, and all since,
// as readings never fall, with times at which nobody has arrived yet: the others
// hold it back. Once its clock is right it gives these rows new readings, in the
// same order, under a new incarnation, and goes on from there.

// errSuspected says that another node knows more of this one than its database.
var errSuspected = errors.New("another node knows more of this node than its own database: the incarnation that follows from it comes first")

// Restamped is what Restamp did.
type Restamped struct {
	Rows int           // that have another clock reading
	By   time.Duration // how far the newest reading was ahead
}

// Restamp is for a node that is held back (Ahead) although its clock is right
// now, which the caller has to make sure of: what it wrote and is more than
// maxAhead ahead is stamped anew, and so is what anybody may change and others
// wrote by such a clock. All of it is one transaction, under a new incarnation.
// Where that would change who decides about what others wrote by such a clock, it
// fails and changes nothing: try again when they have stamped that anew. It does
// nothing where Ahead says that the node is not held back. Subscribers get a resync.
func (s *Store) Restamp(ctx context.Context) (done Restamped, err error) {
	err = s.alone(ctx, func() (err error) {
		by, held := s.Ahead()
		if !held {
			return nil
		}
		if l := s.lapse.Load(); l != nil && l.pending {
			return errSuspected
		}
		done = Restamped{By: by}
		done.Rows, err = s.restampAhead(ctx)
		return err
	})
	if err != nil {
		return Restamped{}, fmt.Errorf("stamp anew what was written by a clock that was ahead: %w", err)
	}
	return done, nil
}

// restampAhead runs in the writer between two batches.
func (s *Store) restampAhead(ctx context.Context) (int, error) {
	now := s.stamp()
	limit := model.HLC(now.Add(maxAhead).UnixNano())
	found, newest, err := s.engine.rowsAhead(limit)
	if err != nil {
		return 0, err
	}
	rows := restampable(found, s.opts.Node)
	r := newReadings(rows, limit, max(newest, model.HLC(now.UnixNano())))
	if err := s.keepsOrder(found, r); err != nil {
		return 0, err
	}
	next := s.origin
	if len(rows) > 0 {
		next = s.nextOrigin()
		if err := s.markIncarnation(next); err != nil {
			return 0, err
		}
	}
	b, was := newBatch(s), s.clock.Last()
	if err := s.writeRestamped(ctx, b, rows, r, next); err != nil {
		b.rollback()
		s.clock.Observe(was)
		return 0, err
	}
	s.setRestamped(b, r, next)
	s.log.Warn("the clock of this machine was ahead when the node wrote: what it wrote then has the right time now",
		"rows", len(rows), "ahead", time.Duration(was-model.HLC(now.UnixNano())).Round(time.Second), "incarnation", next.Incarnation)
	return len(rows), nil
}

// restampable are those of the rows that this node may stamp anew: its own, and
// what everybody may change, as the last writer wins.
func restampable(found []syncRow, node model.UID) (rows []*syncRow) {
	for i, r := range found {
		switch r.Kind {
		case replica.KindUser, replica.KindLocation, replica.KindServiceMapping, replica.KindApplicationTask:
		default:
			if r.Version.Origin.Node != node {
				continue
			}
		}
		rows = append(rows, &found[i])
	}
	return rows
}

// readings is by what readings those are replaced that are ahead.
type readings struct {
	limit, base model.HLC
	ahead       []model.HLC // ascending
}

// newReadings takes the readings of rows and of what they say.
func newReadings(rows []*syncRow, limit, base model.HLC) readings {
	r := readings{limit: limit, base: base}
	for _, row := range rows {
		for _, at := range []model.HLC{row.Version.HLC, replica.Reading(row.Body)} {
			if at > limit {
				r.ahead = append(r.ahead, at)
			}
		}
	}
	slices.Sort(r.ahead)
	r.ahead = slices.Compact(r.ahead)
	return r
}

// of is the reading in place of one. Their order stays, also that of a reading
// which is in no row.
func (r readings) of(at model.HLC) model.HLC {
	if at <= r.limit {
		return at
	}
	n, found := slices.BinarySearch(r.ahead, at)
	if found {
		n++
	}
	return r.base + model.HLC(n)
}

// newest is the last one that is given.
func (r readings) newest() model.HLC { return r.base + model.HLC(len(r.ahead)) }

// writeRestamped is the whole transaction. It may take minutes, in which the
// writer does nothing else, but is not stuck; ctx ends it, and nothing is changed.
func (s *Store) writeRestamped(ctx context.Context, b *batch, rows []*syncRow, r readings, next replica.Origin) error {
	if err := b.begin(); err != nil {
		return err
	}
	t := &tx{batch: b, now: s.stamp()}
	for i, row := range rows {
		s.heart.Beat()
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("after %d of %d rows: %w", i, len(rows), err)
		}
		version := replica.Version{HLC: r.of(row.Version.HLC), Origin: next, Seq: uint64(i) + 1}
		if err := t.restampRow(row, version, r); err != nil {
			return fmt.Errorf("row of kind %d: %w", row.Kind, err)
		}
		t.flush() // the next row builds on it
	}
	if len(rows) > 0 {
		b.vector[next] = uint64(len(rows))
	}
	if err := s.engine.putSession(next.Incarnation, s.marker.Session); err != nil {
		return err
	}
	if next != s.origin {
		if err := s.untoldNow(0); err != nil {
			return err
		}
	}
	if err := s.restampLapse(r); err != nil {
		return err
	}
	if err := s.restampMark(r); err != nil {
		return err
	}
	s.clock.Reset(r.newest()) // only now: an application that waited may have brought others' readings along
	return b.commit()
}

// restampRow writes a row and what it says as if another node had sent it.
func (t *tx) restampRow(old *syncRow, version replica.Version, r readings) error {
	row := &syncRow{Row: old.Row, app: old.app, since: old.since}
	row.Version = version
	if row.Deleted { // nothing in it has a reading, and nothing is there that it means
		return t.stage(row)
	}
	var err error
	if row.Body, err = replica.Restamp(old.Body, r.of(replica.Reading(old.Body))); err != nil {
		return err
	}
	came := arrive(row.Row)
	p, err := t.parse(came)
	if err != nil || p.apply == nil { // of a newer program: it stays a row
		return t.stage(row)
	}
	row.app, row.noun, row.since = p.app, came.noun, time.Time{}
	if err := t.stage(row); err != nil {
		return err
	}
	return p.apply(row)
}

// restampLapse has a lapse end with the same applications.
func (s *Store) restampLapse(r readings) error {
	l := s.lapse.Load()
	if l == nil || l.until <= r.limit {
		return nil
	}
	if err := s.engine.putLapse(0); err != nil { // it never takes an older one else
		return err
	}
	return s.engine.putLapse(r.of(l.until))
}

// restampMark has a restored copy doubt the same applications.
func (s *Store) restampMark(r readings) error {
	m := s.mark.Load()
	if m == nil || m.until <= r.limit {
		return nil
	}
	return s.engine.putMarkUntil(r.of(m.until))
}

// setRestamped takes over what was committed, all at once: whoever sees the new
// rows can tell whose they are.
func (s *Store) setRestamped(b *batch, r readings, next replica.Origin) {
	s.memory.mu.Lock()
	if next != s.origin {
		s.leave()
		s.origin, s.began = next, 0
		s.told.Store(0)
		s.untold.Store(true)
	}
	if l := s.lapse.Load(); l != nil && l.until > r.limit {
		s.lapse.Store(&lapse{until: r.of(l.until), since: l.since, pending: l.pending})
	}
	s.memory.take(b)
	s.memory.mu.Unlock()
	if m := s.mark.Load(); m != nil && m.until > r.limit {
		s.mark.CompareAndSwap(m, &mark{taken: m.taken, until: r.of(m.until)})
	}
	s.commits.Add(1)
	for app := range b.assembled {
		delete(s.waiting, app)
	}
	s.feed.publish(b.keys, true)
	s.advanced.notify()
}
