package cluster

import (
	"context"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/loop"
)

// How health is looked at.
const (
	probeEvery   = 5 * time.Second
	probeTimeout = 10 * time.Second
	// firstLook is how long the node waits for the first look before it speaks.
	firstLook = 100 * time.Millisecond
	// probeStale is how old the last good look may be. A look that hangs
	// is none.
	probeStale = probeEvery + probeTimeout
)

// health is what the last looks found.
type health struct {
	at  time.Time // of the last good one
	err error     // of the last one
}

func (h health) good(now time.Time) bool {
	return h.err == nil && !h.at.IsZero() && now.Sub(h.at) < probeStale
}

// probe looks at the node's health until ctx is done, and closes looked after
// the first time.
func (c *Cluster) probe(ctx context.Context, looked chan<- struct{}) {
	look := func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, probeTimeout)
		defer cancel()
		err := c.o.Healthy(ctx)
		c.mu.Lock()
		was := c.health
		c.health.err = err
		if err == nil {
			c.health.at = time.Now()
		}
		c.mu.Unlock()
		if (err == nil) != (was.err == nil) {
			c.tellHealth(err)
		}
		if (err == nil) != was.good(time.Now()) {
			poke(c.wake)
		}
	}
	look(ctx)
	close(looked)
	loop.Every(ctx, probeEvery, look)
}

func (c *Cluster) tellHealth(err error) {
	if err != nil {
		c.log.Error("this node is not healthy and takes no part in elections until it is", "error", err)
		return
	}
	c.log.Info("this node is healthy again")
}
