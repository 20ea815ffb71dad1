package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/yamux"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/loop"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// relayHandler is Handlers.Relay.
type relayHandler func(ctx context.Context, dst model.UID, ttl uint8, conn net.Conn)

// errSilent ends a link whose neighbour is not heard any more.
var errSilent = errors.New("the neighbour does not answer")

// Link is a connection to a neighbour that proved its key. It is safe for use
// by many goroutines. All that it runs has ended when Done is closed.
type Link struct {
	t        *Transport
	limits   Limits
	log      *slog.Logger
	conn     net.Conn
	session  *yamux.Session
	id       identity
	begun    begun
	control  chan *yamux.Stream // the stream that the dialling side opens
	outbox   chan []byte        // frames for it
	inbox    chan any
	farewell chan wire.Refuse // the last frame for it
	data     chan dataFrame
	dataIn   chan any
	hasData  atomic.Bool   // the neighbour opened its data stream
	relays   chan struct{} // a place for each relay stream of this side
	relaysIn atomic.Int32
	streams  atomic.Int32 // of the neighbour, served at the moment
	rtt      atomic.Int64
	stats    counters

	ctx     context.Context // ends with the link
	cancel  context.CancelFunc
	workers sync.WaitGroup
	once    sync.Once
	err     error         // why it ended; set before ended is closed
	ended   chan struct{} // closed when it is known that the link ends
	done    chan struct{} // closed when nothing of it runs any more
}

// begun is what the hellos said.
type begun struct {
	peer     wire.Hello
	protocol uint16
	outgoing bool
	relay    relayHandler
}

// start begins a link on a connection whose hellos were exchanged.
func (t *Transport) start(conn net.Conn, id identity, b begun) (*Link, error) {
	ctx, cancel := context.WithCancel(context.Background()) // ends with the link, which Run ends
	limits := t.o.Limits
	l := &Link{
		t: t, limits: limits, conn: conn, id: id, begun: b, ctx: ctx, cancel: cancel,
		log:     t.o.Log.With("node", b.peer.Node, "node_name", b.peer.Name),
		control: make(chan *yamux.Stream, 1), outbox: make(chan []byte, limits.Queue), inbox: make(chan any, limits.Queue),
		farewell: make(chan wire.Refuse, 1), data: make(chan dataFrame), dataIn: make(chan any),
		relays: make(chan struct{}, limits.Relays), ended: make(chan struct{}), done: make(chan struct{}),
	}
	l.stats.begin = time.Now()
	limitUnsent(conn)
	role := yamux.Server
	if b.outgoing {
		role = yamux.Client
	}
	var err error
	if l.session, err = role(&seam{Conn: conn, stats: &l.stats}, muxConfig(limits, l.log)); err != nil {
		cancel()
		abort(conn)
		return nil, fmt.Errorf("begin streams: %w", err)
	}
	if !t.keep(l) { // from here on Run may end it, so it is whole
		cancel()
		abort(conn)
		_ = l.session.Close() // waits for its goroutines
		return nil, notReady()
	}
	l.work()
	return l, nil
}

// work starts all that a link runs, and who waits for it.
func (l *Link) work() {
	l.workers.Go(l.acceptStreams)
	l.workers.Go(l.runControl)
	l.workers.Go(l.sendData)
	l.workers.Go(l.keepAlive)
	l.workers.Go(func() { loop.Every(l.ctx, l.limits.Recheck, l.recheck) })
	l.log.Debug("link made", "outgoing", l.begun.outgoing, "protocol", l.begun.protocol)
	go func() { // ends the link when it is told to
		<-l.ctx.Done()
		abort(l.conn)
		_ = l.session.Close() // waits for its goroutines
		l.workers.Wait()
		l.log.Info("link ended", "reason", l.err, "sent_bytes", l.stats.sent.Load(), "received_bytes", l.stats.received.Load())
		close(l.done)
		l.t.forget(l)
	}()
}

// Peer is the neighbour's hello; its Node is proved.
func (l *Link) Peer() wire.Hello { return l.begun.peer }

// Outgoing reports whether this node dialled.
func (l *Link) Outgoing() bool { return l.begun.outgoing }

// Protocol is the version of the protocol that both sides speak.
func (l *Link) Protocol() uint16 { return l.begun.protocol }

// Done is closed when the link and all that it ran have ended.
func (l *Link) Done() <-chan struct{} { return l.done }

// Err is nil while the link lives, then why it ended: a *Refused if one of the
// sides said so, else what happened to the connection.
func (l *Link) Err() error {
	select {
	case <-l.ended:
		return l.err
	default:
		return nil
	}
}

// Close ends the link with a reason that the neighbour is told; both log it.
// It returns when the neighbour took it, at most Limits.Farewell later; Done
// may follow, once handlers of relays have returned.
func (l *Link) Close(code wire.Code, text string) {
	no := refuse(code, "%s", text)
	if !l.end(no) {
		return
	}
	l.farewell <- no.frame()
	timer := time.NewTimer(l.limits.Farewell)
	defer timer.Stop()
	select {
	case <-l.session.CloseChan(): // the neighbour read it and hung up
	case <-l.ctx.Done():
	case <-timer.C:
	}
	l.cancel()
}

// end notes why the link ends; the first reason counts.
func (l *Link) end(err error) (first bool) {
	l.once.Do(func() {
		l.err, first = err, true
		close(l.ended)
	})
	return first
}

// fail ends the link at once, without a word.
func (l *Link) fail(err error) {
	l.end(err)
	l.cancel()
}

// broken ends the link after a stream of it failed. If it is the whole
// connection that did, acceptStreams knows better why.
func (l *Link) broken(stream string, err error) {
	switch {
	case l.session.IsClosed():
		return
	case errors.Is(err, wire.ErrMalformed):
		l.Close(wire.CodeMisbehaving, fmt.Sprintf("what came on the %s stream can not be read: %v", stream, err))
	case errors.Is(err, io.EOF):
		l.fail(fmt.Errorf("the neighbour closed the %s stream", stream))
	default:
		l.fail(fmt.Errorf("use %s stream: %w", stream, err))
	}
}

// lost says in words how a connection ended.
func lost(err error) error {
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, yamux.ErrSessionShutdown):
		return errors.New("the neighbour closed the connection without a reason: it was killed, or is of another version")
	case errors.Is(err, yamux.ErrInvalidVersion), errors.Is(err, yamux.ErrInvalidMsgType):
		return fmt.Errorf("read streams: the neighbour sent what is none: %w", err)
	}
	return fmt.Errorf("connection to the neighbour lost: %w", err)
}

// keepAlive sends pings, also while older ones wait for an answer: to the
// neighbour each is a sign of life.
func (l *Link) keepAlive() {
	l.workers.Go(l.ping)
	loop.Every(l.ctx, l.limits.KeepAlive, func(context.Context) { l.workers.Go(l.ping) })
}

// ping measures the round trip, and ends the link if there is none in time.
func (l *Link) ping() {
	answered := make(chan struct{})
	defer close(answered)
	l.workers.Go(func() { l.guard(answered) })
	rtt, err := l.session.Ping()
	if err != nil {
		return // the session has ended, or the guard ends it
	}
	old := l.rtt.Load()
	if old == 0 {
		old = int64(rtt)
	}
	l.rtt.Store((3*old + int64(rtt)) / 4)
}

// guard waits for the answer to a ping. One that is late because it waits
// behind bulk on a slow line is not missed for as long as bytes go both ways: after a
// cut none come in, and soon none go out.
func (l *Link) guard(answered <-chan struct{}) {
	timer := time.NewTimer(l.limits.Dead - l.limits.KeepAlive)
	defer timer.Stop()
	for {
		select {
		case <-answered:
			return
		case <-l.ctx.Done():
			return
		case <-timer.C:
		}
		if l.stats.idle() >= l.limits.Dead-l.limits.KeepAlive {
			l.fail(fmt.Errorf("%w for %v: it hangs, or the network between is cut", errSilent, l.limits.Dead))
			return
		}
		timer.Reset(l.limits.KeepAlive)
	}
}

// RTT is the time to the neighbour and back, smoothed; 0 before the first
// answer.
func (l *Link) RTT() time.Duration { return time.Duration(l.rtt.Load()) }

// recheck ends a link whose neighbour would not get one now: its certificate
// expired, or its CA is no longer trusted.
func (l *Link) recheck(context.Context) {
	if _, no := identify(l.id.chain, l.t.o.Roots(), time.Now()); no != nil {
		l.Close(no.Code, no.Text)
	}
}
