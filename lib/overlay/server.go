package overlay

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

const (
	// maxServed bounds the connections that are served at once: those of a
	// hundred members that all ask.
	maxServed = 512
	// maxFrom bounds those of one member, so that one which has lost its mind
	// leaves room for the others: four times what a client opens, of which a
	// member has some.
	maxFrom = 4 * maxConns
	// drain is how long a stop waits for requests that run.
	drain = 5 * time.Second
	// Bounds of one request, as of the API's own listener.
	headerTimeout  = 10 * time.Second
	defaultRead    = 30 * time.Second
	defaultWrite   = 30 * time.Second
	serveIdle      = 2 * idleTimeout
	maxHeaderBytes = 32 << 10
)

// ErrFull is what Take returns when too many connections are served already,
// of all members together or of this one.
var ErrFull = errors.New("too many overlay connections are served already")

// ErrStopped is what Take returns once the server has stopped.
var ErrStopped = errors.New("overlay server is stopped")

// ServerOptions is what a Server needs.
type ServerOptions struct {
	// Handler answers; its requests have an Envelope in their context.
	Handler http.Handler
	// ReadTimeout and WriteTimeout bound a request and its answer; handlers may
	// set other deadlines. 30 s each.
	ReadTimeout, WriteTimeout time.Duration
	Logger                    *slog.Logger
}

// Server serves the connections that other members open to this one.
type Server struct {
	http     *http.Server
	listener *listener
}

// NewServer makes a server. It answers once Run is called.
func NewServer(o ServerOptions) *Server {
	if o.ReadTimeout <= 0 {
		o.ReadTimeout = defaultRead
	}
	if o.WriteTimeout <= 0 {
		o.WriteTimeout = defaultWrite
	}
	return &Server{
		listener: newListener(),
		http: &http.Server{
			Handler:           opened(o.Handler),
			ReadHeaderTimeout: headerTimeout, ReadTimeout: o.ReadTimeout, WriteTimeout: o.WriteTimeout, IdleTimeout: serveIdle,
			MaxHeaderBytes: maxHeaderBytes,
			ConnContext: func(ctx context.Context, c net.Conn) context.Context {
				return context.WithValue(ctx, fromKey{}, c.(*conn).from) //nolint:forcetypeassert // the listener makes no others
			},
			ErrorLog: log.New(debugLog{o.Logger}, "", 0),
		},
	}
}

// fromKey finds in a connection's context who is at its other end.
type fromKey struct{}

// opened takes the envelope off a request. One without it is refused: this is
// no place for other clients.
func opened(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e, ok := take(r.Header)
		if !ok {
			http.Error(w, "this request does not say for whom it is", http.StatusBadRequest)
			return
		}
		e.From, _ = r.Context().Value(fromKey{}).(model.UID)
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), envelopeKey{}, e)))
	})
}

// Take serves a connection that the member from has opened; whoever calls it
// has checked that it is from. It does not wait. After an error the connection
// is closed.
func (s *Server) Take(c net.Conn, from model.UID) error { return s.listener.take(c, from) }

// Run serves until ctx is done, then lets running requests finish for a while.
// It returns nil then.
func (s *Server) Run(ctx context.Context) error {
	served := make(chan error, 1)
	go func() { served <- s.http.Serve(s.listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve members: %w", err)
	case <-ctx.Done():
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	if s.http.Shutdown(bounded) != nil {
		_ = s.http.Close() // what still runs has had its time
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve members: %w", err)
	}
	return nil
}

// listener hands the server the connections that were taken.
type listener struct {
	slots chan struct{} // one for each connection that is open
	queue chan *conn    // has room for all of them
	done  chan struct{} // closed by Close

	mu     sync.Mutex
	closed bool              // guarded by mu
	open   map[model.UID]int // guarded by mu: connections of each member
}

func newListener() *listener {
	return &listener{
		slots: make(chan struct{}, maxServed), queue: make(chan *conn, maxServed), done: make(chan struct{}),
		open: map[model.UID]int{},
	}
}

func (l *listener) take(c net.Conn, from model.UID) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		_ = c.Close()
		return ErrStopped
	}
	if l.open[from] >= maxFrom {
		_ = c.Close()
		return ErrFull
	}
	select {
	case l.slots <- struct{}{}:
	default:
		_ = c.Close()
		return ErrFull
	}
	l.open[from]++
	l.queue <- &conn{Conn: c, from: from, release: sync.OnceFunc(func() { l.leave(from) })} // has room: it has a slot
	return nil
}

// leave gives back the slot of a connection that has ended.
func (l *listener) leave(from model.UID) {
	<-l.slots
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[from]--; l.open[from] == 0 {
		delete(l.open, from)
	}
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.queue:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. It closes what nobody has accepted.
func (l *listener) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	close(l.done)
	l.mu.Unlock()
	for len(l.queue) > 0 {
		select {
		case c := <-l.queue:
			_ = c.Close()
		default: // accepted just now: the server's
		}
	}
	return nil
}

// Addr implements net.Listener.
func (l *listener) Addr() net.Addr { return memberAddr{} }

// conn is a connection of a member.
type conn struct {
	net.Conn

	from    model.UID
	release func() // gives its slot back
}

// Close implements net.Conn.
func (c *conn) Close() error {
	defer c.release()
	return c.Conn.Close() //nolint:wrapcheck // a wrapper adds nothing
}

// RemoteAddr names the member: how the connection came here says nothing.
func (c *conn) RemoteAddr() net.Addr { return memberAddr{c.from} }

// memberAddr is a member's address in the overlay.
type memberAddr struct{ uid model.UID }

// Network implements net.Addr.
func (memberAddr) Network() string { return "overlay" }

// String implements net.Addr.
func (a memberAddr) String() string { return a.uid.String() }

// debugLog takes net/http's own messages: connections end as members do.
type debugLog struct{ log *slog.Logger }

// Write logs one message.
func (l debugLog) Write(p []byte) (int, error) {
	l.log.Debug("overlay http server", "message", string(p))
	return len(p), nil
}
