package sim

import (
	"time"

	"golang.org/x/sys/unix"
)

// clock is the machine's own, which goes on in a bubble of fake time.
func clock() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) // cannot fail
	return time.Duration(ts.Nano()).Round(time.Millisecond)
}
