package overlay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

const (
	// dialTimeout bounds the making of a connection, also of one that nobody
	// waits for any more: it serves the next request. It is what the handshakes
	// take over sixteen slow hops.
	dialTimeout = 5 * time.Second
	// idleTimeout is how long a connection to a member is kept unused; shorter
	// than the other side does, so that a request seldom meets its end.
	idleTimeout = 30 * time.Second
	// maxConns bounds the connections to one member, and so what one member
	// can be made to do by another's clients.
	maxConns = 64
	// maxIdle is how many of them are kept.
	maxIdle = 4
)

// Dialer connects to members. The connection is authenticated and encrypted
// end to end.
type Dialer interface {
	Dial(ctx context.Context, member model.UID) (net.Conn, error)
}

// UnreachableError says that no connection to the member was made, so that
// nothing was asked of it.
type UnreachableError struct{ Err error }

// Error implements error.
func (e *UnreachableError) Error() string { return "reach member: " + e.Err.Error() }

// Unwrap returns the reason.
func (e *UnreachableError) Unwrap() error { return e.Err }

// Client asks members. It is safe for use by many goroutines.
type Client struct {
	dialer    Dialer
	transport *http.Transport
}

// NewClient makes a client. Close ends it.
func NewClient(d Dialer) *Client {
	return &Client{dialer: d, transport: &http.Transport{
		DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			return dial(ctx, d, address)
		},
		DisableCompression: true, // links compress, or are local
		MaxConnsPerHost:    maxConns, MaxIdleConnsPerHost: maxIdle, IdleConnTimeout: idleTimeout,
		MaxResponseHeaderBytes: maxAnswerHeader,
	}}
}

// dial connects to the member that a URL names as its host.
func dial(ctx context.Context, d Dialer, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, &UnreachableError{err}
	}
	member, err := uuid.Parse(host)
	if err != nil {
		return nil, &UnreachableError{err}
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := d.Dial(ctx, member)
	if err != nil {
		return nil, &UnreachableError{err}
	}
	return conn, nil
}

// Request is what is asked of a member.
type Request struct {
	Method string
	// Path is escaped, and begins with a slash; Query is raw.
	Path, Query string
	// Header is sent as it is.
	Header http.Header
	// Body is sent as it is; nil for none.
	Body []byte
	// Once: a request by GET changes something, so it is not sent a second time
	// when a connection ends. Those by other methods never are.
	Once bool
}

// Do asks a member. Within ctx the answer has to begin and to end: closing its
// body releases what it holds. *UnreachableError says that nothing was asked;
// after another error the member may have done it.
func (c *Client) Do(ctx context.Context, member model.UID, e Envelope, r Request) (*http.Response, error) {
	req, err := newRequest(ctx, member, r)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	e.put(req.Header)
	res, err := c.transport.RoundTrip(req)
	if err == nil {
		return res, nil
	}
	if unreachable, ok := errors.AsType[*UnreachableError](err); ok {
		return nil, unreachable
	}
	return nil, fmt.Errorf("ask member: %w", err)
}

// Close closes the connections that are not in use.
func (c *Client) Close() { c.transport.CloseIdleConnections() }
