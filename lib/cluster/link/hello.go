package link

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
)

// strangerBytes is what is read, and thrown away, of one that is refused: its
// hello may be on the way, and closing on it would cut off the reason.
const strangerBytes = 64 << 10

// readHello reads the first frame of a neighbour: its hello, or why it wants
// no link, which is then the error.
func readHello(conn io.Reader) (wire.Hello, error) {
	message, err := wire.ReadOpening(io.LimitReader(conn, wire.MaxControl))
	switch m := message.(type) {
	case wire.Hello:
		return m, err
	case wire.Refuse:
		return wire.Hello{}, told(m)
	}
	if err == nil || errors.Is(err, wire.ErrMalformed) {
		return wire.Hello{}, refuse(wire.CodeMisbehaving, "the first thing sent was no hello: is another program talking to this port?")
	}
	return wire.Hello{}, err
}

// checkHello holds a hello against what the neighbour proved, and returns the
// version of the protocol that both speak.
func (t *Transport) checkHello(h wire.Hello, id identity) (uint16, error) {
	switch {
	case h.Node != id.node:
		return 0, refuse(wire.CodeKey, "the hello is of node %s, the certificate's key is that of %s", h.Node, id)
	case h.Node == t.self && h.Boot == t.o.Boot:
		return 0, refuse(wire.CodeSelf, "the node dialled itself: nothing to do, its own address may stay in cluster_join")
	case h.Node == t.self:
		return 0, refuse(wire.CodeTwin, "two running processes use the key of node %s: stop one of them; "+
			"a copied machine needs a key and a name of its own (`aquarium-fish cluster join`)", id)
	case h.ProtocolMin > wire.ProtocolMax || h.ProtocolMax < wire.ProtocolMin || h.ProtocolMin > h.ProtocolMax:
		return 0, refuse(wire.CodeProtocol, "node %s speaks versions %d to %d of the protocol, this node %d to %d: upgrade the older one",
			id, h.ProtocolMin, h.ProtocolMax, wire.ProtocolMin, wire.ProtocolMax)
	}
	return min(h.ProtocolMax, wire.ProtocolMax), nil
}

// farewell tells the other side why there is no link, gives it a moment to
// read that, and closes. It returns the other side's own refusal, if that came
// instead of a hello.
func (t *Transport) farewell(conn net.Conn, no *Refused) *Refused {
	defer abort(conn)
	_ = conn.SetDeadline(time.Now().Add(t.o.Limits.Farewell)) // without one abort still ends it
	if wire.WriteFrame(conn, no.frame()) != nil {
		return nil
	}
	if c, ok := conn.(interface{ CloseWrite() error }); ok {
		_ = c.CloseWrite() // the text is out; what follows only waits for it to be read
	}
	rest := io.LimitReader(conn, strangerBytes)
	var theirs *Refused
	if m, err := wire.ReadOpening(rest); err == nil {
		if r, ok := m.(wire.Refuse); ok {
			theirs = told(r)
		}
	}
	_, _ = io.Copy(io.Discard, rest) // ends with the connection, its deadline or the limit
	return theirs
}

// bound lets what goes on with conn fail when ctx is done. The function that
// it returns lifts that, and clears all deadlines; further calls do nothing.
func bound(ctx context.Context, conn net.Conn) (lift func()) {
	fired := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(fired)
		_ = conn.SetDeadline(time.Unix(1, 0)) // a connection that takes none is closed by its user
	})
	return sync.OnceFunc(func() {
		if !stop() {
			<-fired
		}
		_ = conn.SetDeadline(time.Time{})
	})
}

// abort closes a connection without TLS's farewell, which could wait for a
// peer that does not read.
func abort(conn net.Conn) {
	for c, ok := conn.(interface{ NetConn() net.Conn }); ok; c, ok = conn.(interface{ NetConn() net.Conn }) {
		conn = c.NetConn()
	}
	_ = conn.Close() // it is gone in any case
}
