package link

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/yamux"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// Frames of a relay stream: one byte of type, two of length, the payload. The
// multiplexer has only one way to close a stream, which can neither tell the
// end of one direction from that of both nor give a reason.
const (
	relayData  = 0
	relayFin   = 1 // nothing more comes in this direction
	relayClose = 2 // the end of both, in order
	relayReset = 3 // the end of both; the payload is the reason
)

const (
	relayHead = 3
	// relayPiece is the most that a frame carries: with its head a piece.
	relayPiece = piece - relayHead
	// securedPiece is the most that TLS inside a relay puts in a record that
	// fits a frame: header, type and tag are 22 bytes.
	securedPiece = relayPiece - 22
	// relayHello is the kind, the destination and the number of further links.
	relayHello = 1 + 16 + 1
)

// ResetError ends the reads of a relay that was reset, by its other end or on
// the way.
type ResetError struct{ Reason string }

// Error implements error.
func (e *ResetError) Error() string { return "relay ended: " + e.Reason }

// Relay is one end of a relay stream: a connection through neighbours to a
// node, in the clear for those between. Reads and writes may run beside each
// other.
type Relay struct {
	stream *yamux.Stream
	link   *Link
	free   func() // gives its place back
	closed sync.Once
	over   atomic.Bool   // closed by either side
	done   chan struct{} // closed with it

	readMu sync.Mutex
	r      *bufio.Reader
	left   int   // of the data frame that is being read
	end    error // what reads return from now on

	writeMu sync.Mutex
	w       []byte // a frame is put together here
	fin     bool
	writeBy atomic.Int64 // deadline in Unix nanoseconds, 0 for none: the stream keeps it only while it waits for room
}

var _ net.Conn = (*Relay)(nil)

func newRelay(l *Link, stream *yamux.Stream, free func()) *Relay {
	return &Relay{link: l, stream: stream, free: free, done: make(chan struct{}), r: bufio.NewReaderSize(stream, piece)}
}

// OpenRelay opens a relay stream towards dst by way of this neighbour, over at
// most ttl further links after this one's other end. It does not wait for dst: what goes
// wrong on the way comes as the error of the first read.
func (l *Link) OpenRelay(ctx context.Context, dst model.UID, ttl uint8) (net.Conn, error) {
	if err := l.Err(); err != nil {
		return nil, fmt.Errorf("open relay: %w", err)
	}
	select {
	case l.relays <- struct{}{}:
	case <-l.ended:
		return nil, fmt.Errorf("open relay: %w", l.err)
	case <-ctx.Done():
		return nil, fmt.Errorf("open relay: all %d of this link are in use: %w", l.limits.Relays, ctx.Err())
	}
	free := sync.OnceFunc(func() { <-l.relays })
	stream, err := l.openStream(append(append([]byte{kindRelay}, dst[:]...), ttl)...)
	if err != nil {
		free()
		return nil, fmt.Errorf("open relay: %w", err)
	}
	return newRelay(l, stream, free), nil
}

// serveRelay hands a relay stream of the neighbour to the handler.
func (l *Link) serveRelay(stream *yamux.Stream) {
	var head [relayHello - 1]byte
	_ = stream.SetReadDeadline(time.Now().Add(streamOpening))
	if _, err := io.ReadFull(stream, head[:]); err != nil {
		return
	}
	_ = stream.SetReadDeadline(time.Time{})
	defer l.relaysIn.Add(-1)
	relay := newRelay(l, stream, func() {})
	defer relay.Close()
	switch {
	case int(l.relaysIn.Add(1)) > 2*l.limits.Relays: // those that the neighbour has just closed may still count
		relay.Reset("too many relays over this link: try again later")
	case l.begun.relay == nil:
		relay.Reset("the node carries no relays")
	default:
		l.begun.relay(l.ctx, model.UID(head[:16]), head[16], relay)
	}
}

// Read implements net.Conn. The error after a reset holds the other side's
// reason.
func (c *Relay) Read(b []byte) (int, error) {
	c.readMu.Lock()
	defer c.readMu.Unlock()
	for c.left == 0 {
		if c.end != nil {
			return 0, c.end
		}
		if err := c.nextFrame(); err != nil {
			return 0, err
		}
	}
	n, err := c.r.Read(b[:min(len(b), c.left)])
	c.left -= n
	c.link.stats.relayIn.Add(int64(n))
	if n > 0 || err == nil {
		return n, nil
	}
	return 0, c.readFailed(err)
}

// nextFrame reads a frame's head, and all of one that is no data. Peek first:
// a deadline that passes must not lose the half of a head.
func (c *Relay) nextFrame() error {
	head, err := c.r.Peek(relayHead)
	if err != nil {
		return c.readFailed(err)
	}
	kind, size := head[0], int(binary.BigEndian.Uint16(head[1:]))
	if size > relayPiece {
		return c.ended(fmt.Errorf("read relay: a frame of %d bytes is malformed", size))
	}
	if kind == relayData {
		_, _ = c.r.Discard(relayHead) // it is there
		c.left = size
		return nil
	}
	whole, err := c.r.Peek(relayHead + size)
	if err != nil {
		return c.readFailed(err)
	}
	text := string(whole[relayHead:])
	_, _ = c.r.Discard(len(whole))
	switch kind {
	case relayFin:
		c.end = io.EOF
		return io.EOF
	case relayClose:
		return c.ended(io.EOF)
	case relayReset:
		return c.ended(&ResetError{Reason: text})
	}
	return c.ended(fmt.Errorf("read relay: frame type %d is malformed", kind))
}

// readFailed turns an error of the stream into one of the relay. A deadline
// ends nothing.
func (c *Relay) readFailed(err error) error {
	timeout, isNet := err.(net.Error) //nolint:errorlint // bufio passes it on bare
	switch {
	case c.over.Load():
		return net.ErrClosed
	case isNet && timeout.Timeout():
		return os.ErrDeadlineExceeded // which TLS knows to end nothing; the multiplexer's own error it does not
	case c.link.Err() != nil:
		return c.ended(fmt.Errorf("relay ended with its link: %w", c.link.Err()))
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		err = errors.New("cut off by the neighbour")
	}
	return c.ended(fmt.Errorf("read relay: %w", err))
}

// ended notes the end of both directions, for reads and writes.
func (c *Relay) ended(err error) error {
	c.end = err
	c.release()
	return err
}

// Write implements net.Conn.
func (c *Relay) Write(b []byte) (n int, err error) {
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	for len(b) > 0 {
		if by := c.writeBy.Load(); by != 0 && time.Now().UnixNano() > by {
			return n, os.ErrDeadlineExceeded
		}
		part := b[:min(len(b), relayPiece)]
		if err := c.writeFrame(relayData, part); err != nil {
			return n, err
		}
		n, b = n+len(part), b[len(part):]
		c.link.stats.relayOut.Add(int64(len(part)))
	}
	return n, nil
}

// writeFrame needs writeMu. A frame that was not written whole ends the relay:
// nothing can follow it.
func (c *Relay) writeFrame(kind byte, payload []byte) error {
	if c.over.Load() || c.fin {
		return net.ErrClosed
	}
	c.w = binary.BigEndian.AppendUint16(append(c.w[:0], kind), uint16(len(payload))) //nolint:gosec // at most piece
	c.w = append(c.w, payload...)
	n, err := c.stream.Write(c.w)
	switch {
	case err == nil:
		return nil
	case c.over.Load():
		return net.ErrClosed
	case n == 0 && errors.Is(err, yamux.ErrTimeout): // before anything was sent: not the end
		return os.ErrDeadlineExceeded
	}
	c.release()
	if errors.Is(err, yamux.ErrTimeout) {
		return os.ErrDeadlineExceeded
	}
	return fmt.Errorf("write relay: %w", err)
}

// CloseWrite ends this side's direction; reading goes on.
func (c *Relay) CloseWrite() error {
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	if c.fin {
		return nil
	}
	err := c.writeFrame(relayFin, nil)
	c.fin = true
	return err
}

// Close implements net.Conn: both directions end, after what was written.
func (c *Relay) Close() error {
	c.leave(relayClose, "")
	return nil
}

// Reset ends both directions; the other end's read returns the reason, unless
// this side is in the middle of a write.
func (c *Relay) Reset(reason string) { c.leave(relayReset, cutText(reason)) }

// leave says goodbye if there is room for it, and releases the stream.
func (c *Relay) leave(kind byte, text string) {
	if err := c.link.Err(); err != nil && kind == relayClose { // whoever ends because of that ends nothing in order
		kind, text = relayReset, cutText(err.Error())
	}
	if !c.over.Load() && c.writeMu.TryLock() {
		c.fin = false
		_ = c.stream.SetWriteDeadline(time.Now().Add(c.link.limits.Farewell))
		_ = c.writeFrame(kind, []byte(text)) // who gets no reason sees that the stream ended
		c.writeMu.Unlock()
	}
	c.release()
}

// release ends the stream and what waits on it.
func (c *Relay) release() {
	c.closed.Do(func() {
		c.over.Store(true)
		_ = c.stream.SetReadDeadline(time.Unix(1, 0))
		_ = c.stream.Close()
		c.free()
		close(c.done)
	})
}

// Done is closed when the relay is, by either end.
func (c *Relay) Done() <-chan struct{} { return c.done }

// LocalAddr implements net.Conn.
func (c *Relay) LocalAddr() net.Addr { return c.stream.LocalAddr() }

// RemoteAddr implements net.Conn: it is the neighbour's.
func (c *Relay) RemoteAddr() net.Addr { return c.stream.RemoteAddr() }

// SetDeadline implements net.Conn.
func (c *Relay) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline implements net.Conn.
func (c *Relay) SetReadDeadline(t time.Time) error {
	if c.over.Load() {
		return net.ErrClosed
	}
	return c.stream.SetReadDeadline(t)
}

// SetWriteDeadline implements net.Conn.
func (c *Relay) SetWriteDeadline(t time.Time) error {
	if c.over.Load() {
		return net.ErrClosed
	}
	by := int64(0)
	if !t.IsZero() {
		by = t.UnixNano()
	}
	c.writeBy.Store(by)
	return c.stream.SetWriteDeadline(t)
}
