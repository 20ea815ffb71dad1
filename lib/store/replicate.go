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

var (
	// ErrGap says that a batch begins after what is known of its origin: what
	// is between has to come first.
	ErrGap = errors.New("batch begins after what is known of its origin")
	// ErrAhead says that a batch has rows more than maxAhead ahead of this
	// node's clock. One of the two clocks is wrong.
	ErrAhead = errors.New("batch is ahead of this node's clock; look at the clocks of both nodes")
	// ErrLost says that another node knows of rows which this one wrote and has
	// no more: its database is older than what it has told.
	ErrLost = errors.New("another node knows more of this node than its own database")
)

const (
	// maxAhead is how far ahead of the local clock a row may be (cluster rule:
	// a clock off by more than a minute is refused at the door; time services
	// may step while a link is open).
	maxAhead = 5 * time.Minute
	// maxPiece is how many rows one request of the writer takes in: some 20 ms,
	// which the node's own writes wait for it at most.
	maxPiece = 200
)

// Origin is under which this node writes.
func (s *Store) Origin() replica.Origin {
	s.memory.mu.RLock()
	defer s.memory.mu.RUnlock()
	return s.origin
}

// Vector returns up to where everything of each origin is stored here; a copy.
func (s *Store) Vector() replica.Vector {
	s.memory.mu.RLock()
	defer s.memory.mu.RUnlock()
	return s.memory.vector.Clone()
}

// Rows reads what an origin wrote after a sequence number, as far as it is
// current and the limit goes. It is empty, with To = From, if nothing is known
// that is newer.
func (s *Store) Rows(ctx context.Context, origin replica.Origin, after uint64, limit replica.Limit) (replica.Batch, error) {
	known := s.known(origin)
	b := replica.Batch{Origin: origin, From: after, To: max(after, known)}
	if known <= after {
		return b, nil
	}
	size := 0
	err := s.engine.readRows(origin, after, known, func(r replica.Row) bool {
		if ctx.Err() != nil || !limit.Fits(len(b.Rows), size, r.Size()) {
			b.To = after
			if n := len(b.Rows); n > 0 {
				b.To = b.Rows[n-1].Version.Seq
			}
			return false
		}
		size += r.Size()
		b.Rows = append(b.Rows, r)
		return true
	})
	if err := errors.Join(err, ctx.Err()); err != nil {
		return replica.Batch{}, fmt.Errorf("read rows of %s: %w", origin.Node, err)
	}
	if err := s.noteTold(ctx, origin, b.To); err != nil {
		return replica.Batch{}, fmt.Errorf("give away rows of %s: %w", origin.Node, err)
	}
	return b, nil
}

// Replicate takes in what other nodes wrote. It returns after that can be read;
// a loss of power may take it back, with the vector, until this node's next own
// write. A batch of which all is known already is skipped. One that fails
// (ErrGap, ErrAhead, ErrLost, or it is malformed) is left out with the rest of
// its origin, and its error is returned; the others are taken in.
func (s *Store) Replicate(ctx context.Context, batches []replica.Batch) error {
	var failed []error
	good, bad := sound(batches)
	for origin, err := range bad {
		failed = append(failed, fmt.Errorf("batch of %s: %w", origin.Node, err))
	}
	clear(bad)
	for piece := range readAhead(inPieces(good)) {
		piece = slices.DeleteFunc(piece, func(b arrivals) bool { return bad[b.Origin] != nil })
		refused, err := s.takeIn(ctx, piece)
		if err != nil {
			return err
		}
		for origin, err := range refused {
			bad[origin] = err
			failed = append(failed, fmt.Errorf("batch of %s: %w", origin.Node, err))
		}
	}
	return errors.Join(failed...)
}

// sound are the batches up to the first malformed one of each origin, and what
// is wrong with that.
func sound(batches []replica.Batch) (good []replica.Batch, bad map[replica.Origin]error) {
	bad = make(map[replica.Origin]error)
	for _, b := range batches {
		if bad[b.Origin] != nil {
			continue
		}
		if err := b.Validate(); err != nil {
			bad[b.Origin] = err
			continue
		}
		good = append(good, b)
	}
	return good, bad
}

// takeIn is one request of the writer. refused are the origins whose batch does
// not fit.
func (s *Store) takeIn(ctx context.Context, batches []arrivals) (refused map[replica.Origin]error, err error) {
	err = s.await(&request{ctx: ctx, done: make(chan error, 1), remote: true, run: func(t *tx) error {
		refused = make(map[replica.Origin]error)
		for _, b := range batches {
			if refused[b.Origin] != nil {
				continue
			}
			if why := t.fits(b.Batch); why != nil {
				refused[b.Origin] = why
			} else if err := t.takeBatch(b); err != nil {
				return fmt.Errorf("take in rows of %s: %w", b.Origin.Node, err)
			}
		}
		return nil
	}})
	return refused, err
}

// fits says why a batch can not be taken in now.
func (t *tx) fits(b replica.Batch) error {
	known := t.seen(b.Origin)
	switch {
	case b.To <= known:
		return nil
	case b.Origin == t.store.origin:
		return ErrLost
	case b.From > known:
		return ErrGap
	}
	limit := model.HLC(t.now.Add(maxAhead).UnixNano())
	for _, r := range b.Rows {
		if r.Version.HLC > limit {
			return fmt.Errorf("%w: by %s", ErrAhead, time.Duration(r.Version.HLC-limit)+maxAhead)
		}
	}
	return nil
}

func (t *tx) takeBatch(b arrivals) error {
	known := t.seen(b.Origin)
	if b.To <= known {
		return nil
	}
	for _, r := range b.rows {
		if r.Version.Seq <= known {
			continue
		}
		if _, err := t.takeRow(r, nil); err != nil {
			return err
		}
		t.flush() // the next row builds on it
	}
	if err := t.touch(); err != nil {
		return err
	}
	t.vector[b.Origin] = b.To
	return nil
}

// takeRow keeps a row of another node if it takes the place of what is here,
// and makes of it what it says. It reports whether it did. leave, if not nil,
// says of which applications no row is wanted.
func (t *tx) takeRow(r arrived, leave func(app model.UID) (bool, error)) (took bool, err error) {
	if !r.authentic {
		t.store.log.Warn("a row was not written by its owner, it is dropped", "kind", r.Kind, "writer", r.Version.Origin.Node)
		return false, nil
	}
	p, err := t.parse(r)
	if err != nil { // of a newer program, or broken: others may know better
		t.store.log.Warn("a row can not be read by this version, it is kept and passed on", "kind", r.Kind, "origin", r.Version.Origin.Node,
			"error", err)
	}
	if leave != nil {
		if left, err := leave(p.app); err != nil || left {
			return false, err
		}
	}
	row := &syncRow{Row: r.Row, app: p.app, noun: r.noun}
	old, err := t.oldRow(row)
	if err != nil {
		return false, err
	}
	var before *replica.Row
	if old != nil {
		before = &old.Row
	}
	took = before == nil || replica.Beats(r.Row, *before)
	t.tellConflict(before, r.Row, took)
	if !took {
		return false, nil
	}
	t.store.clock.Observe(r.Version.HLC)
	if err := t.learnOwn(r.Row); err != nil {
		return false, err
	}
	if r.Deleted && old != nil {
		row.app = old.app // nothing in it says so
	}
	if err := t.stage(row); err != nil {
		return false, err
	}
	if p.apply == nil {
		return true, nil
	}
	return true, p.apply(row)
}

// oldRow is the row in whose place this one may come. Most are of applications,
// and new: what is known of those says so without a look into the database.
func (t *tx) oldRow(row *syncRow) (*syncRow, error) {
	if row.app != model.NilUID && row.Kind != replica.KindServiceMapping && !underParent(row.Kind) && !t.mayWait(row.app) {
		e, err := t.find(row.app)
		if err != nil {
			return nil, err
		}
		if e == nil || row.Kind != replica.KindApplication && !holds(e, row) {
			if staged := t.rows.get(keyOf(row)); staged == nil {
				return nil, nil //nolint:nilnil // none is no error
			}
		}
	}
	return t.findRow(row.Kind, row.Key)
}

// holds reports whether the entry has the state or task of the row.
func holds(e *model.Entry, row *syncRow) bool {
	uid := model.UID(row.Key)
	return slices.ContainsFunc(e.AllStates(), func(s model.ApplicationState) bool { return s.UID == uid }) ||
		slices.ContainsFunc(e.Tasks, func(t model.ApplicationTask) bool { return t.UID == uid })
}

// find is entry, with nil for none.
func (t *tx) find(app model.UID) (*model.Entry, error) {
	if t.absent[app] {
		return nil, nil //nolint:nilnil // none is no error
	}
	e, err := t.entry(app)
	if errors.Is(err, ErrNotFound) {
		t.absent[app] = true
		return nil, nil //nolint:nilnil // none is no error
	}
	return e, err
}

// mayWait reports whether rows of the application may wait for it.
func (t *tx) mayWait(app model.UID) bool {
	_, may := t.store.waiting[app]
	return may && !t.assembled[app]
}

// tellConflict leaves a line for who looks for a user or location that was
// changed on two nodes, one of which did not know of the other. What a node made
// because there was nothing is no change of anybody's: CreateFirstUser.
func (t *tx) tellConflict(old *replica.Row, r replica.Row, took bool) {
	if old == nil || r.Kind != replica.KindUser && r.Kind != replica.KindLocation || old.Version.Origin == r.Version.Origin {
		return
	}
	kept, lost := r.Version, old.Version
	if !took {
		kept, lost = lost, kept
	}
	if lost.HLC <= lastRank {
		return
	}
	noun := "user"
	if r.Kind == replica.KindLocation {
		noun = "location"
	}
	t.store.log.Info("changed on two nodes, the newer version stays", "noun", noun, "name", string(r.Key),
		"kept_node", kept.Origin.Node, "kept_hlc", kept.HLC, "lost_node", lost.Origin.Node, "lost_hlc", lost.HLC)
}
