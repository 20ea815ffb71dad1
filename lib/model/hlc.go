package model

import (
	"sync"
	"time"
)

// HLC is a hybrid logical clock reading: nanoseconds since 1970 where clocks
// agree, and larger than every reading seen before, but for those that Reset has
// taken back. It orders facts; times of day never do.
type HLC int64

// Clock hands out HLC readings. It is safe for use by many goroutines.
type Clock struct {
	mu   sync.Mutex
	last HLC
}

// NewClock returns a clock whose next reading is larger than last, the largest
// reading that the node has ever stored.
func NewClock(last HLC) *Clock { return &Clock{last: last} }

// Next returns the reading for a fact made at wall: max(wall, last+1).
func (c *Clock) Next(wall time.Time) HLC {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = max(HLC(wall.UnixNano()), c.last+1)
	return c.last
}

// Last returns the largest reading handed out or observed, since the last Reset.
func (c *Clock) Last() HLC {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}

// Reset sets the clock back: the next reading is larger than to, whatever was
// handed out before. It is for a node that has given what it stamped since then
// other readings.
func (c *Clock) Reset(to HLC) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = to
}

// Observe makes every later reading, until a Reset, larger than seen, a reading
// that came from elsewhere.
func (c *Clock) Observe(seen HLC) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = max(c.last, seen)
}
