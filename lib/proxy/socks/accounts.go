package socksproxy

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// errEnded cuts the connections of an environment that is gone.
var errEnded = errors.New("the environment is no longer allocated")

// account is what one environment uses. It lives as long as its Resource, so
// that who comes again finds the rate that is left.
type account struct {
	resource, application model.UID
	owner                 string // of the application
	pace                  *rate.Limiter

	// Guarded by accounts.mu:

	open  map[*context.CancelCauseFunc]struct{} // cuts each open connection
	ended bool
}

// usage is what one environment used so far.
type usage struct {
	connections, sent, received int64
}

// accounts are those of the environments that used the proxy.
type accounts struct {
	most int        // open connections of one
	rate rate.Limit // new ones per second of one

	mu         sync.Mutex
	byResource map[model.UID]*account // guarded by mu
	used       map[model.UID]usage    // guarded by mu: with the same keys
}

func newAccounts(most, perSecond int) *accounts {
	return &accounts{
		most: most, rate: rate.Limit(perSecond), byResource: map[model.UID]*account{}, used: map[model.UID]usage{},
	}
}

// enter counts one more connection of the environment, which cancel cuts, and
// returns what to call when it is done. It fails where there are too many.
func (a *accounts) enter(e *model.Entry, cancel context.CancelCauseFunc) (acc *account, leave func(), err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	uid := e.Resource.UID
	acc = a.byResource[uid]
	if acc == nil {
		acc = &account{
			resource: uid, application: e.Application.UID, owner: e.Application.OwnerName,
			pace: rate.NewLimiter(a.rate, max(1, int(a.rate))), open: map[*context.CancelCauseFunc]struct{}{},
		}
		a.byResource[uid] = acc
	}
	if len(acc.open) >= a.most {
		return acc, nil, tooMuch("this environment has as many connections open as it may: close some, or have proxy_socks_max_connections raised")
	}
	key := &cancel
	acc.open[key] = struct{}{}
	return acc, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(acc.open, key)
	}, nil
}

// wait lets new connections in at their rate. It fails at once if the time of
// ctx is too short for that.
func (acc *account) wait(ctx context.Context) error {
	if err := acc.pace.Wait(ctx); err != nil {
		return tooMuch("this environment opens connections faster than it may: keep them open for longer, or have proxy_socks_rate raised")
	}
	return nil
}

// add notes what a connection moved.
func (a *accounts) add(acc *account, sent, received int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if u, ok := a.used[acc.resource]; ok || !acc.ended {
		a.used[acc.resource] = usage{u.connections + 1, u.sent + sent, u.received + received}
	}
}

// end cuts and forgets the environments that are not there any more, and
// returns what they used.
func (a *accounts) end(alive func(*account) bool) map[*account]usage {
	a.mu.Lock()
	known := make([]*account, 0, len(a.byResource))
	for _, acc := range a.byResource {
		known = append(known, acc)
	}
	a.mu.Unlock()
	gone := map[*account]usage{}
	for _, acc := range known {
		if !alive(acc) {
			gone[acc] = a.drop(acc)
		}
	}
	return gone
}

func (a *accounts) drop(acc *account) usage {
	a.mu.Lock()
	cuts := acc.open
	acc.open, acc.ended = map[*context.CancelCauseFunc]struct{}{}, true
	delete(a.byResource, acc.resource)
	used := a.used[acc.resource]
	delete(a.used, acc.resource)
	a.mu.Unlock()
	for cut := range cuts {
		(*cut)(errEnded)
	}
	return used
}

// slots bounds how many of something there are.
type slots chan struct{}

func newSlots(n int) slots { return make(slots, n) }

// take takes one if there is one left.
func (s slots) take() bool {
	select {
	case s <- struct{}{}:
		return true
	default:
		return false
	}
}

func (s slots) give() { <-s }

// grace is how long an answer may take to be sent, and a client to read it.
const grace = 2 * time.Second
