package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// A volume that is put back whole, marker and all, goes on under numbers by
// which others may know other rows. As long as nobody was told of what it wrote
// then, all can be put right; so the database says since where nobody was, over
// restarts too, and the first that is told ends that, durable, before he is.

// untold says after which sequence number nobody was told of what this node
// writes. It is of one session: a version of the program that knows nothing of
// it begins another one. The zero value says that somebody was told.
type untold struct {
	session int64
	seq     uint64
}

// maxUntold is how many rows an incarnation takes along at most: some half a
// second of a start. Of more it is as if they had been told.
const maxUntold = 20_000

// toldUpTo is the last sequence number of the origin that the database was
// written under of which others may know. A node that never heard of another
// one told nobody, and needs not know.
func (s *Store) toldUpTo(c *contents) uint64 {
	last := c.vector[s.origin]
	if c.untold.session == 0 || c.untold.session != c.session || c.untold.seq > last || last-c.untold.seq > maxUntold || !hasOthers(c.vector, s.opts.Node) {
		return last
	}
	return c.untold.seq
}

// untoldRows are those of which nobody was told and that an incarnation which
// begins now takes along: others may know other rows by their numbers. Not so in
// a copy of the database: what was told after that was taken it does not know.
func (s *Store) untoldRows() ([]*syncRow, error) {
	if s.along.origin == s.origin || !s.sameRun {
		return nil, nil
	}
	return s.rowsSince(s.along.origin, s.along.began)
}

// takeAlong gives rows of which nobody was told numbers of the incarnation that
// begins, in the transaction that opens the database.
func (s *Store) takeAlong(b *batch, rows []*syncRow) {
	b.renumber(rows, s.origin)
	b.vector[s.along.origin] = s.along.began
	s.log.Warn("what nobody was told of goes to the new incarnation", "rows", len(rows), "incarnation", s.origin.Incarnation)
}

// renumber gives rows the first sequence numbers of an origin. Their clock
// readings stay, and with them their order among the rows of others.
func (b *batch) renumber(rows []*syncRow, next replica.Origin) {
	for i, r := range rows {
		r.Version.Origin, r.Version.Seq = next, uint64(i)+1
		b.rows.put(r)
	}
	b.vector[next] = uint64(len(rows))
}

// untoldNow says that nobody was told of the origin from a number on.
func (s *Store) untoldNow(seq uint64) error { return s.engine.putUntold(untold{s.marker.Session, seq}) }

// moved takes over the vector of a batch that renumbered rows. The caller holds
// the lock, or is alone.
func (m *memory) moved(b *batch) {
	for o, seq := range b.vector {
		if m.vector[o] = seq; seq == 0 {
			delete(m.vector, o)
		}
	}
}

// noteTold notes that somebody is told of the origin up to seq, before he is. It is
// durable once in a run. While the disk takes no writes it is not, but soon after:
// a node that stops meanwhile takes an incarnation that it does not need.
func (s *Store) noteTold(ctx context.Context, origin replica.Origin, seq uint64) error {
	if s.untold.Load() && s.Writable() == nil && s.isNews(origin, seq) {
		switch err := s.alone(ctx, s.endUntold); {
		case ctx.Err() != nil || errors.Is(err, ErrClosed):
			return fmt.Errorf("note that rows are given away: %w", cmp.Or(err, ctx.Err()))
		case err != nil: // the next write tells that the disk takes none
			s.log.Debug("not noted yet that rows are given away", "error", err)
		}
	}
	s.tell(origin, seq)
	if s.known(origin) < seq {
		return errors.New("they have other numbers now")
	}
	return nil
}

// noteToldLate is noteTold for when the disk takes writes again. The writer's.
func (s *Store) noteToldLate() {
	if s.told.Load() <= s.began {
		return
	}
	if err := s.endUntold(); err != nil {
		s.log.Debug("not noted that rows were given away", "error", err)
	}
}

// known is the last sequence number of an origin.
func (s *Store) known(origin replica.Origin) uint64 {
	s.memory.mu.RLock()
	defer s.memory.mu.RUnlock()
	return s.memory.vector[origin]
}

// isNews reports whether rows up to seq are some of which nobody was told.
func (s *Store) isNews(origin replica.Origin, seq uint64) bool {
	s.memory.mu.RLock()
	defer s.memory.mu.RUnlock()
	return origin == s.origin && seq > s.began || s.left != nil && origin == s.left.origin && seq > s.left.began
}

// endUntold runs in the writer between two batches.
func (s *Store) endUntold() error {
	if !s.untold.Load() {
		return nil
	}
	if err := s.writeAlone(func() error { return s.engine.putUntold(untold{}) }); err != nil {
		return err
	}
	s.untold.Store(false)
	return nil
}

// hasOthers reports whether a vector knows of another node's rows.
func hasOthers(v replica.Vector, node model.UID) bool {
	for o, seq := range v {
		if o.Node != node && seq > 0 {
			return true
		}
	}
	return false
}

func (d *database) putUntold(u untold) error {
	return d.step("store what nobody was told of", "INSERT INTO meta (key, value) VALUES ('untold_of', ?), ('untold', ?) "+
		"ON CONFLICT (key) DO UPDATE SET value = excluded.value", u.session, int64(u.seq)) //nolint:gosec // counts from 0
}

// readUntold is zero in a database of an older version.
func readUntold(ctx context.Context, db querier) (u untold, err error) {
	of, err := column[int64](ctx, db, "SELECT value FROM meta WHERE key = 'untold_of'")
	if err != nil || len(of) == 0 {
		return untold{}, err
	}
	seq, err := column[int64](ctx, db, "SELECT value FROM meta WHERE key = 'untold'")
	if err != nil || len(seq) == 0 {
		return untold{}, err
	}
	return untold{of[0], uint64(seq[0])}, nil //nolint:gosec // counts from 0
}

func (m *memoryEngine) putUntold(u untold) error {
	r := &m.disk.rows
	was := r.untold
	m.disk.undos = append(m.disk.undos, func() { r.untold = was })
	r.untold = u
	return nil
}
