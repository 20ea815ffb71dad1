package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// Piped are the bytes that went through a Pipe.
type Piped struct{ There, Back int64 }

// Reset ends a connection with a reason that the other end of a relay gets;
// other connections are closed.
func Reset(conn net.Conn, reason string) {
	if r, ok := conn.(interface{ Reset(string) }); ok {
		r.Reset(reason)
		return
	}
	_ = conn.Close() // it is given up
}

// Pipe carries bytes between two connections, both ways, until both have
// ended, one fails or ctx is done; then both are closed. The end of one
// direction is passed on alone, a failure with its reason. It holds one piece
// of data per direction: a slow receiver slows the sender. There is no
// deadline: a connection may be silent for as long as it lives.
func Pipe(ctx context.Context, a, b net.Conn) (Piped, error) {
	var p Piped
	var there, back error
	give := sync.OnceFunc(func() { resetBoth(a, b, context.Cause(ctx)) })
	stop := context.AfterFunc(ctx, give)
	var ways sync.WaitGroup
	way := func(n *int64, err *error, to, from net.Conn) func() {
		return func() {
			if *n, *err = oneWay(to, from); *err != nil {
				resetBoth(a, b, *err)
			}
		}
	}
	ways.Go(way(&p.There, &there, b, a))
	ways.Go(way(&p.Back, &back, a, b))
	ways.Wait()
	if !stop() {
		give() // or wait for it
		return p, context.Cause(ctx)
	}
	return p, errors.Join(there, back, a.Close(), b.Close())
}

// resetBoth passes a reason on in the words in which it came.
func resetBoth(a, b net.Conn, why error) {
	reason := why.Error()
	if r := (*ResetError)(nil); errors.As(why, &r) {
		reason = r.Reason
	}
	Reset(a, reason)
	Reset(b, reason)
}

// oneWay copies until from ends, and passes on the end: of this direction, or
// of the whole connection.
func oneWay(to, from net.Conn) (int64, error) {
	n, err := io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, make([]byte, relayPiece))
	if errors.Is(err, net.ErrClosed) {
		return n, nil // by the other way, which has the reason
	}
	if err != nil {
		return n, fmt.Errorf("carry relay: %w", err)
	}
	half, can := to.(interface{ CloseWrite() error })
	if whole, ok := from.(*Relay); !can || ok && whole.over.Load() {
		err = to.Close()
	} else {
		err = half.CloseWrite()
	}
	if err != nil && !errors.Is(err, net.ErrClosed) {
		return n, fmt.Errorf("end relay: %w", err)
	}
	return n, nil
}

// opener is the next neighbour on the way.
type opener interface {
	OpenRelay(ctx context.Context, dst model.UID, ttl uint8) (net.Conn, error)
}

// Forward carries a relay that came in to the next neighbour on its way to
// dst, until it has ended. ttl is how many links it may still pass. For a place
// at that neighbour it waits 5 s, and then gives the reason.
func Forward(ctx context.Context, in net.Conn, next opener, dst model.UID, ttl uint8) (Piped, error) {
	if ttl == 0 {
		Reset(in, "the way is longer than allowed, or goes round in a circle: routes are changing, try again")
		return Piped{}, errors.New("forward relay: it passed too many links")
	}
	opening, cancel := context.WithTimeout(ctx, streamOpening)
	out, err := next.OpenRelay(opening, dst, ttl-1)
	cancel()
	if err != nil {
		Reset(in, err.Error())
		return Piped{}, fmt.Errorf("forward relay: %w", err)
	}
	return Pipe(ctx, in, out)
}
