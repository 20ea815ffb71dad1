package store

import (
	"context"
	"fmt"
	"math"
	"time"
)

// dateName names a time that the database keeps of itself.
type dateName string

const (
	// dateBorn is when the database was made.
	dateBorn dateName = "born"
	// dateBelieved is the time of day that retention believed last.
	dateBelieved dateName = "believed"
)

type dates map[dateName]time.Time

func readDates(ctx context.Context, db querier) (dates, error) {
	type date struct {
		name dateName
		at   int64
	}
	rows, err := collect(ctx, db, func(row scanner) (d date, err error) {
		err = row.Scan(&d.name, &d.at)
		return d, err
	}, "SELECT key, value FROM meta WHERE key IN (?, ?)", string(dateBorn), string(dateBelieved))
	if err != nil {
		return nil, fmt.Errorf("read times: %w", err)
	}
	all := make(dates)
	for _, r := range rows {
		all[r.name] = time.Unix(0, r.at).UTC()
	}
	return all, nil
}

// bornAt settles when the database was made; first says that it is now.
func (s *Store) bornAt(c *contents) (born time.Time, first bool) {
	born, known := c.dates[dateBorn]
	switch {
	case known:
		s.born = born.UnixNano()
	case c.session != 0: // of a version that did not note it
		s.born = math.MinInt64 / 2
	default:
		born, first = s.stamp(), true
		s.born = born.UnixNano()
	}
	return born, first
}

// keepDate stores a time.
func (s *Store) keepDate(ctx context.Context, name dateName, at time.Time) error {
	return s.do(ctx, func(t *tx) error {
		return t.run(func(nounWriter) error { return s.engine.putDate(name, at) })
	})
}
