package socksproxy

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

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
	used  usage
	ended bool
}

// usage is what one environment used so far.
type usage struct {
	connections, sent, received int64
}

// accounts are those of the environments that used the proxy.
type accounts struct {
	most  int            // open connections of one
	rate  rate.Limit     // new ones per second of one
	ended func(*account) // takes each that is over, with all that it used

	mu         sync.Mutex
	byResource map[model.UID]*account // guarded by mu
}

func newAccounts(most, perSecond int, ended func(*account)) *accounts {
	return &accounts{most: most, rate: rate.Limit(perSecond), ended: ended, byResource: map[model.UID]*account{}}
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
	return acc, func() { a.leave(acc, key) }, nil
}

func (a *accounts) leave(acc *account, key *context.CancelCauseFunc) {
	a.mu.Lock()
	delete(acc.open, key)
	last := acc.ended && len(acc.open) == 0
	a.mu.Unlock()
	if last {
		a.ended(acc)
	}
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
	u := &acc.used
	*u = usage{u.connections + 1, u.sent + sent, u.received + received}
}

// end cuts and forgets the environments that are not there any more.
func (a *accounts) end(alive func(*account) bool) {
	a.mu.Lock()
	known := slices.Collect(maps.Values(a.byResource))
	a.mu.Unlock()
	for _, acc := range known {
		if !alive(acc) {
			a.drop(acc)
		}
	}
}

func (a *accounts) drop(acc *account) {
	a.mu.Lock()
	if acc.ended { // by somebody else just now
		a.mu.Unlock()
		return
	}
	acc.ended = true
	delete(a.byResource, acc.resource)
	cuts := slices.Collect(maps.Keys(acc.open))
	a.mu.Unlock()
	for _, cut := range cuts {
		(*cut)(errEnded)
	}
	if len(cuts) == 0 { // else the last of them says so
		a.ended(acc)
	}
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
