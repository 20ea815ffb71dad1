package sim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster"
	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// How the network behaves: as the real links do.
const (
	look  = 100 * time.Millisecond // how often a cut is looked at
	ping  = 500 * time.Millisecond
	dead  = 6 * time.Second
	syn   = time.Second // between two tries to connect over a cut
	queue = 64
)

// Network connects transports by their addresses.
type Network struct {
	delay   time.Duration
	trouble trouble

	mu    sync.Mutex
	bytes int // sent in all messages
	sent  int // messages
	nodes map[string]*Transport
	cuts  map[[2]string]bool // from, to
	hide  map[[2]string]bool // from, to: refused at once, as by a firewall

	frozen map[string]bool
	slow   map[[2]string]bool // from, to: no rows pass
}

// NewNetwork returns a network in which a message takes delay.
func NewNetwork(delay time.Duration) *Network {
	return &Network{delay: delay, nodes: map[string]*Transport{}, cuts: map[[2]string]bool{}, hide: map[[2]string]bool{}, frozen: map[string]bool{}, slow: map[[2]string]bool{}}
}

// Cut drops all that is sent from one address to another, from now on.
func (n *Network) Cut(from, to string) { n.set(n.cuts, from, to, true) }

// Heal ends Cut.
func (n *Network) Heal(from, to string) { n.set(n.cuts, from, to, false) }

// Hide lets every dial between two addresses fail, both ways.
func (n *Network) Hide(a, b string) {
	n.set(n.hide, a, b, true)
	n.set(n.hide, b, a, true)
}

// Show ends Hide.
func (n *Network) Show(a, b string) {
	n.set(n.hide, a, b, false)
	n.set(n.hide, b, a, false)
}

func (n *Network) set(m map[[2]string]bool, from, to string, on bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	m[[2]string{from, to}] = on
}

// Sent is how many bytes and messages were sent on all links so far, without
// what a real network adds.
func (n *Network) Sent() (bytes, messages int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.bytes, n.sent
}

func (n *Network) count(bytes int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.bytes += bytes
	n.sent++
}

// passes reports whether what from sends reaches to.
func (n *Network) passes(from, to string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return !n.cuts[[2]string{from, to}] && !n.frozen[from] && !n.frozen[to]
}

// Transport returns the transport of a process at the address. One that was
// there before is replaced.
func (n *Network) Transport(address string, log *slog.Logger) *Transport {
	return &Transport{network: n, address: address, log: log, links: map[*link]bool{}}
}

// Transport is the network as one process sees it.
type Transport struct {
	network *Network
	address string
	newer   bool // see Newer
	log     *slog.Logger
	work    sync.WaitGroup

	mu       sync.Mutex
	ctx      context.Context // of Run; nil while it does not run
	handlers cluster.Handlers
	links    map[*link]bool
}

var _ cluster.Transport = (*Transport)(nil)

// Run implements cluster.Transport.
func (t *Transport) Run(ctx context.Context, h cluster.Handlers) error {
	t.mu.Lock()
	t.ctx, t.handlers = ctx, h
	t.mu.Unlock()
	t.network.mu.Lock()
	t.network.nodes[t.address] = t
	t.network.mu.Unlock()
	<-ctx.Done()
	t.leave()
	for _, l := range t.stop() {
		l.Close(wire.CodeStopping, "the node stops")
	}
	t.work.Wait()
	return nil
}

func (t *Transport) leave() {
	t.network.mu.Lock()
	defer t.network.mu.Unlock()
	if t.network.nodes[t.address] == t {
		delete(t.network.nodes, t.address)
	}
}

// stop lets nothing begin any more, and returns the links.
func (t *Transport) stop() []*link {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ctx = nil
	out := make([]*link, 0, len(t.links))
	for l := range t.links {
		out = append(out, l)
	}
	return out
}

// Kill ends all links without a word, as the system does for a process that is
// killed. The process has to be stopped as well.
func (t *Transport) Kill() {
	t.leave()
	for _, l := range t.stop() {
		l.fail(errors.New("the process was killed"))
		if t.network.passes(t.address, l.to) { // else nobody hears of it
			l.other.fail(errors.New("connection reset by peer"))
		}
	}
}

// begin runs f in a goroutine that Run waits for.
func (t *Transport) begin(f func(ctx context.Context)) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ctx == nil {
		return false
	}
	ctx := t.ctx
	t.work.Go(func() { f(ctx) })
	return true
}

var errRefused = errors.New("connection refused")

// connect finds the process at an address, as TCP does.
func (t *Transport) connect(ctx context.Context, address string) (*Transport, error) {
	n := t.network
	for !n.passes(t.address, address) || !n.passes(address, t.address) {
		if err := sleep(ctx, syn); err != nil {
			return nil, err
		}
	}
	if err := sleep(ctx, 2*n.delay+n.trouble.extra()); err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	other := n.nodes[address]
	if other == nil || n.hide[[2]string{t.address, address}] {
		return nil, errRefused
	}
	return other, nil
}

// Dial implements cluster.Transport.
func (t *Transport) Dial(ctx context.Context, address string, want *model.UID, hello wire.Hello) (cluster.Link, error) {
	other, err := t.connect(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", address, err)
	}
	p := &pending{from: t, at: other, hello: hello, answer: make(chan answer, 1)}
	if !other.begin(func(ctx context.Context) { other.handlers.Incoming(ctx, p) }) { //nolint:contextcheck // it lives as long as the transport
		return nil, fmt.Errorf("dial %s: %w", address, errRefused)
	}
	select {
	case <-ctx.Done():
		p.giveUp()
		return nil, fmt.Errorf("dial %s: %w", address, ctx.Err())
	case a := <-p.answer:
		if a.refused != nil {
			t.log.Warn("link refused", "address", address, "code", int(a.refused.Code), "reason", a.refused.Text)
			return nil, fmt.Errorf("dial %s: %w", address, &cluster.Refused{Refuse: *a.refused})
		}
		if want != nil && a.link.peer.Node != *want {
			a.link.Close(wire.CodeKey, "another node is at this address")
			return nil, fmt.Errorf("dial %s: %w", address, &cluster.Refused{Refuse: wire.Refuse{Code: wire.CodeKey}, Node: a.link.peer.Node})
		}
		return a.link, nil
	}
}

// Forward implements cluster.Transport.
func (t *Transport) Forward(ctx context.Context, in net.Conn, next cluster.Link, dst model.UID, ttl uint8) error {
	out, err := next.OpenRelay(ctx, dst, ttl-1)
	if err != nil {
		return err
	}
	return pipe(ctx, in, out)
}

// pending is a dial that waits for an answer.
type pending struct {
	from, at *Transport
	hello    wire.Hello
	answer   chan answer

	mu      sync.Mutex
	givenUp bool
}

// giveUp says that nobody waits for the answer any more.
func (p *pending) giveUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.givenUp = true
	select {
	case a := <-p.answer:
		if a.link != nil {
			a.link.Close(wire.CodeStopping, "the dial took too long")
		}
	default:
	}
}

type answer struct {
	link    *link
	refused *wire.Refuse
}

// Hello implements cluster.Pending.
func (p *pending) Hello() wire.Hello { return p.hello }

// Refuse implements cluster.Pending.
func (p *pending) Refuse(r wire.Refuse) {
	p.at.log.Warn("link refused", "node", p.hello.Node, "node_name", p.hello.Name, "code", int(r.Code), "reason", r.Text)
	p.answer <- answer{refused: &r}
}

// Accept implements cluster.Pending.
func (p *pending) Accept(hello wire.Hello) (cluster.Link, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.givenUp {
		return nil, errors.New("accept link: the other side has given up")
	}
	here := newLink(p.at, p.from.address, p.hello, false)
	there := newLink(p.from, p.at.address, hello, true)
	here.other, there.other = there, here
	if !there.start() || !here.start() {
		there.fail(errRefused)
		here.fail(errRefused)
		return nil, errRefused
	}
	p.answer <- answer{link: there}
	return here, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
