package main

import (
	"sync"
	"time"
)

// clock is the time of the service: that of this machine from the start on, at
// another speed, and with what it was turned forward.
type clock struct {
	start time.Time // with the monotonic reading: the machine's clock may jump
	speed float64

	mu     sync.Mutex
	turned time.Duration
}

func newClock(speed float64) *clock { return &clock{start: time.Now(), speed: speed} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	passed := time.Duration(float64(time.Since(c.start)) * c.speed)
	return c.start.Add(passed + c.turned).Round(0).UTC()
}

// turn turns the clock forward.
func (c *clock) turn(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turned += by
}
