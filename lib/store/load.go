package store

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// load reads what is alive into memory, and proves with a first write that the
// database takes one.
func (s *Store) load(ctx context.Context) error {
	c, err := s.engine.load(ctx)
	if err != nil {
		return err
	}
	s.clock = model.NewClock(c.clock)
	s.mark.Store(c.mark)
	m := s.memory
	fillTable(m.users, c.users, func(u model.User) string { return u.Name })
	fillTable(m.labels, c.labels, func(l model.Label) model.UID { return l.UID })
	fillTable(m.nodes, c.nodes, func(n model.Node) model.UID { return n.UID })
	fillTable(m.locations, c.locations, func(l model.Location) string { return l.Name })
	m.vector = c.vector
	maps.DeleteFunc(m.vector, func(_ replica.Origin, seq uint64) bool { return seq == 0 }) // of which all went to another incarnation
	if err := s.incarnate(c); err != nil {
		return err
	}
	s.removed.Store(math.MinInt64 / 2) // nothing was
	if !c.removed.IsZero() {
		s.removed.Store(c.removed.UnixNano())
	}
	born, first := s.bornAt(c)
	s.steady.begin = anchor(s.stamp(), c.clock, c.dates[dateBelieved])
	for _, app := range c.waiting {
		s.waiting[app] = struct{}{}
	}
	fillTable(m.mappings, c.mappings, func(m model.ServiceMapping) model.UID { return m.UID })
	b := newBatch(s)
	s.loadSuccession(b, c.succession)
	m.apply(b)
	b = newBatch(s)
	for _, e := range c.open {
		s.present(e, s.Succession)
		b.entries[e.Application.UID] = e
	}
	m.apply(b)
	b = newBatch(s)
	s.loadAccesses(b, c.accesses)
	m.apply(b)
	opening := func() error { return nil }
	if first {
		opening = func() error { return s.engine.putDate(dateBorn, born) }
	}
	return s.writeOpening(c.lapse, opening)
}

// writeOpening is the first transaction of a run: what incarnate settled, and
// what the caller adds. The reading is of a lapse that has not ended, or 0.
func (s *Store) writeOpening(lapse model.HLC, more func() error) error {
	along, err := s.untoldRows()
	if err != nil {
		return err
	}
	b, until := newBatch(s), s.resumeLapse(lapse)
	if err = b.begin(); err == nil {
		err = more()
	}
	if err == nil {
		err = s.engine.putSession(s.origin.Incarnation, s.marker.Session)
	}
	if err == nil && until > 0 {
		err = s.engine.putLapse(until)
	}
	if len(along) > 0 {
		s.takeAlong(b, along)
	}
	if err == nil {
		err = s.untoldNow(s.began)
	}
	if err == nil {
		err = b.commit()
	}
	if err != nil {
		b.rollback()
		return err
	}
	s.untold.Store(true)
	s.memory.moved(b)
	return s.settleSession()
}

func fillTable[K comparable, V any](t *table[K, V], rows []V, keyOf func(V) K) {
	changed := make(map[K]*V, len(rows))
	for i := range rows {
		changed[keyOf(rows[i])] = &rows[i]
	}
	t.apply(changed)
}

func (d *database) load(ctx context.Context) (*contents, error) {
	c, err := d.loadStart(ctx)
	if err != nil {
		return nil, err
	}
	if c.lapse, err = readLapse(ctx, d.writer); err != nil {
		return nil, fmt.Errorf("read lapse: %w", err)
	}
	if err := d.loadTables(ctx, c); err != nil {
		return nil, err
	}
	if c.open, err = readEntries(ctx, d.writer, whichOpen); err != nil {
		return nil, err
	}
	if err := d.loadRows(ctx, c); err != nil {
		return nil, err
	}
	if c.accesses, err = collect(ctx, d.writer, d.scanRow, selectAccesses()); err != nil {
		return nil, fmt.Errorf("read credentials: %w", err)
	}
	return c, nil
}

// loadStart reads the clock, and whether the database is a copy.
func (d *database) loadStart(ctx context.Context) (*contents, error) {
	last, err := column[int64](ctx, d.writer, "SELECT value FROM meta WHERE key = 'hlc'")
	if err == nil && len(last) != 1 {
		err = ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read clock: %w", err)
	}
	c := &contents{clock: model.HLC(last[0])}
	if c.untold, err = readUntold(ctx, d.writer); err != nil {
		return nil, fmt.Errorf("read what nobody was told of: %w", err)
	}
	c.mark, err = readMark(ctx, d.writer)
	return c, err
}

func (d *database) loadTables(ctx context.Context, c *contents) error {
	return cmp.Or(
		loadTable(ctx, d.writer, &c.users, scanUser, "SELECT "+userColumns+" FROM users"),
		loadTable(ctx, d.writer, &c.labels, scanLabel, "SELECT "+labelColumns+" FROM labels"),
		loadTable(ctx, d.writer, &c.nodes, scanNode, "SELECT "+nodeColumns+" FROM nodes"),
		loadTable(ctx, d.writer, &c.locations, scanLocation, "SELECT "+locationColumns+" FROM locations"),
		loadTable(ctx, d.writer, &c.mappings, scanMapping, "SELECT "+mappingColumns+" FROM service_mappings"),
	)
}

func loadTable[V any](ctx context.Context, db querier, into *[]V, scan func(scanner) (V, error), query string) (err error) {
	if *into, err = collect(ctx, db, scan, query); err != nil {
		return fmt.Errorf("run %q: %w", query, err)
	}
	return nil
}
