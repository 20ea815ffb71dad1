package store

import (
	"context"
	"fmt"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// Retirements and handovers are few and small: their rows for the other nodes
// are all that is stored of them.

// Retirements returns all retirements in creation order. The slice is shared:
// it must not be changed.
func (s *Store) Retirements() []model.Retirement {
	s.memory.mu.RLock()
	defer s.memory.mu.RUnlock()
	return s.memory.retirements.list
}

// Retirement returns that of a node.
func (s *Store) Retirement(node model.UID) (model.Retirement, bool) {
	s.memory.mu.RLock()
	defer s.memory.mu.RUnlock()
	r, ok := s.memory.retirements.rows[node]
	return r, ok
}

// CreateRetirement stores that a node is gone for good, with time and clock
// reading filled in. ErrExists if that is stored already.
func (s *Store) CreateRetirement(ctx context.Context, r model.Retirement) (model.Retirement, error) {
	err := s.do(ctx, func(t *tx) error {
		if _, known := t.retirements.get(r.NodeUID); known {
			return fmt.Errorf("retirement of node %s: %w", r.NodeUID, ErrExists)
		}
		r.CreatedAt, r.HLC = t.now, t.store.clock.Next(t.now)
		t.keepRetirement(r)
		return record(t, r, replica.EncodeRetirement, model.NilUID)
	})
	if err != nil {
		return model.Retirement{}, err
	}
	return r, nil
}

func (t *tx) keepRetirement(r model.Retirement) {
	t.then(Key{Kind: KindRetirement, UID: r.NodeUID}, func() { t.retirements.changed[r.NodeUID] = &r })
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
		t.keepHandover(h)
		return record(t, h, replica.EncodeHandover, model.NilUID)
	})
	if err != nil {
		return model.Handover{}, err
	}
	return h, nil
}

func (t *tx) keepHandover(h model.Handover) {
	t.then(Key{Kind: KindHandover, UID: h.UID}, func() { t.handovers.changed[h.UID] = &h })
}

// loadSuccession reads them from their rows.
func (s *Store) loadSuccession(b *batch, rows []syncRow) {
	for _, row := range rows {
		var err error
		if row.Kind == replica.KindRetirement {
			var r model.Retirement
			if r, err = replica.DecodeRetirement(row.Body); err == nil {
				b.retirements.changed[r.NodeUID] = &r
			}
		} else {
			var h model.Handover
			if h, err = replica.DecodeHandover(row.Body); err == nil {
				b.handovers.changed[h.UID] = &h
			}
		}
		if err != nil { // a newer program wrote it: it is kept, and passed on
			s.log.Warn("a row of the database can not be read by this version", "kind", row.Kind, "error", err)
		}
	}
}
