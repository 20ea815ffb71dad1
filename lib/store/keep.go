package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

const (
	// keepDeleted is how long tombstones are kept. Who was away for a year is
	// not let in again, so nobody comes with what was deleted.
	keepDeleted = 400 * 24 * time.Hour
	// keepWaiting is how long a row waits at least for its application, which
	// comes by the same ways: what is not here by then was removed here.
	keepWaiting = 7 * 24 * time.Hour
	// keepRowsEvery is how often these are looked for: they are a few a day.
	keepRowsEvery = time.Hour
	// dropBatch is how many rows one request of the writer drops.
	dropBatch = 200
)

// expireRows drops the tombstones, and the rows that wait, that are too old to
// matter. The vector stays: what was known is known.
func (s *Store) expireRows(ctx context.Context) error {
	now := s.steady.read(s.stamp(), time.Since(s.opened))
	if now.Sub(s.rowsKept) < keepRowsEvery && !s.rowsKept.IsZero() {
		return nil
	}
	tombstones := func() ([]rowKey, error) {
		return s.engine.tombstones(model.HLC(now.Add(-keepDeleted).UnixNano()), dropBatch)
	}
	waiting := func() ([]rowKey, error) {
		return s.engine.abandoned(now.Add(-max(keepWaiting, s.opts.Retention)), dropBatch)
	}
	for _, find := range []func() ([]rowKey, error){tombstones, waiting} {
		if err := s.dropRows(ctx, find); err != nil {
			return err
		}
	}
	if err := errors.Join(s.dropStray(ctx, now), s.keepDate(ctx, dateBelieved, now)); err != nil {
		return err
	}
	s.rowsKept = now
	return nil
}

// dropRows drops what is found, some at a time.
func (s *Store) dropRows(ctx context.Context, find func() ([]rowKey, error)) error {
	for {
		dropped := 0
		err := s.do(ctx, func(t *tx) error {
			keys, err := find()
			if err != nil {
				return t.fail(fmt.Errorf("find old rows: %w", err))
			}
			dropped = len(keys)
			for _, k := range keys {
				if err := t.touch(); err != nil {
					return err
				}
				if err := t.fail(s.engine.dropRow(k)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil || dropped < dropBatch {
			return err
		}
	}
}
