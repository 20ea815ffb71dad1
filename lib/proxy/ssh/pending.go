package sshproxy

import (
	"net"
	"net/netip"
	"sync"

	"github.com/aquarium-fish/aquarium-fish/lib/auth"
)

const (
	// maxPending bounds the connections that have not logged in: each takes some
	// 100 KB and, once, a millisecond of CPU.
	maxPending = 256
	// maxPendingFrom bounds those from one address, which may be the gateway of a
	// site.
	maxPendingFrom = 32
)

// pending are the connections that have not logged in. A new one always finds
// room: the oldest of its own address goes for it, or else the oldest of all,
// as whoever means it logs in within a second.
type pending struct {
	mu    sync.Mutex
	order []*visitor // oldest first; guarded by mu
}

// visitor is one of them.
type visitor struct {
	conn net.Conn
	from string
}

// add takes a connection in, and returns one that has to go for it, if any.
func (p *pending) add(conn net.Conn) (v, evicted *visitor) {
	v = &visitor{conn: conn, from: addressOf(conn.RemoteAddr())}
	p.mu.Lock()
	defer p.mu.Unlock()
	same, oldest := 0, -1
	for i, other := range p.order {
		if other.from == v.from {
			if same++; oldest < 0 {
				oldest = i
			}
		}
	}
	switch {
	case same >= maxPendingFrom:
		evicted = p.order[oldest]
	case len(p.order) >= maxPending:
		evicted, oldest = p.order[0], 0
	}
	if evicted != nil {
		p.order = append(p.order[:oldest:oldest], p.order[oldest+1:]...)
	}
	p.order = append(p.order, v)
	return v, evicted
}

// remove takes a connection out, if it is still among them.
func (p *pending) remove(v *visitor) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, other := range p.order {
		if other == v {
			p.order = append(p.order[:i:i], p.order[i+1:]...)
			return
		}
	}
}

// all are those that are there now.
func (p *pending) all() []*visitor {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]*visitor{}, p.order...)
}

// addressOf is what a connection is counted by.
func addressOf(a net.Addr) string {
	port, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return ""
	}
	return auth.Network(port.Addr())
}
