package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// relayTTL is how many links a relay may pass.
const relayTTL = 16

// secureTimeout bounds the handshake of a relay's end.
const secureTimeout = 10 * time.Second

// ErrUnreachable says that no path of links leads to a node.
var ErrUnreachable = errors.New("no path of links leads to the node")

// Dial connects with any other member, over as many neighbours as it takes.
// Those between see only what TLS shows; the other end has proved its key.
func (c *Cluster) Dial(ctx context.Context, node model.UID) (net.Conn, error) {
	if node == c.o.Self.Node {
		return nil, fmt.Errorf("dial node %s: it is this node itself", node)
	}
	next := c.next(node)
	if next == nil {
		return nil, fmt.Errorf("dial node %s: %w", node, ErrUnreachable)
	}
	raw, err := next.OpenRelay(ctx, node, relayTTL-1)
	if err != nil {
		return nil, fmt.Errorf("dial node %s: %w", node, err)
	}
	ctx, cancel := context.WithTimeout(ctx, secureTimeout)
	defer cancel()
	conn, err := c.o.Secure(ctx, raw, &node, true)
	if err != nil {
		_ = raw.Close() // it is given up; the error is the news
		return nil, fmt.Errorf("dial node %s: %w", node, err)
	}
	return conn, nil
}

// next is the link that leads to a node; nil if none does.
func (c *Cluster) next(node model.UID) Link {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := c.links[node]; n != nil {
		return n.link
	}
	hop, _ := c.db.Snapshot(time.Now()).NextHop(node)
	if n := c.links[hop]; n != nil {
		return n.link
	}
	return nil
}

// relay takes in a connection that is for this node or passes through it.
func (c *Cluster) relay(ctx context.Context, dst model.UID, ttl uint8, conn net.Conn) {
	if dst == c.o.Self.Node {
		c.serveRelay(ctx, conn)
		return
	}
	next := c.next(dst)
	switch {
	case ttl == 0:
		reset(conn, "the way is longer than allowed, or goes round in a circle: routes are changing, try again")
	case next == nil:
		reset(conn, fmt.Sprintf("node %q has no way to node %s", c.o.Self.Name, dst))
	default:
		if err := c.o.Transport.Forward(ctx, conn, next, dst, ttl); err != nil {
			c.log.Debug("relay ended", "node", dst, "error", err)
		}
	}
}

// serveRelay secures a connection to this node and hands it on.
func (c *Cluster) serveRelay(ctx context.Context, raw net.Conn) {
	shake, cancel := context.WithTimeout(ctx, secureTimeout)
	defer cancel()
	conn, err := c.o.Secure(shake, raw, nil, false)
	if err != nil {
		c.log.Debug("relay refused", "error", err)
		reset(raw, "the other end could not be proved")
		return
	}
	defer conn.Close()
	if p, ok := conn.(interface{ Peer() model.UID }); ok && c.retired(p.Peer()) {
		c.log.Warn("relay refused: the node at its other end was retired, and who carried it has not heard of that", "node", p.Peer())
		reset(raw, "the node was retired")
		return
	}
	c.o.Serve(ctx, conn)
}

// retired reports whether a node is. Its certificate is good until it expires,
// and a neighbour that knows nothing yet carries what it sends.
func (c *Cluster) retired(node model.UID) bool {
	return slices.ContainsFunc(c.o.Known(), func(k Known) bool { return k.Node == node && k.Retired })
}

// reset ends a relay with a reason, if it takes one.
func reset(conn net.Conn, reason string) {
	if r, ok := conn.(interface{ Reset(reason string) }); ok {
		r.Reset(reason)
		return
	}
	_ = conn.Close() // it is given up
}
