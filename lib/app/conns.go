package app

import (
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// limitLogPeriod is how often the log says that there are too many connections.
const limitLogPeriod = time.Minute

// connTracker knows the open connections of a server and keeps their number bounded.
type connTracker struct {
	most int
	log  *slog.Logger

	mu       sync.Mutex
	open     map[net.Conn]*connInfo
	clock    uint64 // counts changes: orders the idle connections
	draining bool
	shed     int // connections closed since the last line about it
	toldAt   time.Time
}

// connInfo is what is known of one open connection.
type connInfo struct {
	state   http.ConnState
	opened  time.Time
	changed uint64
}

func newConnTracker(most int, log *slog.Logger) *connTracker {
	return &connTracker{most: most, log: log, open: map[net.Conn]*connInfo{}}
}

// observe is the server's ConnState hook. A connection too many costs the one that has been idle for longest its place,
// and if every one is busy it is refused: so idle clients never lock out busy ones.
func (t *connTracker) observe(c net.Conn, state http.ConnState) {
	victim, tell := t.note(c, state, time.Now())
	if victim != nil {
		cut(victim)
	}
	if tell > 0 {
		t.log.Warn("too many connections, closing idle ones or refusing new ones; see api_max_connections",
			"limit", t.most, "closed", tell)
	}
}

// note updates the table and returns the connection that must go, if any, and how many went since the log was told, if
// it is time to tell it again.
func (t *connTracker) note(c net.Conn, state http.ConnState, now time.Time) (victim net.Conn, tell int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.clock++
	switch state {
	case http.StateClosed, http.StateHijacked:
		delete(t.open, c)
		return nil, 0
	case http.StateNew:
		t.open[c] = &connInfo{state: state, opened: now, changed: t.clock}
	default:
		if info := t.open[c]; info != nil {
			info.state, info.changed = state, t.clock
		}
		return nil, 0
	}
	if t.draining { // accepted in the moment of the stop
		return c, 0
	}
	if len(t.open) <= t.most {
		return nil, 0
	}
	victim = c
	if idle := t.longestIdle(); idle != nil {
		victim = idle
	}
	delete(t.open, victim)
	t.shed++
	if now.Sub(t.toldAt) >= limitLogPeriod {
		tell, t.toldAt, t.shed = t.shed, now, 0
	}
	return victim, tell
}

// longestIdle finds the idle connection whose state changed first, nil if there is none.
func (t *connTracker) longestIdle() net.Conn {
	var found net.Conn
	oldest := t.clock
	for c, info := range t.open {
		if info.state == http.StateIdle && info.changed < oldest {
			found, oldest = c, info.changed
		}
	}
	return found
}

// closeUnused closes the connections that run no request; from now on every new one too.
func (t *connTracker) closeUnused() {
	t.mu.Lock()
	t.draining = true
	var unused []net.Conn
	for c, info := range t.open {
		if info.state == http.StateNew || info.state == http.StateIdle {
			unused = append(unused, c)
		}
	}
	t.mu.Unlock()
	for _, c := range unused {
		cut(c)
	}
}

// cut closes a connection without a farewell: TLS would send one, and wait for a peer that does not read.
func cut(c net.Conn) {
	if secure, ok := c.(*tls.Conn); ok {
		c = secure.NetConn()
	}
	_ = c.Close() // it is gone in any case
}
