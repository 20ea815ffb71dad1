package store

import (
	"context"
	"errors"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// Ownerships returns all records of who owns shared things, in creation order;
// which of them count is lib/ownership's to say. The slice is shared: it must
// not be changed.
func (s *Store) Ownerships() []model.Ownership {
	s.memory.mu.RLock()
	defer s.memory.mu.RUnlock()
	return s.memory.ownerships.list
}

var errNoThing = errors.New("an ownership names a thing and who owns it")

// CreateOwnership stores that a shared thing has another owner from here on,
// with UID, writer, time and clock reading filled in. still is asked within the
// writer whether that is so by the records that are known then: else nothing is
// written, and o is NilUID.
func (s *Store) CreateOwnership(
	ctx context.Context, o model.Ownership, still func(records []model.Ownership, retirements []model.Retirement) bool,
) (model.Ownership, error) {
	if o.Thing == "" || o.To == model.NilUID {
		return model.Ownership{}, errNoThing
	}
	written := model.Ownership{}
	err := s.do(ctx, func(t *tx) error {
		written = model.Ownership{}
		if !still(t.ownerships.all(), t.retirements.all()) {
			return nil
		}
		made := o
		made.UID, made.By, made.CreatedAt, made.HLC = t.store.uids.New(t.now), t.store.opts.Node, t.now, t.store.clock.Next(t.now)
		if err := record(t, made, replica.EncodeOwnership, model.NilUID); err != nil {
			return err
		}
		written = made
		return t.keepOwnership(made)
	})
	if err != nil {
		return model.Ownership{}, err
	}
	return written, nil
}

func (t *tx) keepOwnership(o model.Ownership) error {
	t.then(Key{Kind: KindOwnership, UID: o.UID}, func() { t.ownerships.changed[o.UID] = &o })
	return nil
}
