package relay

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

const (
	// loginPiece is how much is handed on at once before login: no more than 14
	// encrypted packets, which are 26 bytes at least, are in it. crypto/ssh has room
	// for 16 that nobody has asked for; with one more its reader never ends when the
	// login fails, and neither does what it holds.
	loginPiece = 384
	// loginPause is how long such a piece has to be dealt with: that takes
	// microseconds, or begins a wait that Hold tells of. A login is a dozen pieces.
	loginPause = 2 * time.Millisecond
)

// Wire is the connection below one side. It tells whether the side has ended
// its stream, or its connection has ended: what comes out of a channel of
// crypto/ssh is io.EOF in both cases, and to pass the second on as the first
// would make half a file look like a whole one.
type Wire struct {
	net.Conn

	mu      sync.Mutex
	changed *sync.Cond // of what follows
	login   bool       // what comes is handed on in pieces
	held    int        // nothing is handed on
	handed  time.Time  // when a piece was, or could have been
	reading bool       // somebody is inside Read: all that came before has been taken in
	over    bool       // nothing comes any more
	fault   bool       // and that was no end of the other side's making
}

// NewWire watches a connection. It is to be given to crypto/ssh in its place. Until
// Free is called what comes is handed on slowly.
func NewWire(c net.Conn) *Wire {
	w := &Wire{Conn: c, login: true}
	w.changed = sync.NewCond(&w.mu)
	return w
}

// Read implements net.Conn.
func (w *Wire) Read(p []byte) (int, error) {
	if w.note(true, false) {
		p = p[:min(len(p), loginPiece)]
	}
	n, err := w.Conn.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		w.mu.Lock()
		w.fault = true
		w.mu.Unlock()
	}
	if w.note(true, err != nil) && err == nil {
		w.pause()
	}
	w.note(false, false)
	return n, err //nolint:wrapcheck // a wrapper adds nothing
}

// pause waits until what was handed on before has been dealt with.
func (w *Wire) pause() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.login {
		left := loginPause - time.Since(w.handed)
		switch {
		case w.held > 0:
			w.changed.Wait()
		case left > 0:
			w.mu.Unlock()
			time.Sleep(left)
			w.mu.Lock()
		default:
			w.handed = time.Now()
			return
		}
	}
}

// Hold keeps back what comes before login while nobody takes it in; the caller
// calls what is returned when that is over. That the other side has gone is seen
// meanwhile.
func (w *Wire) Hold() (release func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held++
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.held--
		w.handed = time.Now()
		w.changed.Broadcast()
	}
}

// Free hands on what comes as it comes, from now on: after login somebody takes
// in all of it.
func (w *Wire) Free() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.login = false
	w.changed.Broadcast()
}

func (w *Wire) note(reading, over bool) (login bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reading, w.over = reading, w.over || over
	w.changed.Broadcast()
	return w.login
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

// broken reports whether the connection has ended by a fault below it.
func (w *Wire) broken() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.fault
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
