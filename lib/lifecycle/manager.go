// Package lifecycle runs each application that was granted to this node: from
// the grant through its environment to the moment when the driver confirmed
// that nothing of it is left.
//
// What to do next is decided by one pure function, Next, from what is stored
// and what the process knows; a runner, one goroutine per application, does it
// and asks again. A process that died anywhere in between therefore goes on by
// asking the same question. See DESIGN.md for the invariants.
package lifecycle

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/capacity"
	"github.com/aquarium-fish/aquarium-fish/lib/loop"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

// safetyNet is how often everything is looked at although nothing happened,
// and how often the wall clock is compared with the boot clock.
const safetyNet = 30 * time.Second

// database is what the lifecycle needs of the store.
type database interface {
	Subscribe(kinds ...store.Kind) *store.Subscription
	Open() []*model.Entry
	Application(ctx context.Context, uid model.UID) (*model.Entry, error)
	Label(uid model.UID) (model.Label, bool)
	Update(ctx context.Context, uid model.UID, decide func(*model.Entry) (model.Change, error)) (*model.Entry, error)
	Writable() error
	Restored() (taken time.Time, restored bool)
	Doubt(app model.Application) store.Doubt
}

// Options configures a Manager. All fields are required unless noted.
type Options struct {
	Node   model.UID
	Store  database
	Ledger *capacity.Ledger
	// Driver returns a ready instance, or says why there is none.
	Driver func(name string) (driver drivers.Driver, absent string)
	// Promised is how long ago this process cast a vote for an application, by
	// the clock that ran further; ok is false if it did not, or took it back.
	Promised func(app, vote model.UID) (age time.Duration, ok bool)
	// Voter is the Boot of the votes that this process casts; 0: they can not be
	// told from those of earlier ones.
	Voter uint64
	// StartBy is how long after the vote a grant is still taken up.
	StartBy time.Duration
	// Settled reports whether no other node can have been granted what this one
	// was, while it was away. Nil: it never can.
	Settled func() bool
	// Lapsed reports whether this node may have forgotten what it began and ended,
	// and since when this process knows. Nil: it never forgets.
	Lapsed func() (since time.Time, lapsed bool)
	// Draining reports whether the node takes nothing new. Nil: it always does.
	Draining func() bool
	// Heir is who ends what a node leaves undone that was retired; others are
	// their own heirs. Nil: nobody was.
	Heir func(node model.UID) model.UID
	// Instances are the names of all configured instances, ready or not.
	Instances func() []string
	// MetadataURL is where an environment on this host reads its metadata.
	MetadataURL func(token string) string
	// Proxy is where the node's proxy listens, which environments are told; ok is
	// false while it does not. Nil: it never does.
	Proxy func() (listener netip.AddrPort, ok bool)
	// DefaultLifetime counts for labels that set none; 0 = unlimited.
	DefaultLifetime time.Duration
	// InstanceLifetime is the default of a driver's instance, which counts before
	// the node's; 0 = unlimited. Nil, or not ok: it has none.
	InstanceLifetime func(instance string) (lifetime time.Duration, ok bool)
	// AllocateTimeout bounds the time from the intent to ALLOCATED, but for the
	// fetching of images by a driver that manages them.
	AllocateTimeout time.Duration
	// LoggedIn reports whether somebody has a session in the environment of an
	// application, whose end a release waits for until LeaveTime after it was asked
	// for. LookAt tells of the end. Nil: nobody ever has.
	LoggedIn  func(app model.UID) bool
	LeaveTime time.Duration
	// TaskTimeout bounds a task, and all tasks of a release together.
	TaskTimeout time.Duration
	// Boot reads the boot clock; BootClock outside of tests.
	Boot   func() time.Duration
	Logger *slog.Logger
}

// Manager owns the runners of one node.
type Manager struct {
	opts Options

	mu      sync.Mutex
	runners map[model.UID]*runner // guarded by mu
	idle    chan struct{}         // signals that a runner ended
	wg      sync.WaitGroup

	heart     loop.Heart
	forgetful atomic.Bool // this process saw a lapse
}

// New returns a manager that does nothing until Run.
func New(opts Options) *Manager {
	return &Manager{opts: opts, runners: map[model.UID]*runner{}, idle: make(chan struct{}, 1)}
}

// Restore counts what earlier processes promised, before anything new is
// promised. Call it once, before Run and before the API listens.
func (m *Manager) Restore() {
	for _, e := range m.opts.Store.Open() {
		for _, a := range e.OpenAllocations() {
			m.opts.Ledger.Restore(a.ApplicationUID, a.Epoch, m.claimOf(a), a.Identifier != "")
		}
	}
}

// claimOf is what an allocation takes, also while its driver is absent.
func (m *Manager) claimOf(a model.Allocation) capacity.Claim {
	driver, _ := m.opts.Driver(a.Definition.Driver)
	return capacity.ClaimOf(a.Definition, driver)
}

// Running is how many applications this node is not done with: from the yes
// of a vote, which may still be granted, and before Run as well.
func (m *Manager) Running() int {
	apps := m.opts.Ledger.Applications(time.Now()) // first: a runner comes before its hold goes
	m.mu.Lock()
	defer m.mu.Unlock()
	for uid := range m.runners {
		apps[uid] = true
	}
	return len(apps)
}

// Idle signals, coalesced, that Running fell.
func (m *Manager) Idle() <-chan struct{} { return m.idle }

// Run starts a runner for every application that concerns this node and waits
// for all of them when ctx is cancelled. Environments live on.
func (m *Manager) Run(ctx context.Context) error {
	defer m.wg.Wait()
	sub := m.opts.Store.Subscribe(store.KindApplication)
	defer sub.Close()
	m.wg.Go(func() { m.reapForever(ctx) })
	m.resync(ctx)
	clock := m.readClock()
	ticker := time.NewTicker(safetyNet)
	defer ticker.Stop()
	for {
		m.heart.Beat()
		select {
		case <-ctx.Done():
			return nil
		case <-sub.C():
			m.absorb(ctx, sub)
		case <-ticker.C:
			m.resync(ctx)
			clock = m.compareClocks(clock)
		}
	}
}

// Beats is how often the manager looked at what happened, which it does every
// safetyNet, whatever happens. What runners wait for is their drivers' business.
func (m *Manager) Beats() uint64 { return m.heart.Beats() }

func (m *Manager) absorb(ctx context.Context, sub *store.Subscription) {
	keys, resync := sub.Take()
	if resync {
		m.resync(ctx)
		return
	}
	for _, k := range keys {
		if e, err := m.opts.Store.Application(ctx, k.UID); err == nil {
			m.attend(ctx, e)
		}
	}
}

func (m *Manager) resync(ctx context.Context) {
	for _, e := range m.opts.Store.Open() {
		m.attend(ctx, e)
	}
}

// DriversChanged makes every runner look again because a driver came back, and
// counts its allocations as what they really are.
func (m *Manager) DriversChanged() {
	for _, e := range m.opts.Store.Open() {
		for _, a := range e.OpenAllocations() {
			m.opts.Ledger.Reclaim(a.ApplicationUID, a.Epoch, m.claimOf(a))
		}
	}
	m.LookAgain()
}

// LookAgain makes every runner look again because what they asked about changed,
// like Options.Draining.
func (m *Manager) LookAgain() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.runners {
		r.poke()
	}
}

// LookAt makes the runner of an application look again, if there is one.
func (m *Manager) LookAt(app model.UID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r, ok := m.runners[app]; ok {
		r.poke()
	}
}

// draining is Options.Draining.
func (m *Manager) draining() bool { return m.opts.Draining != nil && m.opts.Draining() }

// attend wakes the application's runner, or starts one if it concerns this
// node.
func (m *Manager) attend(ctx context.Context, e *model.Entry) {
	uid := e.Application.UID
	m.lapsed() // also if it ends before the runner looks
	m.mu.Lock()
	defer m.mu.Unlock()
	if r, ok := m.runners[uid]; ok {
		r.poke()
		return
	}
	if !Concerns(e, m.opts.Node, m.opts.Heir) {
		return
	}
	r := newRunner(m, uid)
	m.runners[uid] = r
	m.wg.Go(func() { r.run(ctx) })
}

// leave removes a runner that has nothing left to do, unless it was woken
// meanwhile.
func (m *Manager) leave(r *runner) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(r.wake) > 0 {
		return false
	}
	delete(m.runners, r.uid)
	select {
	case m.idle <- struct{}{}:
	default:
	}
	return true
}

// clockReading is one look at both clocks.
type clockReading struct {
	wall time.Time // without monotonic reading
	mono time.Time
	boot time.Duration
}

func (m *Manager) readClock() clockReading {
	now := time.Now()
	return clockReading{wall: now.Round(0), mono: now, boot: m.opts.Boot()}
}

// compareClocks logs a step of the wall clock. No lifetime counts it: see age.
func (m *Manager) compareClocks(last clockReading) clockReading {
	now := m.readClock()
	passed := max(now.boot-last.boot, now.mono.Sub(last.mono))
	if step := wallStep(now.wall.Sub(last.wall), passed); step != 0 {
		m.opts.Logger.Warn("wall clock stepped, lifetimes do not count it", "step", step)
	}
	return now
}

// newToken returns 128 random bits as 32 hex digits.
func newToken() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand documents a crash instead)
	return hex.EncodeToString(b[:])
}

// reapForever looks for strays as long as the node runs.
func (m *Manager) reapForever(ctx context.Context) {
	r := newReaper(m.opts)
	loop.Every(ctx, reapPeriod, r.reap)
}
