package socksproxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/audit"
	"github.com/aquarium-fish/aquarium-fish/lib/auth"
	"github.com/aquarium-fish/aquarium-fish/lib/caller"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// maxHandshake bounds what a client sends before it is connected: the headers
// of a request, with room to spare.
const maxHandshake = 16 << 10

// grace is how long an answer may take to be sent, and a client to read it.
const grace = 2 * time.Second

// front speaks one protocol with a client until that is connected or refused.
type front interface {
	// negotiate reads what the client wants, has the session do it, and
	// answers. It returns what the client sent ahead.
	negotiate(s *session) (early []byte, err error)
}

// session is one connection of a client.
type session struct {
	server *Server
	conn   *net.TCPConn
	read   *bufio.Reader // of conn, at most maxHandshake
	left   *io.LimitedReader
	from   netip.Addr
	own    bool // from is this host's

	ctx    context.Context
	cancel context.CancelCauseFunc

	slot    slots  // where it is counted while its environment is not known
	leave   func() // gives its place in the account back
	account *account

	target *net.TCPConn // what it is connected to
	to     Destination
	via    Decision
}

// serve takes one connection from its beginning to its end. It has a slot of
// those that arrive.
func (s *Server) serve(ctx context.Context, conn *net.TCPConn) {
	ctx, cancel := context.WithCancelCause(ctx)
	left := &io.LimitedReader{R: conn, N: maxHandshake}
	c := &session{
		server: s, conn: conn, left: left, read: bufio.NewReader(left), ctx: ctx, cancel: cancel, slot: s.arriving, leave: func() {},
	}
	defer c.end()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	_ = conn.SetDeadline(time.Now().Add(s.opts.Limits.Handshake)) // fails as the read does
	if err := c.meet(); err != nil {                              //nolint:contextcheck // a session has its own
		s.refuseUnread(conn, err)
		return
	}
	first, err := c.read.Peek(1)
	if err != nil {
		return // silent, or gone: its slot was all that it cost
	}
	var f front
	switch b := first[0]; {
	case b == socksVersion:
		f = socks5Front{}
	case 'A' <= b && b <= 'Z' || 'a' <= b && b <= 'z':
		f = connectFront{}
	default:
		return
	}
	early, err := f.negotiate(c)
	if err != nil || c.target == nil {
		s.opts.Logger.Debug("socks connection not made", "address", c.from, "destination", c.to, "error", err)
		c.farewell()
		return
	}
	stop()
	c.relay(early)
}

// end gives everything back.
func (c *session) end() {
	c.cancel(nil)
	_ = c.conn.Close() // it is in most cases
	if c.target != nil {
		_ = c.target.Close()
	}
	c.leave()
	if c.slot != nil {
		c.slot.give()
	}
}

// meet finds out whose address the client has. An environment with an address
// of its own is known from here on.
func (c *session) meet() error {
	from, ok := caller.Address(c.conn.RemoteAddr())
	if !ok {
		return errors.New("the connection has no address")
	}
	own, err := c.server.opts.Callers.IsOwn(from)
	if err != nil {
		if c.server.seldom.Due("own") {
			c.server.opts.Logger.Warn("socks connection refused: own addresses are not known", "error", err)
		}
		return fmt.Errorf("list own addresses: %w", err)
	}
	if c.from, c.own = from, own; own {
		return c.move(c.server.here)
	}
	ctx, cancel := context.WithTimeout(c.ctx, c.server.opts.Limits.Handshake)
	defer cancel()
	entry, err := c.server.opts.Callers.OnlyByAddress(ctx, from)
	if err != nil {
		return c.move(c.server.strangers)
	}
	return c.admit(entry)
}

// move counts the session where it belongs, so that those who just come find room.
func (c *session) move(to slots) error {
	if !to.take() {
		return errFull
	}
	c.slot.give()
	c.slot = to
	return nil
}

// admit counts the session among those of its environment, at that one's rate.
func (c *session) admit(e *model.Entry) error {
	s := c.server
	acc, leave, err := s.accounts.enter(e, c.cancel)
	if err == nil {
		c.leave = leave
		ctx, cancel := context.WithTimeout(c.ctx, s.opts.Limits.Handshake)
		defer cancel()
		c.slot.give()
		c.slot = nil
		err = acc.wait(ctx)
	}
	if err != nil {
		s.tell(c.use(acc, audit.ResultLimited), err.Error())
		return err
	}
	if !s.alive(acc) { // it ended meanwhile, and nobody will tell of it again
		s.endGone()
		return errEnded
	}
	c.account = acc
	return nil
}

// byAddress is for a client that shows no credential.
func (c *session) byAddress() error {
	if c.account != nil {
		return nil
	}
	if !c.own {
		return c.unknown(notAllowed("this proxy is for the environments of its node: none of them has the address "+c.from.String(), nil),
			"environment not known")
	}
	ctx, cancel := context.WithTimeout(c.ctx, c.server.opts.Limits.Handshake)
	defer cancel()
	entry, err := c.server.opts.Callers.OnlyByAddress(ctx, c.from)
	if err != nil {
		return c.unknown(needCredential("environments of this host show the user name and password that their metadata has for the proxy"),
			"no credential")
	}
	return c.admit(entry)
}

// unknown notes that nobody knows the client's environment.
func (c *session) unknown(why *refusal, detail string) error {
	c.server.tell(c.use(nil, why.result), detail)
	return why
}

// login is for a client of this host that shows a credential.
func (c *session) login(user, password string) error {
	ctx, cancel := context.WithTimeout(c.ctx, c.server.opts.Limits.Handshake)
	defer cancel()
	entry, err := c.server.opts.Callers.ByCredential(ctx, c.from, user, password)
	switch {
	case errors.Is(err, caller.ErrSecret):
		return c.unknown(needCredential("no environment of this host has that user name and password while it is ALLOCATED: they are in its metadata"),
			"wrong credential")
	case err != nil:
		return c.unknown(tooMuch("the node is busy or stops, try again in a moment"), err.Error())
	}
	return c.admit(entry)
}

// connect connects the client to what it wants. The error is a *refusal.
func (c *session) connect(to Destination) error {
	s := c.server
	c.to = to
	if err := c.byAddress(); err != nil {
		return err
	}
	target, via, err := s.reacher.reach(c.ctx, request{
		mappings: s.opts.Store.ServiceMappings(), application: c.account.application, location: s.opts.Location, to: to,
	})
	if err != nil {
		c.refused(err)
		return err
	}
	c.target, c.via = target, via
	s.tell(c.use(c.account, audit.ResultOK), via.describe())
	return nil
}

// refused notes why the client is not connected.
func (c *session) refused(err error) {
	r := (*refusal)(nil)
	if !errors.As(err, &r) {
		return
	}
	detail := r.text
	if r.cause != nil {
		detail = r.cause.Error()
	}
	c.server.tell(c.use(c.account, r.result), detail)
}

// describe says for the audit where a mapping leads.
func (d Decision) describe() string {
	return "to " + d.To.String() + " by mapping " + d.Mapping.UID.String()
}

// use is what the audit says of the session.
func (c *session) use(acc *account, result audit.Result) use {
	u := use{address: c.from.String(), result: result}
	if acc == nil {
		u.address = auth.Network(c.from)
		return u
	}
	u.resource, u.owner = acc.resource, acc.owner
	if c.to.Port != 0 {
		u.destination = c.to.String()
	}
	return u
}

// soon lets an answer be sent, however long the client took before.
func (c *session) soon() { _ = c.conn.SetWriteDeadline(time.Now().Add(grace)) }

// farewell lets the client read its answer: closed with bytes unread the
// connection would be reset, and the answer lost.
func (c *session) farewell() {
	if c.conn.CloseWrite() != nil {
		return
	}
	_ = c.conn.SetReadDeadline(time.Now().Add(grace)) // fails as the read does
	_, _ = io.CopyN(io.Discard, c.conn, 1<<20)        // only its end counts
}

// relay carries what is said until both are done.
func (c *session) relay(early []byte) {
	s := c.server
	_ = c.conn.SetDeadline(time.Time{})
	start := time.Now()
	r := newRelay(c.conn, c.target, s.opts.Limits.Idle)
	err := r.run(c.ctx, early)
	sent, received := r.sent.Load(), r.received.Load()
	s.accounts.add(c.account, sent, received)
	s.tallies.moved(c.use(c.account, audit.ResultOK), sent, received, time.Now())
	s.opts.Logger.Debug("socks connection ended", "resource", c.account.resource, "application", c.account.application,
		"address", c.from, "destination", c.to, "target", c.target.RemoteAddr(), "mapping", c.via.Mapping.UID,
		"sent", sent, "received", received, "duration", time.Since(start), "error", err)
}
