package link

import (
	"bufio"
	"context"

	"github.com/hashicorp/yamux"
	"github.com/klauspost/compress/flate"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
)

// dataFrame is one frame for the data stream, and where its fate is told.
type dataFrame struct {
	frame []byte
	sent  chan<- error // holds one
}

// SendData sends a message on the data stream and returns when the neighbour
// has room for it, or has it: a slow neighbour makes it wait, for as long as
// ctx lets it. A message whose ctx ended meanwhile may still arrive.
func (l *Link) SendData(ctx context.Context, message any) error {
	frame, err := frameOf(message)
	if err != nil {
		return err
	}
	if err := l.Err(); err != nil {
		return err
	}
	sent := make(chan error, 1)
	select {
	case l.data <- dataFrame{frame: frame, sent: sent}:
	case <-l.ended:
		return l.err
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-sent:
		return err
	case <-l.ended:
		return l.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ReceiveData returns the next message of the neighbour's data stream, by
// value. At most one waits here: the rest waits at the neighbour.
func (l *Link) ReceiveData(ctx context.Context) (any, error) {
	return next(ctx, l, l.dataIn)
}

// sendData owns this side's data stream, which it opens when there is data.
// The stream is compressed as a whole, as batches of rows are alike, and
// flushed after each frame.
func (l *Link) sendData() {
	var z *flate.Writer
	for {
		select {
		case <-l.ctx.Done():
			return
		case f := <-l.data:
			var err error
			if z == nil {
				z, err = l.openData()
			}
			if err == nil {
				err = l.compress(z, f.frame)
			}
			f.sent <- err
			if err != nil {
				l.broken("data", err)
				return
			}
		}
	}
}

func (l *Link) openData() (*flate.Writer, error) {
	stream, err := l.openStream(kindData)
	if err != nil {
		return nil, err
	}
	return flate.NewWriter(&counted{pieces(stream), &l.stats.packed}, flate.BestSpeed)
}

func (l *Link) compress(z *flate.Writer, frame []byte) error {
	l.stats.data.Add(int64(len(frame)))
	if _, err := z.Write(frame); err != nil {
		return err
	}
	return z.Flush()
}

// receiveData reads the neighbour's data stream. However well it was
// compressed, no more of it is unpacked than the next frame, whose size is
// bounded.
func (l *Link) receiveData(stream *yamux.Stream) {
	r := flate.NewReader(bufio.NewReader(stream))
	for {
		message, err := wire.ReadFrame(r)
		if err != nil {
			l.broken("data", unpackError(err))
			return
		}
		if u, unknown := message.(wire.Unknown); unknown {
			l.log.Debug("unknown data message skipped", "type", u.Type)
			continue
		}
		select {
		case l.dataIn <- message:
		case <-l.ctx.Done():
			return
		}
	}
}
