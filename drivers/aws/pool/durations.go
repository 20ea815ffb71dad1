package pool

import (
	"slices"
	"time"
)

// kept is how many of the last scrubs count: enough for a p95, few enough to
// follow AWS when it changes.
const kept = 100

// durations are the last observed scrubs.
type durations struct {
	last   []time.Duration // oldest first
	sorted []time.Duration // the same ones
	count  int             // ever
	known  Durations       // of last
}

func (d *durations) add(took time.Duration) {
	if len(d.last) == kept {
		i, _ := slices.BinarySearch(d.sorted, d.last[0])
		d.sorted = slices.Delete(d.sorted, i, i+1)
		d.last = slices.Delete(d.last, 0, 1)
	}
	i, _ := slices.BinarySearch(d.sorted, took)
	d.sorted = slices.Insert(d.sorted, i, took)
	d.last = append(d.last, took)
	d.count++
	d.known = Durations{Count: d.count, P50: rank(d.sorted, 50), P95: rank(d.sorted, 95)}
}

// observe takes in how long a scrub took.
func (s *State) observe(took time.Duration) {
	before := s.scrubAway()
	s.scrubs.add(took)
	s.save()
	if s.scrubAway() != before {
		s.expectScrubs()
	}
}

// rank is the nearest-rank percentile of sorted values.
func rank(sorted []time.Duration, percent int) time.Duration {
	return sorted[(len(sorted)*percent+99)/100-1]
}

// ScrubTimes are how long observed scrubs took; as long as there is none,
// Count is 0 and both are Config.ScrubTime.
func (s *State) ScrubTimes() Durations {
	if len(s.scrubs.last) == 0 {
		return Durations{P50: s.cfg.ScrubTime, P95: s.cfg.ScrubTime}
	}
	return s.scrubs.known
}
