package maintenance

import (
	"context"
	"errors"
	"fmt"
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
	Stop func()
	// HandOver gives what this node decides to another one. It is called before
	// Stop where the node is in maintenance, and its ctx ends after
	// handOverTimeout: the stop comes in any case. Nil where there is no other.
	HandOver func(ctx context.Context)
	// File keeps a drain that is to outlive a restart: it is there while one is
	// on. Empty: none can be kept.
	File   string
	Logger *slog.Logger
}

func (o Options) validate() error {
	if o.Running == nil || o.Stop == nil || o.Logger == nil {
		return errors.New("maintenance: Running, Stop and Logger are required")
	}
	return nil
}

// ErrNotKept says that a drain can not persist, as there is no file for it.
var ErrNotKept = errors.New("this node can not keep a drain over a restart")

// ErrShutdownOrdered says that a drain can not end now: the node would stop
// without waiting for what runs (contract 18).
var ErrShutdownOrdered = errors.New("a shutdown is ordered")

// Keeper holds the maintenance state of the node. It starts out of
// maintenance, unless it was to outlive the restart.
type Keeper struct {
	options Options
	turn    chan struct{} // cap 1: held while a request is carried out, its file included
	changed chan struct{} // cap 1: for who acts on On
	wake    chan struct{} // cap 1: for Run

	mu    sync.Mutex
	state state // guarded by mu
}

// New checks the options, and takes up a drain that was to outlive a restart.
func New(o Options) (*Keeper, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	s, doubt := recall(o.File)
	if s.on {
		o.Logger.Warn("node is drained since an earlier run and takes nothing new; `node undrain` ends it",
			"since", s.since, "by", s.by)
	}
	if doubt != nil {
		o.Logger.Warn("drain file needs attention", "reason", doubt.Error())
	}
	return &Keeper{
		options: o, state: s,
		turn: make(chan struct{}, 1), changed: make(chan struct{}, 1), wake: make(chan struct{}, 1),
	}, nil
}

// On reports whether the node takes no new applications.
func (k *Keeper) On() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.state.on
}

// Changed signals, to one receiver, that On may have changed.
func (k *Keeper) Changed() <-chan struct{} { return k.changed }

// Drain is the maintenance state as its route shows it.
type Drain struct {
	On         bool
	Since      time.Time // UTC; zero while it is off
	By         string    // the user who switched it on; empty if that is not known
	Persistent bool      // it outlives a restart
	Running    int       // applications whose environments this node still runs
	Shutdown   bool      // a shutdown is ordered
}

// Drain returns the state.
func (k *Keeper) Drain() Drain {
	running := k.options.Running() // asked without the lock
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.state
	return Drain{s.on, s.since, s.by, s.persistent, running, s.shutdown}
}

// Apply carries out a request, and all of it or nothing. When it returns nil,
// what is to outlive a restart is on the disk.
func (k *Keeper) Apply(ctx context.Context, r Request) error {
	if err := k.take(ctx); err != nil {
		return err
	}
	defer k.release()
	return k.carryOut(r)
}

// SetDrain switches the drain on or off, persistent or not. ErrShutdownOrdered
// if it would make the node stop at once.
func (k *Keeper) SetDrain(ctx context.Context, on, persist bool, by string) (Drain, error) {
	if err := k.take(ctx); err != nil {
		return Drain{}, err
	}
	defer k.release()
	if !on && k.Drain().Shutdown {
		return Drain{}, ErrShutdownOrdered
	}
	if err := k.carryOut(Request{Enable: &on, Persist: &persist, By: by}); err != nil {
		return Drain{}, err
	}
	return k.Drain(), nil
}

// take waits for the requests before this one: the file and the state have to
// change in the same order.
func (k *Keeper) take(ctx context.Context) error {
	select {
	case k.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (k *Keeper) release() { <-k.turn }

// carryOut is Apply in its turn.
func (k *Keeper) carryOut(r Request) error {
	now := time.Now()
	k.mu.Lock()
	was := k.state
	k.mu.Unlock()
	if will := was.apply(r, now); will.persistent != was.persistent { // the file first, and no lock meanwhile
		if k.options.File == "" {
			return ErrNotKept
		}
		if err := remember(k.options.File, will); err != nil {
			return fmt.Errorf("keep drain: %w", err)
		}
	}
	old, next := k.update(func(s state) state { return s.apply(r, now) })
	if old.on != next.on || old.persistent != next.persistent {
		k.options.Logger.Info("maintenance changed", "enabled", next.on, "persistent", next.persistent, "by", r.By)
		signal(k.changed)
	}
	if old.shutdown != next.shutdown {
		k.options.Logger.Info("shutdown changed", "requested", next.shutdown, "delay", next.delay.String(), "by", r.By)
	}
	signal(k.wake)
	return nil
}

// RunningChanged says that an application may have ended here, so that a
// shutdown that waits for it goes on at once.
func (k *Keeper) RunningChanged() { signal(k.wake) }

// Run carries out shutdowns until ctx is done. It returns nil.
func (k *Keeper) Run(ctx context.Context) error {
	for {
		pause := k.act(ctx)
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
func (k *Keeper) act(ctx context.Context) time.Duration {
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
		k.handOver(ctx, next)
		k.options.Stop()
	}
	return next.wait(now)
}

// handOverTimeout bounds what others are waited for at a shutdown: an
// administrator who ordered it sits in front of it.
const handOverTimeout = 30 * time.Second

func (k *Keeper) handOver(ctx context.Context, s state) {
	if k.options.HandOver == nil || !s.on {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, handOverTimeout)
	defer cancel()
	k.options.HandOver(ctx)
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
