package auth

import (
	"context"
	"time"
)

const (
	// releaseIdle is how long no hash ended before memory goes back: a burst
	// would only take it again.
	releaseIdle = 2 * time.Second
	// releaseEvery bounds how often, as each time costs a full collection.
	releaseEvery = 30 * time.Second
)

// Run returns memory to the system after bursts of hashes, off the path of
// requests. When ctx ends it answers ErrBusy to all who wait, waits for the
// hashes in progress, and returns nil.
func (a *Authenticator) Run(ctx context.Context) error {
	defer a.close()
	idle := time.NewTimer(0)
	idle.Stop()
	var last time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.hashed:
			idle.Reset(max(releaseIdle, releaseEvery-time.Since(last)))
		case <-idle.C:
			if a.busy() {
				continue // its end will tell
			}
			a.release()
			last = time.Now()
		}
	}
}

func (a *Authenticator) busy() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.gate.running > 0
}

func (a *Authenticator) close() {
	a.mu.Lock()
	a.closed = true
	for len(a.gate.queue) > 0 {
		a.gate.drop(a.gate.queue[0], ErrBusy)
	}
	a.mu.Unlock()
	a.work.Wait()
}
