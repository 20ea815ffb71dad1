// Package meta serves environments their own metadata (contract 17, 32).
//
// Nobody logs in here. An environment with an address of its own is known by
// it, on networks that a driver of this node declares; one that shares the
// host's network asks under a path with a secret token. Only the address of
// the socket counts, never what a header says.
package meta

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// Root is the path that everything here lies under.
const Root = "/meta/v1/"

const (
	// tokenWait is how long a request may wait for ALLOCATED: a process asks
	// as soon as it runs, before the node has noted that it does.
	tokenWait = 10 * time.Second
	// maxWaiting bounds the requests that wait, so that one environment can
	// not fill the node with them.
	maxWaiting = 256
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

// Options is what a Handler needs. All are required but those with a default.
type Options struct {
	Node  model.UID // this node: it answers for its own resources only
	Store store
	// NextChange returns once any application changed since the last call.
	NextChange func(context.Context) error
	// Networks are those from which environments are known by address.
	Networks func() []netip.Prefix
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
		return errors.New("meta: Store, NextChange, Networks and Logger are required")
	}
	return nil
}

// Handler is the metadata API. Its Run must be running for requests to wait.
type Handler struct {
	Options
	notes *notes

	mu      sync.Mutex
	changed chan struct{} // guarded by mu: closed at the next change
	waiting int           // guarded by mu
	stopped bool          // guarded by mu: nobody will close changed again
}

var _ http.Handler = (*Handler)(nil)

// New checks the options and fills in defaults.
func New(o Options) (*Handler, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	if o.Interfaces == nil {
		o.Interfaces = systemInterfaces
	}
	if o.Neighbors == nil {
		o.Neighbors = newNeighborCache(systemNeighbors).get
	}
	return &Handler{Options: o, notes: newNotes(), changed: make(chan struct{})}, nil
}

// Stop sends waiting requests away, with the word to ask again, and lets no
// other wait. Call it when the server that h belongs to begins to shut down
// (http.Server.RegisterOnShutdown): that would wait for them.
func (h *Handler) Stop() { h.wake(true) }

// Run wakes waiting requests until ctx is done, and then sends them away. It
// returns nil on cancel.
func (h *Handler) Run(ctx context.Context) error {
	defer h.Stop()
	for {
		if err := h.NextChange(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		h.wake(false)
	}
}

func (h *Handler) wake(stop bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stopped {
		return
	}
	close(h.changed)
	if h.stopped = stop; !stop {
		h.changed = make(chan struct{})
	}
}

// next returns a channel that is closed at the next change. Take it first,
// look second. It is closed for good once the handler has stopped.
func (h *Handler) next() (changed <-chan struct{}, stopped bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.changed, h.stopped
}

// enter counts one more waiting request, unless there are too many.
func (h *Handler) enter() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.waiting >= maxWaiting {
		return false
	}
	h.waiting++
	return true
}

func (h *Handler) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.waiting--
}

// TokenPath is the path under which an environment with the token finds its
// metadata.
func TokenPath(token string) string { return Root + "token/" + token + "/data/" }
