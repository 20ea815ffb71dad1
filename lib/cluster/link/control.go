package link

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/yamux"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
)

// Send queues a control message, a value of package wire. While the queue is
// full it waits; if the neighbour takes none for Limits.Send the link ends. An
// error is that of ctx, why the link ended, or that the message fits no frame.
func (l *Link) Send(ctx context.Context, message any) error {
	frame, err := frameOf(message)
	if err != nil {
		return err
	}
	if err := l.Err(); err != nil {
		return err
	}
	select {
	case l.outbox <- frame:
		return nil
	case <-l.ended:
		return l.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Receive returns the next control message, by value. After the end of the
// link it still returns what came before, then why it ended. Who does not
// receive makes the neighbour wait, and in the end give up.
func (l *Link) Receive(ctx context.Context) (any, error) {
	return next(ctx, l, l.inbox)
}

// next takes from a queue of the link.
func next(ctx context.Context, l *Link, queue chan any) (any, error) {
	select {
	case m := <-queue:
		return m, nil
	default:
	}
	select {
	case m := <-queue:
		return m, nil
	case <-l.ended:
		return nil, l.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func frameOf(message any) ([]byte, error) {
	var b bytes.Buffer
	if err := wire.WriteFrame(&b, message); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// runControl gets the control stream, which the dialling side opens, and
// serves it.
func (l *Link) runControl() {
	stream, err := l.controlStream()
	if err != nil {
		l.broken("control", err)
		return
	}
	l.workers.Go(func() { l.readControl(stream) })
	l.writeControl(stream)
}

func (l *Link) controlStream() (*yamux.Stream, error) {
	if l.begun.outgoing {
		return l.openStream(kindControl)
	}
	timer := time.NewTimer(l.limits.Handshake)
	defer timer.Stop()
	select {
	case s := <-l.control:
		return s, nil
	case <-l.ctx.Done():
		return nil, l.ctx.Err()
	case <-timer.C:
		return nil, fmt.Errorf("the neighbour opened none within %v", l.limits.Handshake)
	}
}

// writeControl sends what is queued, and the farewell before all of it.
func (l *Link) writeControl(stream *yamux.Stream) {
	for {
		select {
		case r := <-l.farewell:
			l.writeFarewell(stream, r)
			return
		default:
		}
		select {
		case <-l.ctx.Done():
			return
		case r := <-l.farewell:
			l.writeFarewell(stream, r)
			return
		case frame := <-l.outbox:
			_ = stream.SetWriteDeadline(time.Now().Add(l.limits.Send))
			if _, err := pieces(stream).Write(frame); err != nil {
				l.unsent(err)
				return
			}
		}
	}
}

func (l *Link) writeFarewell(stream *yamux.Stream, r wire.Refuse) {
	_ = stream.SetWriteDeadline(time.Now().Add(l.limits.Farewell))
	_ = wire.WriteFrame(stream, r) // Close ends the link in any case
}

// unsent ends the link because a control message did not go out. Part of it
// may have, so no reason can follow it.
func (l *Link) unsent(err error) {
	if errors.Is(err, yamux.ErrTimeout) {
		l.fail(fmt.Errorf("the neighbour took no control message for %v: it hangs, or is far too slow", l.limits.Send))
		return
	}
	l.broken("control", err)
}

// readControl receives until the link ends, or the neighbour says why it ends
// it.
func (l *Link) readControl(stream *yamux.Stream) {
	r := bufio.NewReader(stream)
	for {
		message, err := wire.ReadFrame(r)
		if err != nil {
			l.broken("control", err)
			return
		}
		switch m := message.(type) {
		case wire.Refuse:
			l.fail(told(m))
			return
		case wire.Unknown:
			l.log.Debug("unknown control message skipped", "type", m.Type)
			continue
		}
		select {
		case l.inbox <- message:
		case <-l.ctx.Done():
			return
		}
	}
}
