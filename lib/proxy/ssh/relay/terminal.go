package relay

import (
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// Terminal is what a client told of its own.
type Terminal struct {
	Term       string
	Cols, Rows uint32
}

// Recording takes what is seen on a terminal.
type Recording interface {
	// Output is what the target wrote.
	Output(at time.Time, data []byte) error
	// Resize is that the terminal has another size.
	Resize(at time.Time, cols, rows uint32) error
	// Close ends the recording.
	Close() error
}

// parseTerminal reads a pty-req (RFC 4254, 6.2); nil if it is none.
func parseTerminal(payload []byte) *Terminal {
	var msg struct {
		Term          string
		Cols, Rows    uint32
		Width, Height uint32
		Modes         string
	}
	if err := ssh.Unmarshal(payload, &msg); err != nil {
		return nil // the target says what is to be said of it
	}
	return &Terminal{Term: msg.Term, Cols: msg.Cols, Rows: msg.Rows}
}

// openTerminal is for a terminal that the target has granted. It reports
// whether it may be used.
func (p *pair) openTerminal() bool {
	p.granted.Store(true)
	if p.of.record == nil {
		return true
	}
	asked := Terminal{}
	if p.terminal != nil {
		asked = *p.terminal
	}
	recording, err := p.of.record(asked)
	if err != nil {
		p.of.lost(err)
		return false
	}
	if old := p.tap.Swap(&tap{to: recording}); old != nil { // a client may ask twice
		old.close()
	}
	return true
}

// inTerminal reports whether something runs in a terminal.
func (p *pair) inTerminal() bool { return p.granted.Load() && !p.finished.Load() }

// resize records a window-change (RFC 4254, 6.7).
func (p *pair) resize(payload []byte) {
	var msg struct{ Cols, Rows, Width, Height uint32 }
	if t := p.tap.Load(); t != nil && ssh.Unmarshal(payload, &msg) == nil {
		p.check(t.do(func(r Recording) error { return r.Resize(time.Now(), msg.Cols, msg.Rows) }))
	}
}

// recordOutput records what the target wrote.
func (p *pair) recordOutput(data []byte) {
	if t := p.tap.Load(); t != nil {
		p.check(t.do(func(r Recording) error { return r.Output(time.Now(), data) }))
	}
}

func (p *pair) check(err error) {
	if err != nil {
		p.of.lost(err)
	}
}

// tap is a recording in use.
type tap struct {
	mu sync.Mutex
	to Recording // nil once closed; guarded by mu
}

// do writes to the recording. Its lock keeps the writers apart, and nobody else
// waits for it.
func (t *tap) do(write func(Recording) error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.to == nil {
		return nil
	}
	return write(t.to)
}

func (t *tap) close() {
	_ = t.do(func(r Recording) error {
		t.to = nil
		return r.Close()
	})
}
