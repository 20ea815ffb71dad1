package maintenance

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// Options is what a Keeper needs.
type Options struct {
	// Running counts the applications whose environments this node runs. It
	// must not block.
	Running func() int
	// Stop starts the orderly stop of the node. It is called once at most, and
	// must not wait for Run to return.
	Stop   func()
	Logger *slog.Logger
}

func (o Options) validate() error {
	if o.Running == nil || o.Stop == nil || o.Logger == nil {
		return errors.New("maintenance: Running, Stop and Logger are required")
	}
	return nil
}

// Keeper holds the maintenance state of the node. It starts out of
// maintenance: the state is not kept across restarts.
type Keeper struct {
	options Options
	changed chan struct{} // cap 1: for who acts on On
	wake    chan struct{} // cap 1: for Run

	mu    sync.Mutex
	state state // guarded by mu
}

// New checks the options.
func New(o Options) (*Keeper, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	return &Keeper{options: o, changed: make(chan struct{}, 1), wake: make(chan struct{}, 1)}, nil
}

// On reports whether the node takes no new applications.
func (k *Keeper) On() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.state.on
}

// Changed signals, to one receiver, that On may have changed.
func (k *Keeper) Changed() <-chan struct{} { return k.changed }

// Apply carries out a request at once, and all of it.
func (k *Keeper) Apply(r Request) {
	old, next := k.update(func(s state) state { return s.apply(r) })
	if old.on != next.on {
		k.options.Logger.Info("maintenance changed", "enabled", next.on)
		signal(k.changed)
	}
	if old.shutdown != next.shutdown {
		k.options.Logger.Info("shutdown changed", "requested", next.shutdown, "delay", next.delay.String())
	}
	signal(k.wake)
}

// RunningChanged says that an application may have ended here, so that a
// shutdown that waits for it goes on at once.
func (k *Keeper) RunningChanged() { signal(k.wake) }

// Run carries out shutdowns until ctx is done. It returns nil.
func (k *Keeper) Run(ctx context.Context) error {
	for {
		pause := k.act()
		var due <-chan time.Time
		if pause > 0 {
			due = time.After(pause)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-k.wake:
		case <-due:
		}
	}
}

// act takes one step and says how long to pause; 0: until woken.
func (k *Keeper) act() time.Duration {
	k.mu.Lock()
	seen := k.state
	k.mu.Unlock()
	running := k.options.Running() // asked without the lock
	now := time.Now()
	note, stop := false, false
	_, next := k.update(func(s state) state {
		if s != seen { // the count is older than the last request
			signal(k.wake)
			return s
		}
		s, note = s.step(running, now)
		stop = s.stopping && !seen.stopping
		return s
	})
	if note {
		left := next.stopAt.Sub(now).Round(time.Second)
		k.options.Logger.Warn("shutdown countdown", "left", left.String())
	}
	if stop {
		k.options.Logger.Warn("shutdown starts")
		k.options.Stop()
	}
	return next.wait(now)
}

func (k *Keeper) update(f func(state) state) (old, next state) {
	k.mu.Lock()
	defer k.mu.Unlock()
	old = k.state
	k.state = f(old)
	return old, k.state
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // one signal is enough
	}
}
