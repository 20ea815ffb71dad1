//go:build !linux && !darwin

package lifecycle

import "time"

// BootClock is not known here: the monotonic clock alone counts.
func BootClock() time.Duration { return 0 }
