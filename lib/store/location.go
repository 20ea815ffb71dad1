package store

import (
	"context"
	"fmt"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
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
		if err := t.run(func(w nounWriter) error { return w.insertLocation(put) }); err != nil {
			return err
		}
		t.then(Key{Kind: KindLocation, Name: put.Name}, func() { t.locations.changed[put.Name] = &put })
		created = put
		return nil
	})
	if err != nil {
		return model.Location{}, err
	}
	return created, nil
}

func (exec execFunc) insertLocation(l model.Location) error {
	_, err := exec("INSERT INTO locations ("+locationColumns+") VALUES (?,?,?,?)",
		l.Name, l.Description, toNanos(l.CreatedAt), int64(l.HLC))
	return exists(err, "insert location")
}
