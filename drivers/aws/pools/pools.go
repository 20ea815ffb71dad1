// Package pools runs the pools of dedicated hosts of one driver instance: what
// package pool decides, it does at EC2, and what comes of it, it tells there.
//
// A pool that several nodes are configured for is run by its owner
// (drivers.Share). The others ask the owner for a host, and start and end their
// machines on it themselves. DESIGN.md has what must hold, and what is found
// after a kill at any point.
package pools

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/pool"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/price"
	"github.com/aquarium-fish/aquarium-fish/lib/loop"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// Pool is one pool as it is configured.
type Pool struct {
	pool.Config
	// Thing is what the pool is called among nodes.
	Thing string
	// ScrubImage is the image of the machines that have hosts scrubbed: an id, or
	// a name with wildcards. Empty: the smallest of Amazon's that the host can start.
	ScrubImage string
	// Subnet is where those machines are, or the zone's subnet of its VPC; empty:
	// the default VPC. SecurityGroup is an id or a name; empty: the VPC's default.
	Subnet, SecurityGroup string
}

// Options is what pools are run with.
type Options struct {
	API   cloud.API
	Purse Purse
	Pools []Pool
	// ReleaseOrphans says what becomes of hosts that this instance allocated for a pool
	// that is not configured any more: true releases them, false shows them.
	ReleaseOrphans bool
	// Elsewhere reports whether another instance of this process runs the pool, or
	// another node owns it. It answers from memory.
	Elsewhere func(pool string) bool

	Node     model.UID
	Instance string     // the driver's instance
	Tags     cloud.Tags // put on everything, beside ours
	Prices   price.Table
	// Directory is where what must not be forgotten is kept, a file for each pool.
	Directory string

	Owner   drivers.OwnerOf
	First   func(thing string) bool // see drivers.Config; nil: not known of any
	Ask     drivers.Ask
	HasRoom func() // a pool may have room again
	Logger  *slog.Logger

	put func(path string, data []byte, mode fs.FileMode) error // nil: to the disk
}

// maker is who makes what the pools make.
func (o *Options) maker() cloud.Maker {
	return cloud.Maker{Node: o.Node.String(), Instance: o.Instance}
}

// Purse says whether one more host may be paid for. Its methods answer from
// memory.
type Purse interface {
	// Reserve counts a host that is about to be allocated, by its client token;
	// the error is why it may not be. Asked again it counts once. An error that is no
	// *cloud.Error says that a limit is met.
	Reserve(token, instanceType string) error
	// Assume counts a host that a process before this one asked for, and of which
	// nobody knows whether it was allocated.
	Assume(token, instanceType string)
	// Left is how many hosts of a type may be asked for beyond those that are
	// counted, and why not more. What can not be found out does not bound it.
	Left(instanceType string) (n int, why string)
	// Release says that it was not allocated.
	Release(token string)
	// Failed says why it was not, or not for certain.
	Failed(token, instanceType, zone string, err error)
}

// Pools are the pools of an instance. New starts them, Close ends them; in
// between its methods may be called by many goroutines at once.
type Pools struct {
	opts  Options
	log   *slog.Logger
	close context.CancelFunc
	parts sync.WaitGroup // keepers, and who looks for orphans
	named map[string]*keeper

	mu      sync.Mutex
	orphans map[string]*keeper // by pool
}

// New starts the pools. It asks nothing of anybody, and fails where what was
// kept can not be read.
func New(opts Options) (*Pools, error) {
	p := &Pools{opts: opts, log: opts.Logger, named: map[string]*keeper{}, orphans: map[string]*keeper{}}
	if p.opts.Elsewhere == nil {
		p.opts.Elsewhere = func(string) bool { return false }
	}
	for _, c := range opts.Pools {
		k, err := newKeeper(&p.opts, c, func() bool { return opts.Owner(c.Thing) == opts.Node })
		if err != nil {
			return nil, fmt.Errorf("open pool %s: %w", c.Name, err)
		}
		p.named[c.Name] = k
	}
	ctx, cancel := context.WithCancel(context.Background()) // Close ends it
	p.close = cancel
	for _, k := range p.named {
		p.parts.Go(func() { k.run(ctx) })
	}
	p.parts.Go(func() { p.lookForOrphans(ctx) })
	return p, nil
}

// Close ends the pools. What is under way at EC2 is found by the next process.
func (p *Pools) Close() {
	p.close()
	p.parts.Wait()
}

// keeper is the one of a configured pool.
func (p *Pools) keeper(name string) (*keeper, error) {
	k, ok := p.named[name]
	if !ok {
		return nil, fmt.Errorf("option pool: %q is not in dedicated_pool of this node's configuration", name)
	}
	return k, nil
}

// Reserve reserves a host of the pool, in one of the zones if there are any, for
// a token until Failed or Released. It waits for one until ctx ends. What was
// reserved for the token before is returned again, also to the next process.
func (p *Pools) Reserve(ctx context.Context, name, token string, zones []string) (host, zone string, err error) {
	k, err := p.keeper(name)
	if err != nil {
		return "", "", err
	}
	pause, why := firstPause, "its owner was not asked yet"
	for {
		a, err := k.ask(ctx, question{Op: opWant, Token: token, Zones: zones})
		switch {
		case err == nil && !a.Waiting:
			return a.Host, a.Zone, nil
		case err == nil:
			pause, why = firstPause, a.Why
		case ctx.Err() != nil: // that is the cause, and why says more
		case !passes(err):
			return "", "", err
		default:
			why = err.Error()
		}
		if err := loop.Sleep(ctx, pause); err != nil {
			return "", "", fmt.Errorf("no host of pool %s in time: %s: %w", name, why, err)
		}
		pause = min(2*pause, mostPause)
	}
}

// The pauses between tries to get a host of who owns a pool.
const (
	firstPause = time.Second
	mostPause  = 15 * time.Second
)

// passes reports whether an error is about the way to a pool's owner, which may
// be found again, or about its disk, which may have room again.
func passes(err error) bool {
	var asked *drivers.AskError
	if errors.As(err, &asked) {
		return asked.Why != drivers.AskInvalid
	}
	return errors.Is(err, errMoved) || errors.Is(err, errNotStored)
}

// Launched says that a machine was made on the host of the token.
func (p *Pools) Launched(ctx context.Context, name, token, instance string) {
	p.tell(ctx, name, question{Op: opLaunched, Token: token, Instance: instance})
}

// Failed says that there was no launch on the token's host, or that it is not
// known. Where the host refused it, Reserve then gives another one.
func (p *Pools) Failed(ctx context.Context, name, token string, cause error) {
	p.tell(ctx, name, question{Op: opLaunched, Token: token, Failure: failureOf(cause)})
}

// Released says that nothing of the token is on any host, nor will be. A pool
// whose owner does not hear it finds out by itself, later. Without a name all
// pools are told.
func (p *Pools) Released(ctx context.Context, name, token string) {
	if name != "" {
		p.tell(ctx, name, question{Op: opCancel, Token: token})
		return
	}
	var all sync.WaitGroup // who owns one may not be there
	for name := range p.named {
		all.Go(func() { p.tell(ctx, name, question{Op: opCancel, Token: token}) })
	}
	all.Wait()
}

// tellTimeout bounds what is told to an owner: if it is not heard, the lists of
// EC2 tell it the same, some minutes later.
const tellTimeout = 5 * time.Second

func (p *Pools) tell(ctx context.Context, name string, q question) {
	k, err := p.keeper(name)
	if err != nil {
		return // not configured any more: nobody reserves there
	}
	ctx, cancel := context.WithTimeout(ctx, tellTimeout)
	defer cancel()
	if _, err := k.ask(ctx, q); err != nil {
		p.log.Info("what became of a host was not told its pool's owner, who will see it later", "pool", name, "what", q.Op, "error", err)
	}
}

// Free is how many more machines the pool can take now in one of the zones, or in
// any if there are none, from memory; the error is why that is not known, or why it is none.
func (p *Pools) Free(name string, zones []string) (int, error) {
	k, err := p.keeper(name)
	if err != nil {
		return 0, err
	}
	return k.free(zones, time.Now())
}

// Type is the type of the pool's hosts.
func (p *Pools) Type(name string) (string, error) {
	k, err := p.keeper(name)
	if err != nil {
		return "", err
	}
	return k.pool.Type, nil
}

// Owned are the names of the configured pools that this node runs now.
func (p *Pools) Owned() []string {
	var names []string
	for name, k := range p.named {
		if k.mine() {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Kept reports whether somebody runs the pool: this instance, as it is
// configured for it, another one, or another node.
func (p *Pools) Kept(name string) bool { return p.named[name] != nil || p.opts.Elsewhere(name) }

// all are the keepers of all pools, by name.
func (p *Pools) all() []*keeper {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []*keeper
	for _, k := range p.named {
		all = append(all, k)
	}
	for _, k := range p.orphans {
		all = append(all, k)
	}
	slices.SortFunc(all, func(a, b *keeper) int { return strings.Compare(a.pool.Name, b.pool.Name) })
	return all
}
