package farm

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"
)

// network is what is between the nodes of a farm.
type network interface {
	// address is where the node's API listens, host:port.
	address(node int) string
	// wrap is the command that has the node's process see this network.
	wrap(node int) []string
	// dial connects as the node would.
	dial(ctx context.Context, node int, address string) (net.Conn, error)
	// listen listens as the node would.
	listen(node int, address string) (net.Listener, error)
}

// port is that of the API of every node: each has an address of its own.
const port = 8001

// reachTimeout is more than a packet takes in a slow farm.
const reachTimeout = time.Second

// loopback has every node see every other; nothing can be broken.
type loopback struct{ addresses []string }

// newLoopback takes addresses that nobody listens on.
func newLoopback(t testing.TB, nodes int) loopback {
	t.Helper()
	var l loopback
	for range nodes {
		free, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = free.Close() }() // when all are found, so that none is given twice
		l.addresses = append(l.addresses, free.Addr().String())
	}
	return l
}

func (l loopback) address(node int) string { return l.addresses[node] }

func (loopback) wrap(int) []string { return nil }

func (loopback) dial(ctx context.Context, _ int, address string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", address)
}

func (loopback) listen(_ int, address string) (net.Listener, error) {
	return net.Listen("tcp", address)
}

// Listen listens where a node is: there 127.0.0.1 is the node's own.
func (f *Farm) Listen(node int, address string) (net.Listener, error) {
	return f.network.listen(node, address)
}

// Dial connects from where a node is.
func (f *Farm) Dial(ctx context.Context, node int, address string) (net.Conn, error) {
	return f.network.dial(ctx, node, address)
}

// Wrap is a command that becomes another one, which then runs where a node is.
// It is empty where all are in one place.
func (f *Farm) Wrap(node int) []string { return f.network.wrap(node) }

// Reach tries to connect to the API of a node from where another one is.
func (f *Farm) Reach(from, to int) error {
	ctx, cancel := context.WithTimeout(f.t.Context(), reachTimeout)
	defer cancel()
	conn, err := f.network.dial(ctx, from, f.network.address(to))
	if err != nil {
		return fmt.Errorf("reach node %d from node %d: %w", to, from, err)
	}
	return conn.Close()
}
