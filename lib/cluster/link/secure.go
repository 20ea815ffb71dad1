package link

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// relayALPN is the protocol inside relays: nobody between can pass a relay for
// a link, nor a link for a relay.
const relayALPN = "aquarium-relay/1"

// Secured is a connection whose other end proved its key, whatever carries it.
type Secured struct {
	*tls.Conn
	peer identity
}

// Peer is the node at the other end.
func (s *Secured) Peer() model.UID { return s.peer.node }

// Write implements net.Conn. It cuts what is written so that each record of
// TLS fits one frame of a relay, and that one record of each link on the way:
// else each would travel in two.
func (s *Secured) Write(b []byte) (n int, err error) {
	return cut{s.Conn, securedPiece}.Write(b)
}

// Secure runs mutual TLS 1.3 inside a connection, as its client or its server,
// and returns when both sides have taken the other's certificate. want, if not
// nil, is the node that has to be there. It owns conn: after an error that is
// closed, and a refusal was told to the other side.
func (t *Transport) Secure(ctx context.Context, conn net.Conn, want *model.UID, client bool) (*Secured, error) {
	ctx, cancel := context.WithTimeout(ctx, t.o.Limits.Handshake)
	defer cancel()
	lift := bound(ctx, conn)
	defer lift()
	s := &Secured{}
	if client {
		s.Conn = tls.Client(conn, t.clientTLS(relayALPN))
	} else {
		s.Conn = tls.Server(conn, t.serverTLS(relayALPN))
	}
	if err := s.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("secure connection: %w", err)
	}
	var no *Refused
	if s.peer, no = identify(s.ConnectionState().PeerCertificates, t.o.Roots(), time.Now()); no == nil {
		no = s.peer.expect(want, "the other end of the relay")
	}
	if no != nil {
		t.logStranger(no, conn.RemoteAddr().String())
		_ = t.farewell(s.Conn, no)
		return nil, no
	}
	if err := t.agree(s); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("secure connection: %w", err)
	}
	return s, nil
}

// agree tells the other end that it is taken, and waits for the same: in TLS
// 1.3 a client's handshake is over before its certificate was looked at.
func (t *Transport) agree(s *Secured) error {
	if err := wire.WriteFrame(s.Conn, wire.Refuse{}); err != nil { // code 0: nothing is refused
		return err
	}
	m, err := wire.ReadOpening(s.Conn)
	if err != nil {
		return err
	}
	r, ok := m.(wire.Refuse)
	switch {
	case !ok:
		return refuse(wire.CodeMisbehaving, "the first thing sent was no agreement: is it another program?")
	case r.Code != 0:
		no := told(r)
		t.logRefused(no, s.RemoteAddr().String(), s.peer)
		return no
	}
	return nil
}
