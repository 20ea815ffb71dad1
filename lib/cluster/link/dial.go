package link

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// Dial makes a link to the node at address, host:port. want, if not nil, is
// the node that has to be there. A *Refused says that one of the two sides
// does not want the link; both logged it.
func (t *Transport) Dial(ctx context.Context, address string, want *model.UID, hello wire.Hello) (*Link, error) {
	serving, handlers, ok := t.enter()
	if !ok {
		return nil, fmt.Errorf("dial %s: %w", address, notReady())
	}
	defer t.leave()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(serving, cancel)() //nolint:contextcheck // the node may stop before ctx does

	raw, err := t.connect(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", address, err)
	}
	l, err := t.greet(ctx, raw, address, want, begun{peer: hello, outgoing: true, relay: handlers.Relay})
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", address, err)
	}
	return l, nil
}

// greet does the handshake and the hellos on a connection that was dialled.
func (t *Transport) greet(ctx context.Context, raw net.Conn, address string, want *model.UID, b begun) (*Link, error) {
	ctx, cancel := context.WithTimeout(ctx, t.o.Limits.Handshake)
	defer cancel()
	conn := tls.Client(raw, t.clientTLS(ALPN))
	if err := conn.HandshakeContext(ctx); err != nil {
		abort(raw)
		return nil, handshakeError(err)
	}
	lift := bound(ctx, conn)
	defer lift()
	id, no := identify(conn.ConnectionState().PeerCertificates, t.o.Roots(), time.Now())
	if no == nil {
		no = id.expect(want, address)
	}
	if no != nil {
		return nil, t.turnBack(conn, no, address, id)
	}
	theirs, err := t.exchange(conn, b.peer)
	if err != nil {
		if no := (*Refused)(nil); errors.As(err, &no) {
			no.Node = id.node
			t.logRefused(no, address, id)
		}
		abort(raw)
		return nil, err
	}
	b.peer = theirs
	lift()
	return t.settle(conn, id, address, b)
}

// turnBack refuses the side that was dialled, and adds what that side had to
// say, as it may be it that is right.
func (t *Transport) turnBack(conn net.Conn, no *Refused, address string, id identity) *Refused {
	if theirs := t.farewell(conn, no); theirs != nil {
		no.Text = cutText(no.Text + "; the other side says: " + theirs.Text)
	}
	no.Node = id.node
	t.logRefused(no, address, id)
	return no
}

// exchange sends the own hello and returns the other one.
func (t *Transport) exchange(conn net.Conn, hello wire.Hello) (wire.Hello, error) {
	if err := wire.WriteFrame(conn, hello); err != nil {
		return wire.Hello{}, err
	}
	theirs, err := readHello(conn)
	if err != nil {
		return theirs, fmt.Errorf("wait for hello: %w", err)
	}
	return theirs, nil
}

// settle begins the link, and ends it again if the other hello is not in
// order: the other side has begun it already, so that is how it is told.
func (t *Transport) settle(conn net.Conn, id identity, address string, b begun) (*Link, error) {
	version, err := t.checkHello(b.peer, id)
	b.protocol = version
	l, startErr := t.start(conn, id, b)
	if startErr != nil || err == nil {
		return l, startErr
	}
	no := asRefused(err, wire.CodeMisbehaving)
	no.Node = id.node
	t.logRefused(no, address, id)
	l.Close(no.Code, no.Text)
	<-l.Done()
	return nil, no
}

// clientTLS shows the node's certificate to whoever asks, and takes any: what
// is wrong with the other one is said after the handshake, in words, before
// anything else.
func (t *Transport) clientTLS(protocol string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{protocol}, InsecureSkipVerify: true, // identify checks, and closes
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return t.ownCertificate() },
	}
}

// handshakeError says what a failed handshake may mean.
func handshakeError(err error) error {
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &record):
		return fmt.Errorf("there is something at this port that speaks no TLS: correct the address: %w", err)
	case strings.Contains(err.Error(), "no application protocol"): // an alert's type is not exported
		return fmt.Errorf("there is a server at this port that is in no cluster: correct the address, or upgrade that node: %w", err)
	}
	return fmt.Errorf("TLS handshake: %w", err)
}
