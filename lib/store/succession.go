package store

import (
	"context"
	"fmt"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// Retirements, handovers and ownerships are few and small: their rows for the other nodes
// are all that is stored of them.

// Retirements returns all retirements in creation order. The slice is shared:
// it must not be changed.
func (s *Store) Retirements() []model.Retirement {
	s.memory.mu.RLock()
	defer s.memory.mu.RUnlock()
	return s.memory.retirements.list
}

// deposed is what there is one retirement of. Two members that did not know of
// each other may have named two successors of one node: the first counts (see
// model.Retired), and the other one is kept, for what that successor did.
type deposed struct{ node, successor model.UID }

// Retirement returns that of a node.
func (s *Store) Retirement(node model.UID) (model.Retirement, bool) {
	return model.Retired(node, s.Retirements())
}

// CreateRetirement stores that a node is gone for good, with time and clock
// reading filled in. ErrExists if that is stored already.
func (s *Store) CreateRetirement(ctx context.Context, r model.Retirement) (model.Retirement, error) {
	err := s.do(ctx, func(t *tx) error {
		if t.retired(r.NodeUID) {
			return fmt.Errorf("retirement of node %s: %w", r.NodeUID, ErrExists)
		}
		r.CreatedAt, r.HLC = t.now, t.store.clock.Next(t.now)
		return firstError(record(t, r, replica.EncodeRetirement, model.NilUID), func() error { return t.keepRetirement(r) })
	})
	if err != nil {
		return model.Retirement{}, err
	}
	return r, nil
}

func (t *tx) keepRetirement(r model.Retirement) error {
	t.then(Key{Kind: KindRetirement, UID: r.NodeUID}, func() { t.retirements.changed[deposed{r.NodeUID, r.Successor}] = &r })
	return t.sortAgain()
}

// succession is what the batch as it is so far knows of who decides in whose place.
func (t *tx) succession() ([]model.Retirement, []model.Handover) {
	return t.retirements.all(), t.handovers.all()
}

// sortAgain looks again at what was not believed before it was known who decides.
func (t *tx) sortAgain() error {
	t.flush() // it is known from here on
	doubted := func(e *model.Entry) bool { return e != nil && len(e.Void) > 0 }
	again := map[model.UID]*model.Entry{}
	for _, known := range []map[model.UID]*model.Entry{t.store.memory.open, t.store.memory.recent.entries, t.entries} {
		for uid, e := range known {
			if _, newer := t.entries[uid]; doubted(e) && (!newer || t.entries[uid] == e) {
				again[uid] = e
			}
		}
	}
	for _, old := range again {
		e := *old
		if err := t.settle(old, &e); err != nil {
			return err
		}
	}
	return nil
}

// Handovers returns all handovers in creation order. The slice is shared: it
// must not be changed.
func (s *Store) Handovers() []model.Handover {
	s.memory.mu.RLock()
	defer s.memory.mu.RUnlock()
	return s.memory.handovers.list
}

// Succession returns all retirements and handovers, of one moment. The slices
// are shared: they must not be changed.
func (s *Store) Succession() ([]model.Retirement, []model.Handover) {
	s.memory.mu.RLock()
	defer s.memory.mu.RUnlock()
	return s.memory.retirements.list, s.memory.handovers.list
}

// AddHandover is CreateHandover for who does not need what became of it.
func (s *Store) AddHandover(ctx context.Context, h model.Handover) error {
	_, err := s.CreateHandover(ctx, h)
	return err
}

// CreateHandover stores that this node gives away what it would have decided,
// with UID, node, time and clock reading filled in. A clock reading that is
// given stays: the applications up to it are given away.
func (s *Store) CreateHandover(ctx context.Context, h model.Handover) (model.Handover, error) {
	err := s.do(ctx, func(t *tx) error {
		h.UID, h.NodeUID, h.CreatedAt, h.HLC = t.store.uids.New(t.now), t.store.opts.Node, t.now, t.orNext(h.HLC)
		return firstError(record(t, h, replica.EncodeHandover, model.NilUID), func() error { return t.keepHandover(h) })
	})
	if err != nil {
		return model.Handover{}, err
	}
	return h, nil
}

func (t *tx) keepHandover(h model.Handover) error {
	t.then(Key{Kind: KindHandover, UID: h.UID}, func() { t.handovers.changed[h.UID] = &h })
	return t.sortAgain()
}

// successionKinds are those of which rows are all that is stored.
func successionKinds() []replica.Kind {
	return []replica.Kind{replica.KindRetirement, replica.KindHandover, replica.KindOwnership}
}

func kindArgs(kinds []replica.Kind) []any {
	args := make([]any, len(kinds))
	for i, k := range kinds {
		args[i] = int64(k)
	}
	return args
}

// loadSuccession reads what is stored as rows only.
func (s *Store) loadSuccession(b *batch, rows []syncRow) {
	for _, row := range rows {
		if err := b.loadSuccession(row); err != nil { // a newer program wrote it: it is kept, and passed on
			s.log.Warn("a row of the database can not be read by this version", "kind", row.Kind, "error", err)
		}
	}
}

func (b *batch) loadSuccession(row syncRow) error {
	switch row.Kind {
	case replica.KindRetirement:
		r, err := replica.DecodeRetirement(row.Body)
		if err != nil {
			return fmt.Errorf("read row: %w", err)
		}
		b.retirements.changed[deposed{r.NodeUID, r.Successor}] = &r
	case replica.KindHandover:
		h, err := replica.DecodeHandover(row.Body)
		if err != nil {
			return fmt.Errorf("read row: %w", err)
		}
		b.handovers.changed[h.UID] = &h
	case replica.KindOwnership:
		o, err := replica.DecodeOwnership(row.Body)
		if err != nil {
			return fmt.Errorf("read row: %w", err)
		}
		b.ownerships.changed[o.UID] = &o
	}
	return nil
}
