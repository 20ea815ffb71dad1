package drivers

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// InstanceState is where an instance is on its way to serve.
type InstanceState string

// The states of an instance.
const (
	// InstanceStarting: its first attempt has no answer yet.
	InstanceStarting InstanceState = "starting"
	// InstanceReady: it serves.
	InstanceReady InstanceState = "ready"
	// InstanceFailed: its last attempt failed, and there will be another.
	InstanceFailed InstanceState = "failed"
)

// InstanceStatus is what there is to say about one instance.
type InstanceStatus struct {
	Name   string // full name
	Driver string // the name of its factory
	State  InstanceState
	Ready  bool
	// Reason says why the instance is not ready; empty if it is.
	Reason string
	// Since is the time of day from which Ready and Reason are as they are.
	Since time.Time
	// Retries counts the attempts after the first.
	Retries int
	// LastError is what the last failed attempt failed with; it stays when the
	// instance is ready later. Empty if none failed.
	LastError string
	// NextRetry is when the next attempt begins; zero if none is due.
	NextRetry time.Time
}

// Get returns a ready instance by its full name.
func (r *Registry) Get(name string) (Driver, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	inst, ok := r.byName[name]
	if !ok || inst.driver == nil {
		return nil, false
	}
	return inst.driver, true
}

// Reason says why Get does not return the instance, in words that follow its
// name; empty if it does.
func (r *Registry) Reason(name string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	inst, ok := r.byName[name]
	if !ok {
		return "is not configured on this node"
	}
	return inst.reason
}

// Status returns every configured instance, sorted by name.
func (r *Registry) Status() []InstanceStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]InstanceStatus, 0, len(r.instances))
	for _, inst := range r.instances {
		list = append(list, InstanceStatus{
			Name:      inst.config.Instance,
			Driver:    inst.factory.Name,
			State:     inst.state(),
			Ready:     inst.driver != nil,
			Reason:    inst.reason,
			Since:     inst.since,
			Retries:   inst.retries,
			LastError: inst.lastError,
			NextRetry: inst.nextRetry,
		})
	}
	return list
}

// state is the instance's. mu is held.
func (i *instance) state() InstanceState {
	switch {
	case i.driver != nil:
		return InstanceReady
	case i.lastError != "":
		return InstanceFailed
	}
	return InstanceStarting
}

// Configured reports whether there is an instance of that full name that is
// ready or may be later, which one of a driver that this binary lacks is not.
func (r *Registry) Configured(name string) bool {
	inst, ok := r.byName[name] // never changed after NewRegistry
	return ok && inst.factory.Absent == ""
}

// Subscribe returns a channel that receives after instances became ready, or
// have room again after they had none; what
// happens while nobody reads it is one event. stop ends the subscription.
func (r *Registry) Subscribe() (changed <-chan struct{}, stop func()) {
	c := make(chan struct{}, 1)
	r.mu.Lock()
	r.subscribers[c] = struct{}{}
	r.mu.Unlock()
	return c, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.subscribers, c)
	}
}

// hasRoom is Config.HasRoom of all instances.
func (r *Registry) hasRoom() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notify()
}

// notify wakes the subscribers and never waits for them. mu is held.
func (r *Registry) notify() {
	for c := range r.subscribers {
		select {
		case c <- struct{}{}:
		default: // it has an event to read already
		}
	}
}

// Close closes every instance, all at once, and waits for them and for the
// attempts in flight, but not longer than CloseTimeout. Get finds nothing any
// more from the first moment on. A second call does nothing.
func (r *Registry) Close() error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return nil
	}
	r.closed = true
	open := make(map[*instance]Driver)
	for _, inst := range r.instances {
		if inst.driver != nil {
			open[inst] = inst.driver
			inst.driver = nil
		}
		inst.reason, inst.since = "was closed: the node is stopping", time.Now()
	}
	r.mu.Unlock()

	ctx, cancel := context.WithTimeout(context.Background(), r.opts.CloseTimeout)
	defer cancel()
	return errors.Join(r.closeAll(ctx, open), r.wait(ctx))
}

// closeAll closes the drivers; each late one is an error of its own.
func (r *Registry) closeAll(ctx context.Context, open map[*instance]Driver) error {
	type answer struct {
		inst *instance
		err  error
	}
	answers := make(chan answer, len(open)) // room for all: a late one blocks on nothing
	for inst, driver := range open {
		go func() { answers <- answer{inst, Guard(inst.log, driver.Close)} }()
	}
	var errs []error
	for range len(open) {
		select {
		case a := <-answers:
			delete(open, a.inst)
			if a.err != nil {
				errs = append(errs, fmt.Errorf("close driver %s: %w", a.inst.config.Instance, a.err))
			}
		case <-ctx.Done():
			for inst := range open {
				errs = append(errs, fmt.Errorf("close driver %s: no answer within %v",
					inst.config.Instance, r.opts.CloseTimeout))
			}
			return errors.Join(errs...)
		}
	}
	return errors.Join(errs...)
}

// wait waits for the attempts in flight.
func (r *Registry) wait(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		r.attempts.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var errs []error
	for _, inst := range r.instances {
		if inst.flight != nil {
			errs = append(errs, fmt.Errorf("driver %s has not ended its attempt to start", inst.config.Instance))
		}
	}
	return errors.Join(errs...)
}

// Lifetime is how long environments of an instance live whose definition says
// nothing, ready or not; 0: for ever. Where it is not ok the node's default counts.
func (r *Registry) Lifetime(name string) (lifetime time.Duration, ok bool) {
	inst, known := r.byName[name]
	if !known {
		return 0, false
	}
	return inst.lifetime, inst.hasLifetime
}
