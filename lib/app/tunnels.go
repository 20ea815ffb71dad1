package app

import (
	"context"
	"fmt"
	"net"
	"sync"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// tunnels are the connections with other members that are open, whoever opened them. They run through relays, so that
// the end of a retired member's links does not end them: they are ended one by one. The zero value is not ready.
type tunnels struct {
	dialer  tunnelDialer
	retired func(node model.UID) bool

	mu   sync.Mutex
	open map[*tunnel]struct{} // guarded by mu
}

// tunnelDialer connects to members, end to end.
type tunnelDialer interface {
	Dial(ctx context.Context, member model.UID) (net.Conn, error)
}

func newTunnels(dialer tunnelDialer, retired func(node model.UID) bool) *tunnels {
	return &tunnels{dialer: dialer, retired: retired, open: map[*tunnel]struct{}{}}
}

// Dial implements overlay.Dialer.
func (t *tunnels) Dial(ctx context.Context, member model.UID) (net.Conn, error) {
	conn, err := t.dialer.Dial(ctx, member)
	if err != nil {
		return nil, fmt.Errorf("connect to member: %w", err)
	}
	return t.keep(conn, member), nil
}

// Dial connects to another member, end to end, for as long as that one is not retired.
func (m *member) Dial(ctx context.Context, member model.UID) (net.Conn, error) {
	return m.tunnels.Dial(ctx, member)
}

// keep ends the connection when the member is retired, or at once if it was meanwhile.
func (t *tunnels) keep(conn net.Conn, member model.UID) net.Conn {
	c := &tunnel{Conn: conn, member: member, of: t}
	t.mu.Lock()
	t.open[c] = struct{}{}
	t.mu.Unlock()
	if t.retired(member) {
		_ = c.Close() // whoever uses it finds out
	}
	return c
}

// endRetired ends those of members that were retired since.
func (t *tunnels) endRetired() {
	var ending []*tunnel
	t.mu.Lock()
	for c := range t.open {
		if t.retired(c.member) {
			ending = append(ending, c)
		}
	}
	t.mu.Unlock()
	for _, c := range ending {
		_ = c.Close() // whoever uses it finds out
	}
}

// tunnel is one of them.
type tunnel struct {
	net.Conn

	member model.UID
	of     *tunnels
}

// Close implements net.Conn.
func (c *tunnel) Close() error {
	c.of.mu.Lock()
	delete(c.of.open, c)
	c.of.mu.Unlock()
	return c.Conn.Close() //nolint:wrapcheck // a wrapper adds nothing
}
