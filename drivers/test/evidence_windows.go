package test

import (
	"time"

	"golang.org/x/sys/windows"
)

// monotonic is the time since the machine started, the same for all processes.
func monotonic() time.Duration { return windows.DurationSinceBoot() }
