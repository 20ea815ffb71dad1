//go:build !linux

package sim

import "time"

// clock is not read here: within a bubble the time is fake.
func clock() time.Duration { return 0 }
