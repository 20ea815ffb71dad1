package link

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/yamux"
	"github.com/klauspost/compress/flate"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
)

// The first byte of a stream says what it is for. A stream of another kind is
// closed: a later version may know one.
const (
	kindControl = 'c'
	kindData    = 'd'
	kindRelay   = 'r'
)

const (
	// streamWindow is how much of one stream may be on the way: 5 MB/s over a
	// round trip of 100 ms. It bounds what a relay holds for a slow receiver.
	streamWindow = 512 << 10
	// piece is the most that a stream sends at once, so that pings and other
	// streams get between: with the multiplexer's header a TLS record.
	piece = 16<<10 - muxHeader
	// streamOpening is how long a neighbour may take to say what a stream is for.
	streamOpening = 5 * time.Second
	// streamClosing is how long a stream that was closed here may stay open
	// there, and how long anything may wait in the multiplexer: whether the neighbour lives, the
	// pings tell.
	streamClosing = time.Minute
	// someStreams is for control, data and what is just being closed.
	someStreams = 16
)

// muxConfig sets up the multiplexer. Its own keep-alive is off: ours also
// measures the round trip and gives a reason.
func muxConfig(limits Limits, log *slog.Logger) *yamux.Config {
	return &yamux.Config{
		AcceptBacklog:          2 * (limits.Relays + someStreams),
		KeepAliveInterval:      limits.KeepAlive,
		ConnectionWriteTimeout: streamClosing, // the guard of a ping comes first
		MaxStreamWindowSize:    streamWindow,
		StreamOpenTimeout:      streamClosing,
		StreamCloseTimeout:     streamClosing,
		Logger:                 muxLog{log},
	}
}

// muxLog gives the multiplexer's own messages to the log. They are for who
// debugs it: why a link ended is logged by the link.
type muxLog struct{ log *slog.Logger }

func (m muxLog) Print(v ...any)                 { m.write(fmt.Sprint(v...)) }
func (m muxLog) Printf(format string, v ...any) { m.write(fmt.Sprintf(format, v...)) }
func (m muxLog) Println(v ...any)               { m.write(fmt.Sprintln(v...)) }
func (m muxLog) write(text string)              { m.log.Debug("multiplexer", "message", strings.TrimSpace(text)) }

// openStream opens a stream of a kind.
func (l *Link) openStream(kind ...byte) (*yamux.Stream, error) {
	stream, err := l.session.OpenStream()
	if err != nil {
		return nil, fmt.Errorf("open stream: %w", err)
	}
	_ = stream.SetWriteDeadline(time.Now().Add(l.limits.Send))
	if _, err := stream.Write(kind); err != nil {
		_ = stream.Close()
		return nil, fmt.Errorf("open stream: %w", err)
	}
	_ = stream.SetWriteDeadline(time.Time{})
	return stream, nil
}

// acceptStreams serves the streams of the neighbour until the connection ends,
// and says why that ended.
func (l *Link) acceptStreams() {
	for {
		stream, err := l.session.AcceptStream()
		if err != nil {
			l.fail(lost(err))
			return
		}
		if int(l.streams.Add(1)) > 2*l.limits.Relays+someStreams {
			l.Close(wire.CodeMisbehaving, "too many streams are open at once")
			return
		}
		l.workers.Go(func() {
			defer l.streams.Add(-1)
			if l.serveStream(stream) {
				seeOff(stream)
			}
		})
	}
}

// seeOff closes a stream, and waits until the neighbour has closed it too: until
// then it holds memory, so it counts as open. What still comes is thrown away;
// after streamClosing the multiplexer ends it.
func seeOff(stream *yamux.Stream) {
	_ = stream.Close()
	_ = stream.SetReadDeadline(time.Time{})
	_, _ = io.Copy(io.Discard, stream)
}

// serveStream serves one stream of the neighbour until it is over; false for
// the control stream, which goes on.
func (l *Link) serveStream(stream *yamux.Stream) (over bool) {
	var kind [1]byte
	_ = stream.SetReadDeadline(time.Now().Add(streamOpening))
	if _, err := io.ReadFull(stream, kind[:]); err != nil {
		return true
	}
	_ = stream.SetReadDeadline(time.Time{})
	switch kind[0] {
	case kindControl:
		select {
		case l.control <- stream:
			return false
		default:
		}
	case kindData:
		if l.hasData.CompareAndSwap(false, true) {
			l.receiveData(stream)
		}
	case kindRelay:
		l.serveRelay(stream)
	}
	return true
}

// unpackError says that a stream which can not be decompressed is malformed.
func unpackError(err error) error {
	var corrupt flate.CorruptInputError
	var internal flate.InternalError
	if errors.As(err, &corrupt) || errors.As(err, &internal) {
		return fmt.Errorf("%w: %w", wire.ErrMalformed, err)
	}
	return err
}

// cut writes in small parts.
type cut struct {
	w    io.Writer
	size int
}

// pieces cuts what goes to a stream, see piece.
func pieces(w io.Writer) io.Writer { return cut{w, piece} }

func (c cut) Write(b []byte) (n int, err error) {
	for len(b) > 0 && err == nil {
		var k int
		k, err = c.w.Write(b[:min(c.size, len(b))])
		n, b = n+k, b[k:]
	}
	return n, err
}

// counted counts what is written.
type counted struct {
	w io.Writer
	n *atomic.Int64
}

func (c *counted) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n.Add(int64(n))
	return n, err
}

// seam is the connection as the multiplexer sees it. The multiplexer writes a
// frame's header and its body one after the other, from one goroutine: seam
// joins them, which halves the records and system calls.
type seam struct {
	net.Conn
	stats *counters
	held  []byte // a header whose body follows
}

// The multiplexer's header: version, type, flags (2), stream (4), length (4).
const (
	muxHeader   = 12
	muxTypeData = 0
)

// Write holds back a header that announces a body until that is there.
func (s *seam) Write(b []byte) (int, error) {
	if len(s.held) == 0 && len(b) == muxHeader && b[1] == muxTypeData && [4]byte(b[8:12]) != [4]byte{} {
		s.held = append(s.held, b...)
		return len(b), nil
	}
	s.held = append(s.held, b...) // it is empty, or a header
	sent, err := s.Conn.Write(s.held)
	s.held = s.held[:0]
	s.stats.sent.Add(int64(sent))
	if err != nil {
		return 0, err
	}
	s.stats.sentAt.Store(s.stats.now())
	return len(b), nil
}

// Read counts what came.
func (s *seam) Read(b []byte) (int, error) {
	n, err := s.Conn.Read(b)
	s.stats.received.Add(int64(n))
	if n > 0 {
		s.stats.receivedAt.Store(s.stats.now())
	}
	return n, err
}
