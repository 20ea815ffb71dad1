package socksproxy

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/audit"
	"github.com/aquarium-fish/aquarium-fish/lib/auth"
	"github.com/aquarium-fish/aquarium-fish/lib/caller"
	"github.com/aquarium-fish/aquarium-fish/lib/logging"
	"github.com/aquarium-fish/aquarium-fish/lib/loop"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// finder says who connects: *caller.Finder.
type finder interface {
	// IsOwn reports whether the address is this host's.
	IsOwn(addr netip.Addr) (bool, error)
	// OnlyByAddress returns the one application whose environment has it.
	OnlyByAddress(ctx context.Context, addr netip.Addr) (*model.Entry, error)
	// ByCredential returns the one whose environment has the credential.
	ByCredential(ctx context.Context, addr netip.Addr, user, password string) (*model.Entry, error)
}

// store is what is needed of the database.
type store interface {
	// ServiceMappings returns all of them, from memory.
	ServiceMappings() []model.ServiceMapping
	// Resource returns the Resource and its application, from memory.
	Resource(uid model.UID) (model.Resource, *model.Entry, bool)
}

// noter takes events for the audit.
type noter interface {
	// Note takes one and never waits.
	Note(e audit.Event)
}

var (
	_ finder = (*caller.Finder)(nil)
	_ noter  = (*audit.Log)(nil)
)

// Limits bound what clients may take. All are required: lib/config has their
// defaults and the reasons for them.
type Limits struct {
	Handshake       time.Duration // until a client has said what it wants
	Dial            time.Duration // to resolve and connect
	Idle            time.Duration // of a connection that carries nothing
	Connections     int           // open ones of one environment
	Rate            int           // new ones of one environment per second
	MaxUnidentified int           // whose environment is not known, of this host and of others each
}

// Options is what a Server needs. All are required but those with a default.
type Options struct {
	// Listener is where it serves, as Listen makes it. Run closes it.
	Listener *net.TCPListener
	// Location is the node's; empty if it has none.
	Location string
	Callers  finder
	Store    store
	// NextChange returns once any application changed since the last call.
	NextChange func(context.Context) error
	// Networks are those of this node's environments, which are not to reach
	// each other by a mapping of an owner's.
	Networks func() []netip.Prefix
	// Resolver looks up the names of redirects. Default: the system's.
	Resolver Resolver
	// Interfaces are this host's own addresses. Default: those of the system.
	Interfaces func() ([]netip.Prefix, error)
	Limits     Limits
	Audit      noter
	Logger     *slog.Logger
}

func (o Options) validate() error {
	l := o.Limits
	switch {
	case o.Listener == nil || o.Callers == nil || o.Store == nil || o.NextChange == nil || o.Networks == nil || o.Audit == nil || o.Logger == nil:
		return errors.New("socks proxy: Listener, Callers, Store, NextChange, Networks, Audit and Logger are required")
	case min(l.Handshake, l.Dial, l.Idle) <= 0 || min(l.Connections, l.Rate, l.MaxUnidentified) <= 0:
		return errors.New("socks proxy: a limit is missing")
	}
	return nil
}

// Server is the proxy.
type Server struct {
	opts     Options
	reacher  *reacher
	accounts *accounts
	tallies  *tallies
	seldom   *logging.Seldom

	// Those whose environment is not known: just come, of this host, of others.
	arriving, here, strangers slots
}

// New checks the options and fills in defaults.
func New(o Options) (*Server, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	if o.Resolver == nil {
		o.Resolver = net.DefaultResolver
	}
	if o.Interfaces == nil {
		o.Interfaces = caller.SystemInterfaces
	}
	s := &Server{
		opts: o,
		reacher: &reacher{
			resolver: o.Resolver, own: o.Interfaces, networks: o.Networks, network: newNetwork(), timeout: o.Limits.Dial,
			dialer: net.Dialer{KeepAliveConfig: keepAlive()},
		},
		tallies: newTallies(), seldom: logging.NewSeldom(),
		arriving: newSlots(o.Limits.MaxUnidentified), here: newSlots(o.Limits.MaxUnidentified), strangers: newSlots(o.Limits.MaxUnidentified),
	}
	s.accounts = newAccounts(o.Limits.Connections, o.Limits.Rate, s.noteEnd)
	return s, nil
}

// Addr is where the proxy listens, with the real port.
func (s *Server) Addr() netip.AddrPort {
	return s.opts.Listener.Addr().(*net.TCPAddr).AddrPort() // of a TCP listener
}

// Run serves until ctx is done; then it cuts every connection and waits until
// nothing of them is left. It returns nil on cancel.
func (s *Server) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var parts sync.WaitGroup
	defer func() {
		cancel()
		_ = s.opts.Listener.Close() // it is in any case
		parts.Wait()
		s.note(s.tallies.all())
	}()
	parts.Go(func() { s.accept(ctx) })
	parts.Go(func() {
		loop.Every(ctx, tallyTick, func(context.Context) { s.note(s.tallies.due(time.Now())) })
	})
	for {
		if err := s.opts.NextChange(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		s.endGone()
	}
}

// tallyTick is how often counts are looked at.
const tallyTick = 10 * time.Second

func (s *Server) note(events []audit.Event) {
	for _, e := range events {
		s.opts.Audit.Note(e)
	}
}

// accept takes connections until ctx is done, and waits for them.
func (s *Server) accept(ctx context.Context) {
	var sessions sync.WaitGroup
	defer sessions.Wait()
	stop := context.AfterFunc(ctx, func() { _ = s.opts.Listener.Close() })
	defer stop()
	var pause time.Duration
	for ctx.Err() == nil {
		conn, err := s.opts.Listener.AcceptTCP()
		if err != nil {
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.acceptFailed(ctx, err, pause)
			continue
		}
		pause = 0
		if !s.arriving.take() {
			s.refuseUnread(conn, errFull)
			continue
		}
		sessions.Go(func() { s.serve(ctx, conn) })
	}
}

// acceptFailed waits before the next try: the node may be out of descriptors,
// and an environment that reaches no mirror is no reason to end it.
func (s *Server) acceptFailed(ctx context.Context, err error, pause time.Duration) {
	if ctx.Err() == nil && s.seldom.Due("accept") {
		s.opts.Logger.Warn("socks proxy can not take connections, it tries again", "error", err)
	}
	select {
	case <-ctx.Done():
	case <-time.After(pause):
	}
}

// errFull refuses a connection where nothing is known of its environment.
var errFull = errors.New("too many connections whose environment is not known yet")

// refuseUnread closes what can not be served, without a word: nothing is known
// of the language of its client.
func (s *Server) refuseUnread(conn *net.TCPConn, why error) {
	_ = conn.SetLinger(0) // no rest of it stays
	_ = conn.Close()
	if errors.Is(why, errFull) {
		from, _ := caller.Address(conn.RemoteAddr())
		s.tell(use{address: auth.Network(from), result: audit.ResultLimited}, why.Error())
	}
}

// tell notes a use in the audit, and in the log if it is worth a line.
func (s *Server) tell(u use, detail string) {
	if e, due := s.tallies.began(u, detail, time.Now()); due {
		s.opts.Audit.Note(e)
	}
	if u.result == audit.ResultLimited && s.seldom.Due("limited", u.resource.String(), u.address, detail) {
		s.opts.Logger.Warn("socks connection refused", "reason", detail, "address", u.address, "resource", u.resource)
	}
}

// endGone cuts the connections of environments that are not ALLOCATED any more.
func (s *Server) endGone() { s.accounts.end(s.alive) }

func (s *Server) noteEnd(acc *account) {
	s.opts.Logger.Info("socks proxy: environment ended", "resource", acc.resource, "application", acc.application,
		"connections", acc.used.connections, "sent", acc.used.sent, "received", acc.used.received)
}

// alive reports whether the environment is still there.
func (s *Server) alive(acc *account) bool {
	_, e, ok := s.opts.Store.Resource(acc.resource)
	return ok && e.Fold.Status() == model.StatusAllocated
}
