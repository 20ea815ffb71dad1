package store

import (
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

const (
	// stepThreshold is the smallest step of the wall clock that is not believed
	// at once: less is what time services correct every day.
	stepThreshold = 5 * time.Minute
	// settleAfter is how long a larger step has to last: by then a time service
	// or an operator has taken back a wrong one.
	settleAfter = time.Hour
)

// steady is the wall clock without its sudden steps ahead: one for a minute
// must not make all history look old enough to go. The monotonic clock stands
// still while the machine sleeps, so waking up looks like a step too; history
// then stays that much longer.
type steady struct {
	begin   time.Time     // the wall clock's first reading
	ahead   time.Duration // how far it has been ahead since, as far as it is believed
	pending bool          // it is further ahead
	since   time.Duration // since when, on the monotonic clock
}

// anchor is when the clock begins: not at the wall clock's first reading, which
// may be years ahead at a boot, but at the newest one that the database has. That
// one is not believed either where it is further from the time believed last
// than a running process lets it get: it is of such a boot.
func anchor(wall time.Time, last model.HLC, believed time.Time) time.Time {
	if last == 0 {
		return wall
	}
	begin := time.Unix(0, int64(last)).UTC()
	if !believed.IsZero() && begin.Sub(believed) > keepRowsEvery+settleAfter+stepThreshold {
		return believed
	}
	return begin
}

// read returns the time of day to believe, given the wall clock's and how long
// it is since begin on the monotonic clock.
func (c *steady) read(wall time.Time, elapsed time.Duration) time.Time {
	ahead := wall.Sub(c.begin) - elapsed
	switch {
	case ahead < c.ahead+stepThreshold, c.pending && elapsed-c.since >= settleAfter:
		c.ahead, c.pending = ahead, false
	case !c.pending:
		c.pending, c.since = true, elapsed
	}
	return c.begin.Add(elapsed + c.ahead)
}
