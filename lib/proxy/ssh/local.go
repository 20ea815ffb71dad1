package sshproxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/metadata"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

const (
	// dialTime is how long the SSH server of an environment may take to accept:
	// it is near, or it does not answer.
	dialTime = 10 * time.Second
	// useTime is how long a connection to an environment stays without a use: the
	// handshake with a slow machine is over by then.
	useTime = time.Minute
	// cutTime is how much longer than its grace a session of another node lives
	// after its environment was given back: that node tells its client first.
	cutTime = 5 * time.Second
	// defaultPort is where SSH listens if the label does not say.
	defaultPort = 22
)

// LocalStore is what the executor knows, and where it writes.
type LocalStore interface {
	Access(uid model.UID) (store.AccessView, bool)
	Resource(uid model.UID) (model.Resource, *model.Entry, bool)
	HostKey(resource model.UID) ([]byte, bool)
	UseAccess(ctx context.Context, use model.AccessUse) (model.AccessUse, error)
	Subscribe(kinds ...store.Kind) *store.Subscription
}

// LocalOptions is what a Local needs.
type LocalOptions struct {
	Node  model.UID
	Store LocalStore
	// MaxSessions bounds the connections to environments. Default:
	// DefaultMaxSessions.
	MaxSessions int
	// Grace is as for the Server.
	Grace time.Duration
	// Left is called when the last session in an environment has ended, with the
	// UID of its application. It must not block. Nil: nobody is told.
	Left   func(application model.UID)
	Logger *slog.Logger
}

// Local reaches the environments that this node runs.
type Local struct {
	LocalOptions

	mu    sync.Mutex
	pipes map[*pipe]struct{} // guarded by mu
}

// pipe is a connection to an environment.
type pipe struct {
	net.Conn

	of       *Local
	session  model.UID
	access   model.UID
	resource model.UID
	app      model.UID
	used     bool        // guarded by of.mu; somebody is logged in by it, or about to be
	unused   *time.Timer // cuts it if no use follows
	cutting  *time.Timer // guarded by of.mu; cuts it after its environment was given back
	close    func() error
}

// NewLocal makes the executor of this node. Run has to run as long as it is used.
func NewLocal(o LocalOptions) *Local {
	if o.MaxSessions <= 0 {
		o.MaxSessions = DefaultMaxSessions
	}
	o.Grace = graceOf(o.Grace)
	return &Local{LocalOptions: o, pipes: map[*pipe]struct{}{}}
}

func graceOf(given time.Duration) time.Duration {
	if given == 0 {
		return DefaultGrace
	}
	return max(0, given)
}

// Open implements Executor, for this node.
func (l *Local) Open(ctx context.Context, _ model.UID, o Opening) (*Opened, error) {
	access, known := l.Store.Access(o.AccessUID)
	switch {
	case !known || access.ResourceUID != o.ResourceUID:
		return nil, &Refusal{Reason: ReasonUnknown}
	case access.Used:
		return nil, &Refusal{Reason: ReasonUsed}
	case access.Expired(time.Now()):
		return nil, &Refusal{Reason: ReasonExpired}
	}
	resource, entry, ok := l.Store.Resource(o.ResourceUID)
	if !ok || !allocated(entry, resource.UID) {
		return nil, &Refusal{Reason: ReasonGone}
	}
	if resource.NodeUID != l.Node {
		return nil, &Refusal{Reason: ReasonElsewhere}
	}
	address, err := addressIn(resource)
	if err != nil {
		return nil, &Refusal{Reason: ReasonNoLogin, Text: err.Error()}
	}
	dialer := net.Dialer{Timeout: dialTime}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, &Refusal{Reason: ReasonDial, Text: "the SSH server of the environment does not answer: " + err.Error()}
	}
	l.drop(o.SessionUID)
	p, err := l.keep(conn, o, entry.Application.UID)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	opened := &Opened{Conn: p, Record: recorded(entry)}
	opened.HostKey, _ = l.Store.HostKey(resource.UID)
	return opened, nil
}

// Use implements Executor, for this node.
func (l *Local) Use(ctx context.Context, _ model.UID, use model.AccessUse) error {
	p := l.enter(use)
	if p == nil {
		return &Refusal{Reason: ReasonOther, Text: "the connection to the environment took too long, or was cut"}
	}
	if _, err := l.Store.UseAccess(ctx, use); err != nil {
		return refusalOf(err)
	}
	p.unused.Stop()
	return nil
}

// LoggedIn reports whether somebody has a session in the environment of an
// application, or is about to have one whose use is being stored.
func (l *Local) LoggedIn(application model.UID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p := range l.pipes {
		if p.used && p.app == application {
			return true
		}
	}
	return false
}

// LeaveTime is how long after their environment was given back the last of its
// sessions may go on; 0: they are cut at once.
func (l *Local) LeaveTime() time.Duration {
	if l.Grace == 0 {
		return 0
	}
	return l.Grace + cutTime
}

// allocated reports whether the Resource is that of an application that still
// has its environment and is not giving it back.
func allocated(e *model.Entry, resource model.UID) bool {
	return e != nil && e.Resource != nil && e.Resource.UID == resource && e.Fold.Status() == model.StatusAllocated
}

// recorded reports whether the label that the environment was made from asks
// for its terminals to be recorded.
func recorded(e *model.Entry) bool {
	if e.Fold.Allocated == nil {
		return false
	}
	a, ok := e.Allocation(e.Fold.Allocated.Epoch)
	return ok && metadata.SSHRecord(a.LabelMetadata)
}

// addressIn is where the SSH server of an environment listens.
func addressIn(r model.Resource) (string, error) {
	switch {
	case r.Authentication == nil || r.Authentication.Username == "" && r.Authentication.Password == "" && r.Authentication.Key == "":
		return "", errors.New("the label of the environment has no authentication: nobody can log in")
	case r.IPAddr == "":
		return "", errors.New("the environment has no address yet, try again when it has started")
	}
	port := r.Authentication.Port
	if port == 0 {
		port = defaultPort
	}
	if port < 0 || port > 65535 {
		return "", fmt.Errorf("the label of the environment names port %d, want 1 to 65535", port)
	}
	return net.JoinHostPort(r.IPAddr, strconv.Itoa(port)), nil
}

// drop closes what is left of an earlier try of a session: its entry has closed
// that, but the news may still be on their way.
func (l *Local) drop(session model.UID) {
	for _, p := range l.all() {
		if p.session == session {
			_ = p.Close() // nobody has it any more
		}
	}
}

// keep counts a connection in, until it is closed.
func (l *Local) keep(conn net.Conn, o Opening, app model.UID) (*pipe, error) {
	p := &pipe{Conn: conn, of: l, session: o.SessionUID, access: o.AccessUID, resource: o.ResourceUID, app: app}
	p.close = sync.OnceValue(p.end)
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.pipes) >= l.MaxSessions {
		return nil, &Refusal{Reason: ReasonBusy}
	}
	p.unused = time.AfterFunc(useTime, func() { _ = p.Close() }) // whoever reads it finds out
	l.pipes[p] = struct{}{}
	return p, nil
}

// Close implements net.Conn.
func (p *pipe) Close() error { return p.close() }

func (p *pipe) end() error {
	p.of.mu.Lock()
	delete(p.of.pipes, p)
	if p.cutting != nil {
		p.cutting.Stop()
	}
	used := p.used
	p.of.mu.Unlock()
	p.unused.Stop()
	err := p.Conn.Close()
	if used && p.of.Left != nil && !p.of.LoggedIn(p.app) {
		p.of.Left(p.app)
	}
	return err //nolint:wrapcheck // a wrapper adds nothing
}

// enter finds the connection of a use, nil if it is closed, and counts it as a
// session before the use is stored: a release that is stored with it looks before
// the use is answered. One that is refused counts until its entry has closed it.
func (l *Local) enter(use model.AccessUse) *pipe {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p := range l.pipes {
		if p.session == use.SessionUID && p.access == use.AccessUID {
			p.used = true
			return p
		}
	}
	return nil
}

// Run cuts the connections to environments that were given back, and all of
// them when ctx ends.
func (l *Local) Run(ctx context.Context) error {
	changed := l.Store.Subscribe(store.KindApplication)
	defer changed.Close()
	for {
		select {
		case <-changed.C():
			changed.Take()
			l.cutGone()
		case <-ctx.Done():
			for _, p := range l.all() {
				_ = p.Close() // whoever reads it finds out
			}
			return nil
		}
	}
}

// cutGone gives those a last time whose environment is given back.
func (l *Local) cutGone() {
	for _, p := range l.all() {
		if _, entry, ok := l.Store.Resource(p.resource); ok && allocated(entry, p.resource) {
			continue
		}
		l.mu.Lock()
		if p.cutting == nil {
			p.cutting = time.AfterFunc(l.Grace+cutTime, func() { _ = p.Close() }) // whoever reads it finds out
		}
		l.mu.Unlock()
	}
}

func (l *Local) all() []*pipe {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]*pipe, 0, len(l.pipes))
	for p := range l.pipes {
		all = append(all, p)
	}
	return all
}
