package store

import (
	"context"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// CreateFirstLocation is CreateFirstUser for the location that a node finds in
// its config: it gives way to what somebody wrote about that place, whenever it
// comes here.
func (s *Store) CreateFirstLocation(ctx context.Context, l model.Location) (created bool, err error) {
	err = s.do(ctx, func(t *tx) error {
		if _, known := t.locations.get(l.Name); known {
			created = false
			return nil
		}
		first := l
		first.CreatedAt, first.HLC = t.now, t.store.clock.Next(t.now)
		body, err := replica.EncodeLocation(first)
		if err != nil {
			return err
		}
		if created, err = t.stageFirst(replica.KindLocation, l.Name, l.HLC, body); err != nil || !created {
			return err
		}
		return t.putLocation(first)
	})
	return created && err == nil, err
}

// lastRank is far above every rank of a first row, also of one whose password was
// hashed anew, and far below every reading of a clock.
const lastRank model.HLC = 1 << 20

// stageFirst notes the first row of a name unless there is or was one. rank
// stands in the place of the clock reading: it is lower than any.
func (t *tx) stageFirst(kind replica.Kind, name string, rank model.HLC, body []byte) (bool, error) {
	row, err := t.findRow(kind, []byte(name)) // or its tombstone
	if err != nil || row != nil {
		return false, err
	}
	version := t.nextVersion()
	version.HLC = rank
	return true, t.stageOwn(&syncRow{Row: replica.Row{Kind: kind, Key: []byte(name), Version: version, Body: body}})
}
