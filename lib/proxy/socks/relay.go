package socksproxy

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// relayChunk is how much is moved before it is counted: at the speed of
	// splice(2) some ten times a second.
	relayChunk = 64 << 20
	// relayTick is how long a direction waits for bytes at most before what
	// came is counted, so that a slow connection is not taken for a silent one.
	relayTick = 15 * time.Second
	// relayRest is how long the rest of one direction may take once the other
	// broke.
	relayRest = 250 * time.Millisecond
)

// errIdle ends a relay that carried nothing for too long.
var errIdle = errors.New("nothing came either way for too long")

// relay carries bytes both ways between two connections until both sides are
// at their end, and keeps each direction's end apart: one may go on for long
// after the other. What ends otherwise is reset on both sides, as an end in
// order would tell the reader that it has everything.
type relay struct {
	client, target *net.TCPConn
	idle, tick     time.Duration

	failing        atomic.Bool  // one direction broke
	sent, received atomic.Int64 // bytes to the target, and from it
	start          time.Time
	touched        atomic.Int64 // nanoseconds after start: when something came last
}

func newRelay(client, target *net.TCPConn, idle time.Duration) *relay {
	return &relay{client: client, target: target, idle: idle, tick: min(relayTick, idle/4), start: time.Now()}
}

// run carries early, what the client had sent already, and then the rest. It
// returns why the relay ended, nil for an end in order; both connections are
// closed then. ctx cuts it.
func (r *relay) run(ctx context.Context, early []byte) error {
	stop := context.AfterFunc(ctx, r.cut)
	defer stop()
	var up, down error
	var pumps sync.WaitGroup
	pumps.Go(func() { up = r.upward(early) })
	pumps.Go(func() { down = r.pump(r.client, r.target, &r.received) })
	pumps.Wait()
	err := errors.Join(up, down)
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		r.cut()
		return err
	}
	_ = r.client.Close() // both directions are done
	_ = r.target.Close()
	return nil
}

// cut ends both connections at once, with a reset.
func (r *relay) cut() {
	for _, c := range []*net.TCPConn{r.client, r.target} {
		_ = c.SetLinger(0) // what these could fail of is closed
		_ = c.Close()
	}
}

func (r *relay) upward(early []byte) error {
	if len(early) > 0 {
		_ = r.target.SetWriteDeadline(time.Now().Add(r.idle)) // fails as the write does
		n, err := r.target.Write(early)
		r.sent.Add(int64(n))
		if err != nil {
			r.fail(r.target)
			return err //nolint:wrapcheck // it names the peer
		}
	}
	return r.pump(r.target, r.client, &r.sent)
}

// pump carries one direction to its end. ReadFrom of a LimitedReader of a TCP
// connection is splice(2) on Linux: what is carried never enters the process.
func (r *relay) pump(dst, src *net.TCPConn, moved *atomic.Int64) error {
	for {
		// What the other direction carried in its tick is not noted yet.
		patience := r.idle + r.tick - (time.Since(r.start) - time.Duration(r.touched.Load()))
		if patience <= 0 {
			r.cut()
			return errIdle
		}
		wait := min(patience, r.tick)
		stuck := time.Now().Add(wait + r.idle)
		_ = src.SetReadDeadline(time.Now().Add(wait)) // fails as the read does
		_ = dst.SetWriteDeadline(stuck)               // a peer that takes nothing is silent, too
		if r.failing.Load() {
			_ = src.SetReadDeadline(time.Now().Add(relayRest))
		}
		n, err := dst.ReadFrom(&io.LimitedReader{R: src, N: relayChunk})
		if n > 0 {
			moved.Add(n)
			r.touched.Store(int64(time.Since(r.start)))
		}
		timedOut := errors.Is(err, os.ErrDeadlineExceeded) && time.Now().Before(stuck)
		switch {
		case err == nil && n == relayChunk:
		case timedOut && !r.failing.Load():
		case err == nil && !r.failing.Load():
			return dst.CloseWrite() //nolint:wrapcheck // it names the peer
		case err == nil, timedOut:
			return nil // the other direction says why
		default:
			r.fail(dst)
			return err //nolint:wrapcheck // it names the peer
		}
	}
}

// fail notes that a direction broke. What dst sent before it did so, such as a
// server's word that it takes no more, may still get to the other side.
func (r *relay) fail(dst *net.TCPConn) {
	r.failing.Store(true)
	_ = dst.SetReadDeadline(time.Now().Add(relayRest)) // closed in any case
}
