package cluster

import (
	"math"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
)

const (
	// clockEvery is how often a neighbour is asked for its time of day: clocks that
	// drift or are set while the link is up are seen within this time.
	clockEvery = 30 * time.Second
	// clockPatience is how long an answer may take before it is given up: of a
	// neighbour that is merely slow, the next one is as good.
	clockPatience = 10 * time.Second
)

// clock is what a link knows of the neighbour's time of day. Pure; guarded by
// the cluster's mu.
type clock struct {
	offset time.Duration // how far the neighbour is ahead

	due     time.Time // of the next question
	number  uint64    // of the last one
	asked   time.Time // when that was; zero: none is under way
	doubted bool      // the last answer was too far off, and is asked for again
	answer  uint64    // the neighbour's question to be answered; 0: none
}

// newClock begins with what the hello told.
func newClock(offset time.Duration, now time.Time) clock {
	return clock{offset: offset.Truncate(time.Millisecond), due: now.Add(clockEvery)}
}

// millis is the offset as others are told of it: at most 24 days, however far a
// neighbour's clock is off.
func (c *clock) millis() int32 {
	return int32(max(math.MinInt32, min(c.offset.Milliseconds(), math.MaxInt32))) //nolint:gosec // bounded
}

// take returns what is to be said now. wall is the own time of day.
func (c *clock) take(now, wall time.Time) []any {
	var out []any
	if c.answer != 0 {
		out = append(out, wire.ClockTold{Number: c.answer, Wall: wall.UnixNano()})
		c.answer = 0
	}
	if !now.Before(c.due) {
		c.number, c.asked, c.due = c.number+1, now, now.Add(clockEvery)
		out = append(out, wire.ClockAsk{Number: c.number})
	}
	return out
}

// told takes in an answer and reports whether the clocks are certainly too far
// apart: by more than the way took, and twice, as a machine that slept reads
// late what came while it did.
func (c *clock) told(m wire.ClockTold, now, wall time.Time) (apart bool) {
	way := now.Sub(c.asked)
	if c.asked.IsZero() || m.Number != c.number || way > clockPatience {
		return false
	}
	c.asked = time.Time{}
	c.offset = time.Unix(0, m.Wall).Sub(wall.Add(-way / 2)).Truncate(time.Millisecond)
	apart = c.offset.Abs() > maxClock+way/2
	if apart && !c.doubted {
		c.doubted, c.due = true, now
		return false
	}
	c.doubted = apart
	return apart
}
