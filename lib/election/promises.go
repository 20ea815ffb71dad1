package election

import (
	"slices"
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// Promises are the yes-votes of this process. A grant is taken up only by the
// process that cast the vote which it was decided on, and not long after: who
// was asleep meanwhile, or was started anew, does not know what the others
// decided since.
type Promises struct {
	boot func() time.Duration

	mu      sync.Mutex
	given   map[model.UID][]promise // by application, oldest first
	revoked bool
}

type promise struct {
	vote model.UID
	at   time.Time // with its monotonic reading
	boot time.Duration
}

// promiseKept is how long a promise is remembered: far beyond every start_by,
// so that a late grant is told to be late; promiseOver, of an application that is
// over. Of one application no more than mostPromises are.
const (
	promiseKept  = time.Hour
	promiseOver  = 10 * time.Second // one that was created after the caller looked is not over
	mostPromises = 8
)

// NewPromises returns none. boot reads a clock that runs on while the machine
// sleeps.
func NewPromises(boot func() time.Duration) *Promises {
	return &Promises{boot: boot, given: map[model.UID][]promise{}}
}

// Give notes that this process casts the vote now, perhaps again.
func (p *Promises) Give(app, vote model.UID) {
	now := promise{vote: vote, at: time.Now(), boot: p.boot()}
	p.mu.Lock()
	defer p.mu.Unlock()
	list := slices.DeleteFunc(p.given[app], func(o promise) bool { return o.vote == vote })
	if len(list) == mostPromises {
		list = list[1:]
	}
	p.given[app] = append(list, now)
}

// Age is how long ago this process cast the vote last, by the clock that ran
// further; ok is false if it did not, took it back, or Revoke was called.
func (p *Promises) Age(app, vote model.UID) (age time.Duration, ok bool) {
	boot := p.boot()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.revoked {
		return 0, false
	}
	for _, given := range p.given[app] {
		if given.vote == vote {
			return max(time.Since(given.at), boot-given.boot), true
		}
	}
	return 0, false
}

// TakeBack forgets what was promised for an application.
func (p *Promises) TakeBack(app model.UID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.given, app)
}

// Revoke makes all promises void for good, also those that are still given:
// the node was retired, so that others are granted what it was.
func (p *Promises) Revoke() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.revoked = true
}

// sweep forgets what nobody will ask for.
func (p *Promises) sweep(open map[model.UID]bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for app, list := range p.given {
		kept := promiseOver
		if open[app] {
			kept = promiseKept
		}
		if time.Since(list[len(list)-1].at) > kept {
			delete(p.given, app)
		}
	}
}
