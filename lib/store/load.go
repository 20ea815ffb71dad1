package store

import (
	"cmp"
	"context"
	"fmt"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// load reads what is alive into memory, and proves with a first write that the
// database takes one.
func (s *Store) load(ctx context.Context) error {
	last, err := column[int64](ctx, s.writer, "SELECT value FROM meta WHERE key = 'hlc'")
	if err == nil && len(last) != 1 {
		err = ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("read clock: %w", err)
	}
	s.clock = model.NewClock(model.HLC(last[0]))
	m, err := readMark(ctx, s.writer)
	if err != nil {
		return err
	}
	s.mark.Store(m)
	if err := s.loadTables(ctx); err != nil {
		return err
	}
	entries, err := readEntries(ctx, s.writer, whichOpen)
	if err != nil {
		return err
	}
	b := newBatch(s)
	for _, e := range entries {
		b.entries[e.Application.UID] = e
	}
	s.memory.apply(b)
	b = newBatch(s)
	if err := b.begin(); err != nil {
		return err
	}
	if err := b.commit(); err != nil {
		b.rollback()
		return err
	}
	return nil
}

func (s *Store) loadTables(ctx context.Context) error {
	m, db := s.memory, s.writer
	return cmp.Or(
		loadTable(ctx, db, m.users, scanUser, "SELECT "+userColumns+" FROM users", func(u model.User) string { return u.Name }),
		loadTable(ctx, db, m.labels, scanLabel, "SELECT "+labelColumns+" FROM labels", func(l model.Label) model.UID { return l.UID }),
		loadTable(ctx, db, m.nodes, scanNode, "SELECT "+nodeColumns+" FROM nodes", func(n model.Node) model.UID { return n.UID }),
		loadTable(ctx, db, m.locations, scanLocation, "SELECT "+locationColumns+" FROM locations",
			func(l model.Location) string { return l.Name }),
		loadTable(ctx, db, m.mappings, scanMapping, "SELECT "+mappingColumns+" FROM service_mappings",
			func(m model.ServiceMapping) model.UID { return m.UID }),
	)
}

func loadTable[K comparable, V any](
	ctx context.Context, db querier, t *table[K, V], scan func(scanner) (V, error), query string, keyOf func(V) K,
) error {
	rows, err := collect(ctx, db, scan, query)
	if err != nil {
		return fmt.Errorf("run %q: %w", query, err)
	}
	changed := make(map[K]*V, len(rows))
	for i := range rows {
		changed[keyOf(rows[i])] = &rows[i]
	}
	t.apply(changed)
	return nil
}
