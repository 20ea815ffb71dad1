//go:build unix

package test

import (
	"time"

	"golang.org/x/sys/unix"
)

// monotonic is the machine's clock that nobody can set, the same for all
// processes.
func monotonic() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return 0 // the order of the file remains
	}
	return time.Duration(now.Nano())
}
