package drivers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/space"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// The times of a registry, where Options leaves them 0.
const (
	// DefaultAttemptTimeout bounds one attempt to make an instance, so that a
	// hanging driver does not hold up the node's start.
	DefaultAttemptTimeout = 10 * time.Second
	// DefaultRetryMin and DefaultRetryMax bound the pause between attempts: short
	// enough for an engine that starts a moment after the node, long enough
	// not to fill the log for a year.
	DefaultRetryMin = 5 * time.Second
	DefaultRetryMax = 5 * time.Minute
	// DefaultCloseTimeout bounds Close: a driver that hangs there loses
	// nothing, because environments live on anyway.
	DefaultCloseTimeout = 5 * time.Second
)

// Options is what a registry is made from.
type Options struct {
	// Factories are the drivers of this binary.
	Factories []Factory
	// Entries are the instances to make. None means one of every factory,
	// under the factory's name and without configuration; those that can not
	// serve here are then dropped without a warning (contract 2).
	Entries   []Entry
	Directory string
	NodeUID   model.UID
	// Owner says who owns what instances share with other nodes. Nil: nobody.
	Owner OwnerOf
	// First is Config.First. Nil: it is not known of any.
	First func(thing string) bool
	// Ask asks who owns it. Nil: there is nobody to ask.
	Ask Ask
	// Wanted is Config.Wanted by the instance. Nil: nothing is known.
	Wanted func(instance string) (names map[string]bool, whole bool)
	// Retired is Former.Retired. Nil: nobody is known to be.
	Retired func(node model.UID) (at time.Time, retired bool)
	// TaskTimeout is Config.TaskTimeout.
	TaskTimeout time.Duration
	Logger      *slog.Logger

	// Each 0 means the default above.
	AttemptTimeout, RetryMin, RetryMax, CloseTimeout time.Duration
}

// Registry keeps the instances of drivers that a node is configured with: it
// makes them, tries again those that failed, and says why they did.
//
// Call Start once, then Run and the rest from any goroutine, Close last.
type Registry struct {
	opts      Options
	rooms     space.Rooms // of all instances
	listed    bool        // by the config; else one of each factory
	instances []*instance // sorted by name; the slice never changes
	byName    map[string]*instance

	attempts sync.WaitGroup // attempts in flight; owned by Close

	mu          sync.Mutex
	closed      bool
	subscribers map[chan struct{}]struct{}
}

// instance is one entry. mu of the registry guards what is below the line.
type instance struct {
	factory Factory
	config  Config
	log     *slog.Logger
	// What Factory.Lifetime said.
	lifetime    time.Duration
	hasLifetime bool
	shares      func() ([]Share, error) // what the config says, see readShares

	driver    Driver // nil until an attempt succeeded, and after Close
	reason    string // why driver is nil
	since     time.Time
	attempted bool
	retries   int
	lastError string        // of the last failed attempt
	nextRetry time.Time     // zero unless retry waits for it
	flight    chan struct{} // of the attempt in flight: closed when it ends
}

// NewRegistry checks the configuration and makes nothing yet. Its error
// names every entry that is wrong, its line and what is allowed.
func NewRegistry(opts Options) (*Registry, error) {
	setDefault(&opts.AttemptTimeout, DefaultAttemptTimeout)
	setDefault(&opts.RetryMin, DefaultRetryMin)
	setDefault(&opts.RetryMax, DefaultRetryMax)
	setDefault(&opts.CloseTimeout, DefaultCloseTimeout)
	if opts.Owner == nil {
		opts.Owner = func(string) model.UID { return model.NilUID }
	}
	if opts.Ask == nil {
		opts.Ask = func(_ context.Context, thing string, _ json.RawMessage) (json.RawMessage, error) {
			return nil, &AskError{Why: AskNoOwner, Thing: thing}
		}
	}
	if opts.Wanted == nil {
		opts.Wanted = func(string) (map[string]bool, bool) { return nil, false }
	}
	if opts.Retired == nil {
		opts.Retired = func(model.UID) (time.Time, bool) { return time.Time{}, false }
	}
	r := &Registry{
		opts:        opts,
		listed:      len(opts.Entries) > 0,
		byName:      make(map[string]*instance),
		subscribers: make(map[chan struct{}]struct{}),
	}
	entries := slices.Clone(opts.Entries)
	if !r.listed {
		for _, f := range opts.Factories {
			if f.Absent == "" {
				entries = append(entries, Entry{Name: f.Name})
			}
		}
	}
	factories, err := resolve(entries, opts.Factories)
	if err != nil {
		return nil, err
	}
	for i, e := range entries {
		r.add(e, factories[i])
	}
	slices.SortFunc(r.instances, func(a, b *instance) int {
		return strings.Compare(a.config.Instance, b.config.Instance)
	})
	return r, nil
}

func setDefault(d *time.Duration, value time.Duration) {
	if *d == 0 {
		*d = value
	}
}

func (r *Registry) add(e Entry, f Factory) {
	log := r.opts.Logger.With("component", "drivers", "instance", e.Name)
	inst := &instance{
		factory: f,
		log:     log,
		config: Config{Instance: e.Name, Cfg: e.Cfg, Line: e.Line, Directory: r.opts.Directory, TaskTimeout: r.opts.TaskTimeout,
			NodeUID: r.opts.NodeUID, Owner: r.opts.Owner, First: r.opts.First, Ask: r.opts.Ask, Wanted: func() (map[string]bool, bool) { return r.opts.Wanted(e.Name) },
			Former: Former{Retired: r.opts.Retired, Configured: r.Configured, Wanted: r.opts.Wanted},
			Rooms:  &r.rooms, HasRoom: r.hasRoom, Logger: log},
		reason: "is not started yet",
		since:  time.Now(),
	}
	if f.Lifetime != nil {
		inst.lifetime, inst.hasLifetime = f.Lifetime(inst.config)
	}
	inst.shares = sync.OnceValues(inst.readShares)
	r.instances = append(r.instances, inst)
	r.byName[e.Name] = inst
}

// Start makes the first attempt for every instance, all at once, and returns
// when each has an answer or its time is up. A failed instance is no failure
// of the node.
func (r *Registry) Start(ctx context.Context) {
	r.each(func(inst *instance) {
		if inst.factory.Absent != "" {
			r.failed(inst, errors.New(inst.factory.Absent))
			return
		}
		r.try(ctx, inst)
	})
}

// Run tries the failed instances again, each after a pause that doubles from
// RetryMin to RetryMax, until ctx is cancelled. It then returns nil.
func (r *Registry) Run(ctx context.Context) error {
	r.each(func(inst *instance) { r.retry(ctx, inst) })
	<-ctx.Done()
	return nil
}

// each does something for all instances at once and waits for all of it.
func (r *Registry) each(do func(*instance)) {
	var wg sync.WaitGroup
	for _, inst := range r.instances {
		wg.Go(func() { do(inst) })
	}
	wg.Wait()
}

func (r *Registry) retry(ctx context.Context, inst *instance) {
	for pause := r.opts.RetryMin; !r.settled(inst); pause = min(2*pause, r.opts.RetryMax) {
		r.schedule(inst, time.Now().Add(pause))
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
			r.schedule(inst, time.Time{})
			r.try(ctx, inst)
		}
	}
}

// schedule notes when the next attempt begins; the zero time says that none is
// due.
func (r *Registry) schedule(inst *instance, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	inst.nextRetry = at
}

// settled reports whether there is nothing more to try.
func (r *Registry) settled(inst *instance) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return inst.driver != nil || inst.factory.Absent != "" || r.closed
}

// try waits for an attempt at the instance, its own or the one that an earlier
// try gave up waiting for, and gives up waiting when the time is up. A driver
// that comes later than that is welcome all the same.
func (r *Registry) try(ctx context.Context, inst *instance) {
	attempt, cancel := context.WithTimeout(ctx, r.opts.AttemptTimeout)
	defer cancel()
	flight := r.launch(attempt, inst)
	select {
	case <-flight:
		return
	case <-attempt.Done():
	}
	// Most drivers answer a cancelled context at once, with a better reason
	// than ours.
	select {
	case <-flight:
	case <-ctx.Done(): // the node is stopping: no fault of the driver
	case <-time.After(r.opts.AttemptTimeout / 10):
		r.failed(inst, fmt.Errorf("did not answer within %v", r.opts.AttemptTimeout))
	}
}

// launch starts an attempt unless one is in flight: a driver that hangs is
// never called a second time beside itself. The channel is closed at its end.
func (r *Registry) launch(ctx context.Context, inst *instance) <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if inst.flight != nil || r.closed || inst.driver != nil {
		return closedUnless(inst.flight)
	}
	if inst.attempted {
		inst.retries++
	}
	inst.attempted = true
	flight := make(chan struct{})
	inst.flight = flight
	r.attempts.Go(func() {
		driver, err := inst.open(ctx)
		r.landed(inst, driver, err)
		close(flight)
	})
	return flight
}

// closedUnless returns the channel, or a closed one in place of nil.
func closedUnless(c chan struct{}) <-chan struct{} {
	if c == nil {
		c = make(chan struct{})
		close(c)
	}
	return c
}

// open calls the factory and turns everything it may do into an answer.
func (i *instance) open(ctx context.Context) (driver Driver, err error) {
	err = Guard(i.log, func() error {
		if _, err := i.shares(); err != nil {
			return err
		}
		driver, err = i.factory.New(ctx, i.config)
		return err
	})
	if err == nil && driver == nil {
		err = errors.New("returned neither an instance nor an error")
	}
	return driver, err
}

// landed takes the answer of an attempt.
func (r *Registry) landed(inst *instance, driver Driver, err error) {
	r.mu.Lock()
	inst.flight = nil
	late := r.closed
	if err == nil && !late {
		inst.driver, inst.reason, inst.since, inst.nextRetry = driver, "", time.Now(), time.Time{}
		r.notify()
	}
	r.mu.Unlock()

	switch {
	case err != nil:
		r.failed(inst, err)
	case late:
		_ = Guard(inst.log, driver.Close) // nobody is left to be told
	default:
		inst.log.Info("driver is ready")
	}
}

// failed keeps why an instance is absent, and logs what is new about it. In
// the default list a driver that can not serve here is nothing unusual.
func (r *Registry) failed(inst *instance, err error) {
	reason := err.Error()
	r.mu.Lock()
	if inst.driver != nil || r.closed {
		r.mu.Unlock()
		return
	}
	known := inst.reason == reason
	if !known {
		inst.reason, inst.since = reason, time.Now()
	}
	inst.lastError = reason
	first := inst.retries == 0
	r.mu.Unlock()

	log := inst.log.Warn
	switch {
	case known, !r.listed && !first:
		log = inst.log.Debug
	case !r.listed:
		log = inst.log.Info
	}
	if inst.factory.Absent != "" {
		log("driver is not available, what it made stays untouched", "reason", reason)
		return
	}
	log("driver is not available and will be tried again", "reason", reason)
}
