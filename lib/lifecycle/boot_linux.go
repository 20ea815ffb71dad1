package lifecycle

import (
	"time"

	"golang.org/x/sys/unix"
)

// BootClock is how long the machine is up, time asleep included.
func BootClock() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0 // the monotonic clock alone counts then
	}
	return time.Duration(ts.Nano())
}
