package relay

import (
	"io"
	"sync"
	"time"
)

const (
	// smallBuffer waits for data, largeBuffer takes it while much comes: an idle
	// session holds the first only. 32 KB is what OpenSSH puts into a packet.
	smallBuffer = 1 << 10
	largeBuffer = 32 << 10
	// endTime is how long after the end of a session's output servers tell how the
	// session ended: that takes them milliseconds, if it has.
	endTime = 100 * time.Millisecond
)

// stream relays the data of one direction, both kinds, and its end.
func (p *pair) stream(from, to *half) {
	defer close(from.streamed)
	<-p.begun
	output := to.end == p.of.client
	var extended sync.WaitGroup
	extended.Go(func() {
		p.copy(from, errorStream{to}, from.channel.Stderr(), output)
	})
	whole := p.copy(from, to.channel, from.channel, output)
	extended.Wait()
	if whole && !p.cut(from) {
		if p.session && from.end == p.of.target {
			p.awaitEnd(from, to)
		}
		to.closeWrite()
	}
}

// copy relays until there is nothing more or nobody takes it, and reports
// whether all was taken.
func (p *pair) copy(from *half, to io.Writer, src io.Reader, output bool) bool {
	buf := make([]byte, smallBuffer)
	for {
		n, err := src.Read(buf)
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				select {
				case from.unheard <- struct{}{}:
				default: // it is known
				}
				return false
			}
			from.carved.Add(int64(n))
			if output {
				p.recordOutput(buf[:n])
			}
		}
		switch {
		case n == 0 && err != nil:
			return true // with data, an error only says that nobody can be told that it was taken
		case n == len(buf) && n < largeBuffer:
			buf = make([]byte, largeBuffer)
		case n < smallBuffer/2 && len(buf) == largeBuffer:
			buf = make([]byte, smallBuffer)
		}
	}
}

// errorStream is the extended stream towards an end.
type errorStream struct{ to *half }

// Write implements io.Writer. Its lock keeps two writers apart, and nobody
// else waits for it.
func (s errorStream) Write(p []byte) (int, error) {
	s.to.errors.Lock()
	defer s.to.errors.Unlock()
	if s.to.shut {
		return 0, io.EOF
	}
	return s.to.channel.Stderr().Write(p) //nolint:wrapcheck // io.EOF says that nobody takes it
}

// closeWrite ends both kinds of data towards an end.
func (h *half) closeWrite() {
	h.errors.Lock()
	defer h.errors.Unlock()
	h.shut = true
	_ = h.channel.CloseWrite() // or it is closed
}

// Tell writes a text to every terminal of the client. It waits until each has
// taken it or its connection has ended.
func (r *Relay) Tell(text string) {
	var work sync.WaitGroup
	for _, p := range r.open() {
		if p.granted.Load() {
			work.Go(func() { _, _ = errorStream{p.opener}.Write([]byte(text)) }) // or it has ended
		}
	}
	work.Wait()
}
