package lifecycle

import "time"

// age measures how long something exists. Within a process it trusts the
// monotonic clock and the boot clock, whichever ran further: the first stands
// still while a machine sleeps, the second may be coarse. The wall clock
// counts only for the time before this process, so that a step of it ends
// nothing.
type age struct {
	before time.Duration // how old it was when this process first saw it
	seen   time.Time     // with its monotonic reading
	boot   time.Duration
}

// newAge starts measuring something created at the wall time created.
func newAge(created, now time.Time, boot time.Duration) age {
	// Round drops the monotonic reading: created may carry none.
	return age{before: max(0, now.Round(0).Sub(created.Round(0))), seen: now, boot: boot}
}

// at returns the age.
func (a age) at(now time.Time, boot time.Duration) time.Duration {
	return a.before + a.here(now, boot)
}

// here returns how much of the age this process has seen.
func (a age) here(now time.Time, boot time.Duration) time.Duration {
	return max(now.Sub(a.seen), boot-a.boot)
}

// stepThreshold is the smallest step of the wall clock that is logged: less is
// what time services correct every day.
const stepThreshold = 5 * time.Minute

// wallStep returns by how much the wall clock moved against the boot clock
// between two readings, or 0 if by less than the threshold.
func wallStep(wall, boot time.Duration) time.Duration {
	if step := wall - boot; step >= stepThreshold || step <= -stepThreshold {
		return step
	}
	return 0
}
