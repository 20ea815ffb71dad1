package socksproxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/netip"
	"slices"

	"github.com/armon/go-socks5"
)

// Of RFC 1928.
const (
	socksVersion     = 5
	methodNone       = socks5.NoAuth
	methodCredential = socks5.UserPassAuth
)

// socks5Front is SOCKS5. go-socks5 reads and writes what the protocol says; it
// gets to choose nothing and to carry nothing.
type socks5Front struct{}

var _ front = socks5Front{}

// negotiate implements front.
func (socks5Front) negotiate(s *session) (early []byte, err error) {
	greeting, err := greet(s)
	if err != nil {
		return nil, err
	}
	n := &negotiation{Conn: s.conn, session: s, reader: io.MultiReader(bytes.NewReader(greeting), s.read)}
	server, err := socks5.New(&socks5.Config{
		AuthMethods: []socks5.Authenticator{socks5.NoAuthAuthenticator{}, socks5.UserPassAuthenticator{Credentials: n}},
		Resolver:    n, Rules: n, Dial: n.dial,
		Logger: log.New(io.Discard, "", 0), // its errors come back, too
	})
	if err != nil {
		return nil, fmt.Errorf("make socks server: %w", err)
	}
	if err := server.ServeConn(n); err != nil {
		return nil, fmt.Errorf("negotiate: %w", errors.Join(err, n.err))
	}
	rest, err := s.read.Peek(s.read.Buffered())
	return append(n.early.Bytes(), rest...), err //nolint:wrapcheck // of what is there already
}

// greet reads which ways to log in the client offers, and returns the greeting
// that offers the one of them that counts: go-socks5 takes the first it knows.
func greet(s *session) ([]byte, error) {
	head := make([]byte, 2)
	if _, err := io.ReadFull(s.read, head); err != nil {
		return nil, fmt.Errorf("read greeting: %w", err)
	}
	methods := make([]byte, head[1])
	if _, err := io.ReadFull(s.read, methods); err != nil {
		return nil, fmt.Errorf("read greeting: %w", err)
	}
	switch {
	case s.own && slices.Contains(methods, methodCredential):
		return []byte{socksVersion, 1, methodCredential}, nil
	case slices.Contains(methods, methodNone) && (!s.own || s.byAddress() == nil):
		return []byte{socksVersion, 1, methodNone}, nil
	}
	return []byte{socksVersion, 0}, nil // which is answered with: none is good enough
}

// negotiation is the client's connection, and all else that go-socks5 asks for.
type negotiation struct {
	net.Conn

	session *session
	reader  io.Reader
	err     error        // why it was not connected
	early   bytes.Buffer // what the client sent ahead
}

// Read implements net.Conn.
func (n *negotiation) Read(p []byte) (int, error) { return n.reader.Read(p) } //nolint:wrapcheck // io.EOF is one

// Write implements net.Conn: an answer, for which there is always time.
func (n *negotiation) Write(p []byte) (int, error) {
	n.session.soon()
	return n.Conn.Write(p) //nolint:wrapcheck // it names the peer
}

// Close implements net.Conn. The session closes it.
func (n *negotiation) Close() error { return nil }

// WriteTo makes go-socks5 carry nothing: the relay reads the rest.
func (n *negotiation) WriteTo(io.Writer) (int64, error) { return 0, nil }

// Valid implements socks5.CredentialStore.
func (n *negotiation) Valid(user, password string) bool {
	n.err = n.session.login(user, password)
	return n.err == nil
}

// Resolve implements socks5.NameResolver: nothing is looked up before the
// rules, and then only what they lead to.
func (n *negotiation) Resolve(ctx context.Context, _ string) (context.Context, net.IP, error) {
	return ctx, nil, nil
}

// Allow implements socks5.RuleSet. It connects already, as what the rules say
// depends on the addresses that a name has.
func (n *negotiation) Allow(ctx context.Context, r *socks5.Request) (context.Context, bool) {
	if r.Command != socks5.ConnectCommand {
		return ctx, true // which is answered with: not supported
	}
	port := uint16(r.DestAddr.Port) //nolint:gosec // read from two bytes
	to := ParseDestination(r.DestAddr.FQDN, port)
	if addr, ok := netip.AddrFromSlice(r.DestAddr.IP); ok {
		to = Destination{Addr: addr.Unmap(), Port: port}
	}
	n.err = n.session.connect(to) // in the time of the session: ctx never ends
	var why *refusal
	return ctx, n.err == nil || errors.As(n.err, &why) && !why.rule
}

// dial hands out what Allow has connected, or why it has not.
func (n *negotiation) dial(context.Context, string, string) (net.Conn, error) {
	if n.err != nil {
		return nil, n.err
	}
	return &connected{Conn: n.session.target, early: &n.early}, nil
}

// connected is the target as go-socks5 sees it: something that takes what the
// client has sent ahead, and says nothing.
type connected struct {
	net.Conn

	early *bytes.Buffer
}

// Write implements net.Conn.
func (c *connected) Write(p []byte) (int, error) { return c.early.Write(p) } //nolint:wrapcheck // never fails

// WriteTo makes go-socks5 carry nothing.
func (c *connected) WriteTo(io.Writer) (int64, error) { return 0, nil }

// Close implements net.Conn. The session closes it.
func (c *connected) Close() error { return nil }
