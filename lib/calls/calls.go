// Package calls makes calls of driver instances that somebody waits for: an
// admin, another member. Whatever an instance does with a call (fails, panics,
// hangs), who asks is told in time, and the call has an owner until it returns.
package calls

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
)

var (
	// ErrBusy says that an instance is asked nothing more for now: what it was asked
	// has not returned. Nothing was done.
	ErrBusy = errors.New("the driver instance has not answered what it was asked before")
	// ErrStopping says that the node stops, and ended the call, or did not begin it.
	ErrStopping = errors.New("the node is stopping")
	// ErrLate says that the call took longer than it may. It may go on for a while.
	ErrLate = errors.New("it did not answer in time")
)

// InstanceError says why an instance can not be asked, in words that follow its
// name.
type InstanceError struct{ Instance, Reason string }

// Error implements error.
func (e *InstanceError) Error() string { return fmt.Sprintf("driver %s %s", e.Instance, e.Reason) }

// Calls owns the calls that it makes. Its methods may be called from any
// goroutine.
type Calls struct {
	log  *slog.Logger
	most int

	ctx    context.Context // of the calls
	cancel context.CancelFunc
	work   sync.WaitGroup // calls that have not returned

	mu     sync.Mutex
	closed bool
	open   map[string]int // instance -> calls of it that have not returned
}

// New makes an owner of calls. It starts nothing. most is how many calls of one
// instance may not have returned: one that hangs must not collect the requests of
// all who ask.
func New(log *slog.Logger, most int) *Calls {
	c := &Calls{log: log, most: most, open: map[string]int{}}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// Stop begins no call any more, ends those that run and waits for them.
func (c *Calls) Stop() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel()
	c.work.Wait()
}

// Bound says how long a call may take.
type Bound struct {
	// Wait is how long who asks waits, Limit how long the call may take in all.
	Wait, Limit time.Duration
	// Attended: the call ends when nobody waits for it any more.
	Attended bool
}

// Do does f, a call of an instance, and waits for it no longer than the bound
// says. What does not return then has c for its owner. Its error is ErrBusy,
// ErrStopping, ErrLate, that of ctx, or that of f.
//
//nolint:contextcheck // it may go on without who asked
func Do[T any](ctx context.Context, c *Calls, instance string, b Bound, f func(ctx context.Context) (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	var none T
	if err := c.enter(instance); err != nil {
		return none, err
	}
	limited, cancel := context.WithTimeout(c.ctx, b.Limit)
	if b.Attended {
		defer cancel()
	}
	done := make(chan answer, 1)
	go func() {
		defer c.leave(instance)
		defer cancel()
		var a answer
		a.err = drivers.Guard(c.log.With("instance", instance), func() (err error) {
			a.value, err = f(limited)
			return err
		})
		switch {
		case a.err == nil:
		case c.ctx.Err() != nil:
			a.err = ErrStopping
		case limited.Err() != nil: // and not what the driver itself gave up waiting for
			a.err = ErrLate
		}
		done <- a
	}()
	late := time.NewTimer(b.Wait)
	defer late.Stop()
	select {
	case a := <-done:
		return a.value, a.err
	case <-late.C:
		return none, ErrLate
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

// enter counts a call of the instance, and takes it into what Stop waits for.
func (c *Calls) enter(instance string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return ErrStopping
	case c.open[instance] >= c.most:
		return ErrBusy
	}
	c.open[instance]++
	c.work.Add(1)
	return nil
}

func (c *Calls) leave(instance string) {
	c.mu.Lock()
	if c.open[instance]--; c.open[instance] == 0 {
		delete(c.open, instance)
	}
	c.mu.Unlock()
	c.work.Done()
}
