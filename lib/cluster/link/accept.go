package link

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
)

// Attach makes an HTTPS server take links beside HTTP/1.1 and HTTP/2. Call it
// before the server serves. What does not ask for a link gets the server's own
// TLS configuration, unchanged.
func (t *Transport) Attach(server *http.Server) {
	base := server.TLSConfig
	if base == nil {
		base = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	config := base.Clone()
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if slices.Contains(hello.SupportedProtos, ALPN) {
			return t.serverTLS(ALPN), nil
		}
		if base.GetConfigForClient != nil {
			return base.GetConfigForClient(hello)
		}
		return nil, nil //nolint:nilnil // means: as it is
	}
	server.TLSConfig = config
	if server.TLSNextProto == nil {
		server.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){}
	}
	server.TLSNextProto[ALPN] = t.NextProto
	if server.Protocols == nil { // a filled TLSNextProto alone would switch HTTP/2 off
		server.Protocols = new(http.Protocols)
		server.Protocols.SetHTTP1(true)
		server.Protocols.SetHTTP2(true)
	}
}

// serverTLS takes every certificate, or none: what is wrong with it is said
// after the handshake, in words. That the neighbour has the key of what it
// shows, TLS makes sure of. Without tickets each handshake proves it anew.
func (t *Transport) serverTLS(protocol string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{protocol}, ClientAuth: tls.RequestClientCert, SessionTicketsDisabled: true,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return t.ownCertificate() },
	}
}

func (t *Transport) ownCertificate() (*tls.Certificate, error) {
	if c := t.o.Certificate(); c != nil {
		return c, nil
	}
	return nil, errors.New("read own certificate: there is none")
}

// NextProto is the function for http.Server.TLSNextProto. It owns the
// connection, and returns when the link has ended.
func (t *Transport) NextProto(server *http.Server, conn *tls.Conn, _ http.Handler) {
	ctx, handlers, serving := t.enter()
	if !serving {
		t.turnAway(conn, notReady())
		return
	}
	defer t.leave()
	state := conn.ConnectionState()
	if state.Version < tls.VersionTLS13 {
		t.turnAway(conn, refuse(wire.CodeProtocol, "a link needs TLS 1.3"))
		return
	}
	id, no := identify(state.PeerCertificates, t.o.Roots(), time.Now())
	if no != nil {
		t.turnAway(conn, no)
		return
	}
	if server != nil && server.ConnState != nil {
		// No longer a client's connection: the server neither counts it nor cuts it as an unused one.
		server.ConnState(conn, http.StateHijacked)
	}
	if l := t.admit(ctx, conn, id, handlers); l != nil {
		<-l.Done()
	}
}

// turnAway refuses who has not proved to be a neighbour. Nothing that it sends
// is acted on; while many of them come they are cut without a word.
func (t *Transport) turnAway(conn net.Conn, no *Refused) {
	t.logStranger(no, conn.RemoteAddr().String())
	select {
	case t.strangers <- struct{}{}:
		defer func() { <-t.strangers }()
		_ = t.farewell(conn, no)
	default:
		abort(conn)
	}
}

// admit exchanges hellos with a neighbour and asks the handler; nil if there
// is to be no link.
func (t *Transport) admit(ctx context.Context, conn net.Conn, id identity, h Handlers) *Link {
	ctx, cancel := context.WithTimeout(ctx, t.o.Limits.Handshake)
	defer cancel()
	p := &Pending{t: t, conn: conn, id: id, relay: h.Relay, address: conn.RemoteAddr().String(), lift: func() {}}
	done, few := t.ask(id.node)
	if !few {
		t.logRefused(refuse(wire.CodeBusy, "the node asks for too many links at once"), p.address, id)
		abort(conn)
		return nil
	}
	defer done()
	select {
	case t.pending <- struct{}{}:
		defer func() { <-t.pending }()
	default:
		p.refuse(refuse(wire.CodeBusy, "too many nodes ask for a link at once: ask again later"))
		return nil
	}
	p.lift = bound(ctx, conn)
	defer p.lift()
	hello, err := readHello(conn)
	if err == nil {
		p.hello = hello
		p.protocol, err = t.checkHello(hello, id)
	}
	if err != nil {
		p.failed(err)
		return nil
	}
	h.Incoming(ctx, p)
	if !p.decided {
		p.refuse(refuse(wire.CodeBusy, "the node came to no decision: ask again later"))
	}
	return p.link
}

// Pending is a neighbour that proved who it is, and asks for a link. It is for
// one goroutine, and until the handler returns.
type Pending struct {
	t        *Transport
	conn     net.Conn
	id       identity
	relay    relayHandler
	address  string
	hello    wire.Hello
	protocol uint16
	lift     func() // ends the bound of the handshake's time
	decided  bool
	link     *Link
}

// Hello is what the neighbour says of itself; its Node is proved.
func (p *Pending) Hello() wire.Hello { return p.hello }

// Address is where the neighbour's connection comes from.
func (p *Pending) Address() string { return p.address }

// Accept answers with the node's own hello and begins the link.
func (p *Pending) Accept(hello wire.Hello) (*Link, error) {
	if p.decided {
		return nil, errors.New("accept link: it is decided already")
	}
	p.decided = true
	if err := wire.WriteFrame(p.conn, hello); err != nil {
		abort(p.conn)
		return nil, err
	}
	p.lift()
	l, err := p.t.start(p.conn, p.id, begun{peer: p.hello, protocol: p.protocol, relay: p.relay})
	p.link = l
	return l, err
}

// Refuse answers that there will be no link; both sides log it.
func (p *Pending) Refuse(r wire.Refuse) {
	if !p.decided {
		p.refuse(&Refused{Code: r.Code, Text: cutText(r.Text), Try: r.Try})
	}
}

func (p *Pending) refuse(no *Refused) {
	p.decided = true
	p.t.logRefused(no, p.address, p.id)
	_ = p.t.farewell(p.conn, no)
}

// failed ends a handshake that went wrong: the neighbour refused, sent what is
// no hello, or went away.
func (p *Pending) failed(err error) {
	if no := (*Refused)(nil); errors.As(err, &no) && !no.Remote {
		p.refuse(no)
		return
	} else if no != nil {
		p.t.logRefused(no, p.address, p.id)
	} else {
		p.t.o.Log.Debug("link not made", "address", p.address, "node", p.id.node, "error", err)
	}
	abort(p.conn)
}
