package sim

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster"
	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// link is one end of a link.
type link struct {
	at       *Transport
	to       string // address of the other end
	peer     wire.Hello
	outgoing bool
	other    *link

	control, data stream // what comes
	done          chan struct{}

	mu    sync.Mutex
	err   error // why it ended
	conns map[net.Conn]bool
}

var _ cluster.Link = (*link)(nil)

// stream is one direction of a channel of a link: what was sent, and what has
// arrived.
type stream struct {
	sent    chan packet
	arrived chan []byte
}

// packet is a message that arrives at a time, if nothing is cut.
type packet struct {
	data []byte
	at   time.Time
}

func newStream() stream {
	return stream{sent: make(chan packet, queue), arrived: make(chan []byte, queue)}
}

func newLink(at *Transport, to string, peer wire.Hello, outgoing bool) *link {
	return &link{at: at, to: to, peer: peer, outgoing: outgoing, control: newStream(), data: newStream(), done: make(chan struct{}), conns: map[net.Conn]bool{}}
}

// start begins what moves the messages that come to this end.
func (l *link) start() bool {
	l.at.mu.Lock()
	if l.at.ctx != nil {
		l.at.links[l] = true
	}
	l.at.mu.Unlock()
	return l.at.begin(func(context.Context) {
		defer l.forget()
		var moving sync.WaitGroup
		moving.Go(func() { l.move(l.control, l.at.network.passes) })
		moving.Go(func() { l.move(l.data, l.at.network.carries) })
		l.ping()
		moving.Wait()
	})
}

func (l *link) forget() {
	l.at.mu.Lock()
	defer l.at.mu.Unlock()
	delete(l.at.links, l)
}

// move carries messages to this end: each takes the delay, and waits for the
// end of a cut.
func (l *link) move(s stream, passes func(from, to string) bool) {
	for {
		select {
		case <-l.done:
			return
		case p := <-s.sent:
			if !l.wait(time.Until(p.at)) {
				return
			}
			for !passes(l.to, l.at.address) {
				if !l.wait(look) {
					return
				}
			}
			select {
			case <-l.done:
				return
			case s.arrived <- p.data:
			}
		}
	}
}

// wait pauses; false if the link ended meanwhile.
func (l *link) wait(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-l.done:
		return false
	case <-timer.C:
		return true
	}
}

// ping gives the link up when the other side can not be heard, or answers that
// there is no link, as it does that ended it while nothing passed.
func (l *link) ping() {
	heard := time.Now()
	for l.wait(ping) {
		if n := l.at.network; n.passes(l.to, l.at.address) && n.passes(l.at.address, l.to) {
			heard = time.Now()
			if l.other.Err() != nil {
				l.fail(errors.New("connection reset by peer"))
			}
		}
		if time.Since(heard) >= dead {
			l.fail(errors.New("the neighbour was silent for 6 s"))
		}
	}
}

// fail ends this end.
func (l *link) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return
	}
	l.err = err
	for conn := range l.conns {
		_ = conn.Close() // in memory
	}
	close(l.done)
}

// Close implements cluster.Link.
func (l *link) Close(code wire.Code, text string) {
	reason := &cluster.Refused{Refuse: wire.Refuse{Code: code, Text: text}, Node: l.peer.Node}
	l.fail(reason)
	if l.at.network.passes(l.at.address, l.to) {
		l.other.fail(reason)
	}
}

// Peer implements cluster.Link.
func (l *link) Peer() wire.Hello { return l.peer }

// Outgoing implements cluster.Link.
func (l *link) Outgoing() bool { return l.outgoing }

// RTT implements cluster.Link.
func (l *link) RTT() time.Duration { return 2 * l.at.network.delay }

// Done implements cluster.Link.
func (l *link) Done() <-chan struct{} { return l.done }

// Err implements cluster.Link.
func (l *link) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Send implements cluster.Link.
func (l *link) Send(ctx context.Context, message any) error {
	return l.send(ctx, l.other.control, message)
}

// SendData implements cluster.Link.
func (l *link) SendData(ctx context.Context, message any) error {
	return l.send(ctx, l.other.data, message)
}

// Receive implements cluster.Link.
func (l *link) Receive(ctx context.Context) (any, error) { return l.receive(ctx, l.control) }

// ReceiveData implements cluster.Link.
func (l *link) ReceiveData(ctx context.Context) (any, error) { return l.receive(ctx, l.data) }

func (l *link) send(ctx context.Context, s stream, message any) error {
	data, err := wire.Encode(message)
	if err != nil {
		return err
	}
	if l.at.newer {
		if err := l.put(ctx, s, later(data)); err != nil {
			return err
		}
		data = unknown()
	}
	return l.put(ctx, s, data)
}

// put hands bytes to the other end.
func (l *link) put(ctx context.Context, s stream, data []byte) error {
	l.at.network.count(len(data))
	select {
	case <-l.done:
		return l.Err()
	case <-ctx.Done():
		return ctx.Err()
	case s.sent <- packet{data, time.Now().Add(l.at.network.delay + l.at.network.trouble.extra())}:
		return nil
	}
}

func (l *link) receive(ctx context.Context, s stream) (any, error) {
	select {
	case data := <-s.arrived: // what came before the end is read
		return wire.Decode(data)
	default:
	}
	select {
	case <-l.done:
		return nil, l.Err()
	case <-ctx.Done():
		return nil, ctx.Err()
	case data := <-s.arrived:
		return wire.Decode(data)
	}
}

// OpenRelay implements cluster.Link.
func (l *link) OpenRelay(_ context.Context, dst model.UID, ttl uint8) (net.Conn, error) {
	here, there := net.Pipe()
	if !l.keep(here) || !l.other.keep(there) {
		return nil, errors.New("open relay: the link has ended")
	}
	if !l.other.at.begin(func(ctx context.Context) { //nolint:contextcheck // it lives as long as the transport
		defer there.Close()
		defer l.other.drop(there)
		l.other.at.handlers.Relay(ctx, dst, ttl, there)
	}) {
		return nil, errRefused
	}
	return here, nil
}

// keep lets a connection end with the link.
func (l *link) keep(conn net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return false
	}
	l.conns[conn] = true
	return true
}

func (l *link) drop(conn net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, conn)
}

// pipe carries bytes both ways until one side has ended.
func pipe(ctx context.Context, a, b net.Conn) error {
	closeBoth := func() {
		_ = a.Close() // in memory
		_ = b.Close()
	}
	defer context.AfterFunc(ctx, closeBoth)()
	defer closeBoth()
	var back sync.WaitGroup
	back.Go(func() {
		defer closeBoth()
		_, _ = io.Copy(a, b) // ends when either is closed
	})
	_, err := io.Copy(b, a)
	closeBoth()
	back.Wait()
	return err
}
