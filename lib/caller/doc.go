// Package caller says which environment of this node somebody is who connects
// to it (contract 17, 32): for the metadata API and for the proxies.
//
// Nobody logs in here. An environment with an address of its own is known by
// it, on networks that a driver of this node declares; one that shares the
// host's network shows a secret. Only the address of the socket counts, never
// what a header says.
package caller

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/logging"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

const (
	// SecretWait is how long somebody with a secret may wait for ALLOCATED: a
	// process asks as soon as it runs, before the node has noted that it does.
	SecretWait = 10 * time.Second
	// MaxWaiting bounds those who wait, so that one environment can not fill
	// the node with them.
	MaxWaiting = 256
)

// Why a caller is not known.
var (
	// ErrUnknown says that no environment has the address, or that several do.
	ErrUnknown = errors.New("no environment of this node has that address")
	// ErrSecret says that the secret is none, or of an environment that is not
	// there, or that it was shown from elsewhere than this host.
	ErrSecret = errors.New("no environment of this host has that secret")
	// ErrBusy says that too many wait for their environment.
	ErrBusy = errors.New("too many wait for their environment")
	// ErrStopping says that the node stops.
	ErrStopping = errors.New("the node is stopping")
)

// store is what is needed of the database: the read model, and the one write
// of an address that was learnt.
type store interface {
	// Open returns every application that is not done.
	Open() []*model.Entry
	// Application returns one application.
	Application(ctx context.Context, uid model.UID) (*model.Entry, error)
	// Update writes what decide returns for the newest entry.
	Update(ctx context.Context, app model.UID,
		decide func(*model.Entry) (model.Change, error)) (*model.Entry, error)
}

// Options is what a Finder needs. All are required but those with a default.
type Options struct {
	Node  model.UID // this node: only its own environments are known
	Store store
	// NextChange returns once any application changed since the last call.
	NextChange func(context.Context) error
	// Networks are those from which environments of a driver's instance are
	// known by address; those of all where the name is empty.
	Networks func(instance string) []netip.Prefix
	// Interfaces are this host's own addresses, each with the length of its
	// network. Default: those of the system.
	Interfaces func() ([]netip.Prefix, error)
	// Neighbors are the hardware addresses of hosts on the local networks,
	// as in NormalMAC. Default: the system's ARP table.
	Neighbors func(context.Context) (map[netip.Addr]string, error)
	Logger    *slog.Logger
}

func (o Options) validate() error {
	if o.Store == nil || o.NextChange == nil || o.Networks == nil || o.Logger == nil {
		return errors.New("caller: Store, NextChange, Networks and Logger are required")
	}
	return nil
}

// Finder knows the environments of this node. Its Run must be running for
// callers to wait. Its methods may be called from any goroutine.
type Finder struct {
	Options
	seldom *logging.Seldom

	mu      sync.Mutex
	changed chan struct{} // guarded by mu: closed at the next change
	waiting int           // guarded by mu
	stopped bool          // guarded by mu: nobody will close changed again
}

// New checks the options and fills in defaults.
func New(o Options) (*Finder, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	if o.Interfaces == nil {
		o.Interfaces = SystemInterfaces
	}
	if o.Neighbors == nil {
		o.Neighbors = newNeighborCache(systemNeighbors).get
	}
	return &Finder{Options: o, seldom: logging.NewSeldom(), changed: make(chan struct{})}, nil
}

// Address is where a connection really comes from, as the Finder compares it:
// without zone and port, a v4 address as such. The two loopback addresses are
// one. ok is false for what is no IP address.
func Address(remote net.Addr) (addr netip.Addr, ok bool) { return ParseAddress(remote.String()) }

// ParseAddress is Address of host:port in text.
func ParseAddress(remote string) (addr netip.Addr, ok bool) {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}, false
	}
	addr = ap.Addr().Unmap().WithZone("")
	if addr == netip.IPv6Loopback() {
		addr = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return addr, true
}

// Stop sends away who waits, with ErrStopping, and lets nobody else wait.
func (f *Finder) Stop() { f.wake(true) }

// Run wakes who waits until ctx is done, and then sends them away. It returns
// nil on cancel.
func (f *Finder) Run(ctx context.Context) error {
	defer f.Stop()
	for {
		if err := f.NextChange(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		f.wake(false)
	}
}

func (f *Finder) wake(stop bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stopped {
		return
	}
	close(f.changed)
	if f.stopped = stop; !stop {
		f.changed = make(chan struct{})
	}
}

// next returns a channel that is closed at the next change. Take it first,
// look second. It is closed for good once the Finder has stopped.
func (f *Finder) next() (changed <-chan struct{}, stopped bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.changed, f.stopped
}

// enter counts one more who waits, unless there are too many.
func (f *Finder) enter() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.waiting >= MaxWaiting {
		return false
	}
	f.waiting++
	return true
}

func (f *Finder) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waiting--
}
