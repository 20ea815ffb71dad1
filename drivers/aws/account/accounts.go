package account

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// Accounts are those that the driver instances of a process use together: one
// for each cloud.Settings and node, however many instances there are. The zero
// value has none.
type Accounts struct {
	mu   sync.Mutex
	open map[key]*opened
}

type key struct {
	settings cloud.Settings
	node     string
}

type opened struct {
	account *Account
	members int
}

// Options are how a driver instance joins an account.
type Options struct {
	Settings cloud.Settings
	Dial     cloud.Dial
	// NodeUID is the node: instances with it in cloud.TagNode are ours.
	NodeUID string
	// Instance is the driver instance's full name, as in cloud.TagInstance.
	Instance string
	Brakes   Brakes
	// DryPause is how long a place that had no capacity is left alone after
	// this instance met that: short enough to profit from what others give
	// back, long enough not to begin every launch with a refusal.
	DryPause time.Duration
	// Pools are the names of those that the instance has: their hosts are watched,
	// and what they cost counts to its bill.
	Pools []string
	// HasRoom is called when Capacity may answer with more than it did. It may
	// be nil, and never waits.
	HasRoom func()
	Logger  *slog.Logger
}

func (o Options) validate() error {
	if o.Dial == nil || o.NodeUID == "" || o.Instance == "" || o.Logger == nil {
		return fmt.Errorf("account options of %q: want Dial, NodeUID, Instance and Logger", o.Instance)
	}
	return o.Settings.Validate()
}

// Join makes a driver instance a member of its account. Nothing is asked of
// the service before it returns; the member's Close ends the membership, and
// that of the last member the account.
func (as *Accounts) Join(ctx context.Context, o Options) (*Member, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	k := key{o.Settings, o.NodeUID}
	if m := as.enter(ctx, k, o, nil); m != nil {
		return m, nil
	}
	api, err := o.Dial(ctx, o.Settings)
	if err != nil {
		return nil, err
	}
	return as.enter(ctx, k, o, api), nil
}

// enter joins an account that is open, or opens it with the API. It returns
// nil where there is neither.
func (as *Accounts) enter(ctx context.Context, k key, o Options, api cloud.API) *Member {
	as.mu.Lock()
	defer as.mu.Unlock()
	acc := as.open[k]
	if acc == nil && api == nil {
		return nil
	}
	if acc == nil {
		acc = &opened{account: newAccount(ctx, api, o.Settings.String(), o.NodeUID, o.Logger)}
		if as.open == nil {
			as.open = make(map[key]*opened)
		}
		as.open[k] = acc
	}
	acc.members++
	m := &Member{Account: acc.account, instance: o.Instance, brakes: o.Brakes, dryPause: o.DryPause, pools: o.Pools, hasRoom: o.HasRoom}
	m.leave = func() { as.leave(k, m) }
	acc.account.join(m)
	return m
}

// leave ends a membership, and waits for what asks if it was the last.
func (as *Accounts) leave(k key, m *Member) {
	as.mu.Lock()
	acc := as.open[k]
	acc.members--
	last := acc.members == 0
	if last {
		delete(as.open, k)
	}
	as.mu.Unlock()
	m.Account.part(m)
	if last {
		m.Account.stop()
	}
}
