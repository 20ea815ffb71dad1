package relay

import (
	"net"
	"sync"
)

// Wire is the connection below one side. It tells whether the side has ended
// its stream, or its connection has ended: what comes out of a channel of
// crypto/ssh is io.EOF in both cases, and to pass the second on as the first
// would make half a file look like a whole one.
type Wire struct {
	net.Conn

	mu      sync.Mutex
	changed *sync.Cond // of what follows
	reading bool       // somebody is inside Read: all that came before has been taken in
	over    bool       // nothing comes any more
}

// NewWire watches a connection. It is to be given to crypto/ssh in its place.
func NewWire(c net.Conn) *Wire {
	w := &Wire{Conn: c}
	w.changed = sync.NewCond(&w.mu)
	return w
}

// Read implements net.Conn.
func (w *Wire) Read(p []byte) (int, error) {
	w.note(true, false)
	n, err := w.Conn.Read(p)
	w.note(false, err != nil)
	return n, err //nolint:wrapcheck // a wrapper adds nothing
}

func (w *Wire) note(reading, over bool) {
	w.mu.Lock()
	w.reading, w.over = reading, w.over || over
	w.changed.Broadcast()
	w.mu.Unlock()
}

// End says that the SSH connection over the wire has ended, by a message or by
// a fault of its protocol: then nobody reads any more, and Read would not tell.
func (w *Wire) End() { w.note(false, true) }

// Ended reports whether the other side is known to have gone; it does not wait.
func (w *Wire) Ended() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.over
}

// Over reports whether the connection has ended. Whoever has just been told of
// an end gets a certain answer: while the connection lives its reader comes
// back for more, and is waited for.
func (w *Wire) Over() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for !w.reading && !w.over {
		w.changed.Wait()
	}
	return w.over
}
