package store

import (
	"context"
	"fmt"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

const locationColumns = "name, description, created_at, hlc"

func scanLocation(row scanner) (l model.Location, err error) {
	err = row.Scan(&l.Name, &l.Description, nanos{&l.CreatedAt}, &l.HLC)
	return l, err
}

// Location returns a location.
func (s *Store) Location(name string) (model.Location, bool) {
	s.memory.mu.RLock()
	defer s.memory.mu.RUnlock()
	l, ok := s.memory.locations.rows[name]
	return l, ok
}

// PutLocation stores a new location, with time and clock reading filled in.
// ErrExists if there is one of that name.
func (s *Store) PutLocation(ctx context.Context, l model.Location) (model.Location, error) {
	var created model.Location
	err := s.do(ctx, func(t *tx) error {
		if _, taken := t.locations.get(l.Name); taken {
			return fmt.Errorf("location %q: %w", l.Name, ErrExists)
		}
		put := l
		put.CreatedAt, put.HLC = t.now, t.store.clock.Next(t.now)
		if err := recordChange(t, put, replica.EncodeLocation, model.NilUID); err != nil {
			return err
		}
		created = put
		return t.putLocation(put)
	})
	if err != nil {
		return model.Location{}, err
	}
	return created, nil
}

func (t *tx) putLocation(l model.Location) error {
	if err := t.run(func(w nounWriter) error { return w.insertLocation(l) }); err != nil {
		return err
	}
	t.then(Key{Kind: KindLocation, Name: l.Name}, func() { t.locations.changed[l.Name] = &l })
	return nil
}

// DeleteLocation removes a location, and reports whether there was one.
func (s *Store) DeleteLocation(ctx context.Context, name string) (bool, error) {
	var existed bool
	err := s.do(ctx, func(t *tx) error {
		if _, existed = t.locations.get(name); !existed {
			return nil
		}
		if err := t.recordDeleted(replica.KindLocation, []byte(name)); err != nil {
			return err
		}
		return t.deleteLocation(name)
	})
	if err != nil {
		return false, err
	}
	return existed, nil
}

func (t *tx) deleteLocation(name string) error {
	if err := t.run(func(w nounWriter) error { return w.deleteLocation(name) }); err != nil {
		return err
	}
	t.then(Key{Kind: KindLocation, Name: name}, func() { t.locations.changed[name] = nil })
	return nil
}

func (exec execFunc) deleteLocation(name string) error {
	return exec.step("delete location", "DELETE FROM locations WHERE name = ?", name)
}

func (exec execFunc) insertLocation(l model.Location) error {
	_, err := exec("INSERT OR REPLACE INTO locations ("+locationColumns+") VALUES (?,?,?,?)",
		l.Name, l.Description, toNanos(l.CreatedAt), int64(l.HLC))
	return exists(err, "insert location")
}
