package account

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// Account is one account in one region. It asks while it has members.
type Account struct {
	api  cloud.API
	node string // UID: what carries it is ours
	name string // the settings, without secrets
	log  *slog.Logger

	instances, use, networks, quotas, types, hosts *topic

	cancel context.CancelFunc
	ended  chan struct{} // closed when it is told to end
	asking sync.WaitGroup

	now atomic.Pointer[Snapshot] // what is known; replaced by change

	mu      sync.Mutex // never held while anything outside is asked
	facts   facts
	asked   map[string]bool // types that were asked for
	hostsTo time.Time       // until when hosts are looked at
	// offersAsked is when all types that are known were looked up together.
	offersAsked time.Time
	members     map[*Member]struct{}
	reached     bool // see Reached
	subs        map[chan struct{}]struct{}
}

// newAccount makes one that asks until stop; of ctx it keeps no end.
func newAccount(ctx context.Context, api cloud.API, name, node string, log *slog.Logger) *Account {
	a := &Account{
		api: api, node: node, name: name, log: log.With("account", name),
		ended:   make(chan struct{}),
		asked:   make(map[string]bool),
		members: make(map[*Member]struct{}),
		subs:    make(map[chan struct{}]struct{}),
		facts:   facts{holds: map[string]hold{}, exhausted: map[string]time.Time{}, dry: map[Place]time.Time{}},
	}
	a.now.Store(a.facts.snapshot())
	a.addTopics()
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	a.cancel = cancel
	for _, t := range a.topics() {
		a.asking.Go(func() { a.follow(ctx, t) })
	}
	return a
}

// stop ends what asks and waits for it.
func (a *Account) stop() {
	close(a.ended)
	a.cancel()
	a.asking.Wait()
}

func (a *Account) topics() []*topic {
	return []*topic{a.instances, a.use, a.networks, a.quotas, a.types, a.hosts}
}

// change changes what is known, and tells those whom it concerns.
func (a *Account) change(do func(f *facts)) {
	a.mu.Lock()
	rooms := a.changeLocked(do)
	a.mu.Unlock()
	for _, hasRoom := range rooms { // outside of the lock, as they are not ours
		hasRoom()
	}
}

// changeLocked is change with mu held. It returns whom to tell that there is
// more room.
func (a *Account) changeLocked(do func(f *facts)) (rooms []func()) {
	before := a.now.Load()
	do(&a.facts)
	a.facts.forget(time.Now())
	after := a.facts.snapshot()
	after.bills = make(map[string]Bill, len(a.members))
	for m := range a.members {
		after.bills[m.instance] = a.facts.bill(a.node, m.instance, m.brakes.Prices, m.pools)
	}
	after.trouble = a.trouble()
	after.quotasAwaited = a.quotas.asked.IsZero() && a.quotas.err == nil
	a.now.Store(after)
	if len(a.facts.unknownTypes(a.asked)) > 0 {
		a.types.wants(time.Now())
	}
	for m := range a.members {
		if m.hasRoom != nil && grew(before, after, m.instance) {
			rooms = append(rooms, m.hasRoom)
		}
	}
	if before.differs(after) {
		a.notify()
	}
	return rooms
}

// notify wakes who subscribed and never waits for them. mu is held.
func (a *Account) notify() {
	for c := range a.subs {
		select {
		case c <- struct{}{}:
		default: // it has an event to read already
		}
	}
}

// trouble is since when a vital topic fails, and how. mu is held.
func (a *Account) trouble() *Trouble {
	var worst *topic
	for _, t := range a.topics() {
		if t.vital && t.err != nil && (worst == nil || t.since.Before(worst.since)) {
			worst = t
		}
	}
	if worst == nil {
		return nil
	}
	return &Trouble{Account: a.name, Since: worst.since, Err: worst.err}
}

// Trouble is that the service does not answer, or only with refusals.
type Trouble struct {
	Account string // region and whose credentials
	Since   time.Time
	Err     error // the last one
}

// Error implements error.
func (t *Trouble) Error() string {
	return fmt.Sprintf("AWS (%s) does not answer since %s: %v", t.Account, t.Since.UTC().Format(time.RFC3339), t.Err)
}

// Unwrap is the last error.
func (t *Trouble) Unwrap() error { return t.Err }

// learnTypes has types looked up that are not. Names that nobody needs any
// more are forgotten when there are far more than a region has.
func (a *Account) learnTypes(names []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	const most = 5000
	if len(a.asked) > most {
		clear(a.asked)
		a.facts.noSuch = nil
	}
	for _, name := range names {
		a.asked[name] = true
	}
	if len(a.facts.unknownTypes(a.asked)) > 0 {
		a.types.wants(time.Now())
	}
}

// known reports whether all types were looked up.
func (s *Snapshot) known(names []string) bool {
	return !slices.ContainsFunc(names, func(name string) bool {
		_, is := s.Types[name]
		return !is && !s.NoSuchType[name]
	})
}

// differs reports whether who watches instances has something to look at.
func (s *Snapshot) differs(next *Snapshot) bool {
	return !maps.EqualFunc(s.mine, next.mine, func(a, b Sighting) bool {
		return !differs(a.Instance, b.Instance) && a.Missing.Equal(b.Missing)
	}) || (s.trouble == nil) != (next.trouble == nil)
}
