package repl

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
)

// farm is some nodes and the links between them, all in one bubble.
type farm struct {
	t     *testing.T
	opts  Options
	nodes []*member
	links map[[2]int]*cable
}

type member struct {
	id     int
	store  *memStore
	engine *Engine
	stop   func()
}

func newFarm(t *testing.T, n int, opts Options) *farm {
	f := &farm{t: t, opts: opts, links: map[[2]int]*cable{}}
	for i := range n {
		m := &member{id: i, store: newMemStore(byte(i + 1))}
		f.nodes = append(f.nodes, m)
		f.start(m)
	}
	return f
}

// start gives a node an engine over what its store holds.
func (f *farm) start(m *member) {
	opts := f.opts
	opts.Store, opts.Log = m.store, quiet()
	if testing.Verbose() && len(f.nodes) < 10 {
		opts.Log = slog.New(slog.NewTextHandler(f.t.Output(), nil)).With("node", m.id)
	}
	m.store.started()
	engine, err := New(opts)
	if err != nil {
		f.t.Fatal(err)
	}
	m.engine = engine
	m.stop = spawn(func(ctx context.Context) { _ = engine.Run(ctx) })
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// spawn starts f and returns what ends it and waits for it.
func spawn(f func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(ctx)
	}()
	return func() { cancel(); <-done }
}

func (f *farm) close() {
	for _, c := range f.links {
		c.stop()
	}
	for _, m := range f.nodes {
		m.stop()
	}
}

// crash ends a node as a power cut does and starts it again. Its links are gone.
func (f *farm) crash(i int) {
	for key := range f.links {
		if key[0] == i || key[1] == i {
			f.cut(key[0], key[1])
		}
	}
	f.nodes[i].stop()
	f.nodes[i].store.crash()
	f.start(f.nodes[i])
}

// cableOptions is how good a cable is.
type cableOptions struct {
	delay  time.Duration
	queue  int // messages under way, 64 unless told
	perRow time.Duration
}

func (f *farm) connect(i, j int, opts cableOptions) {
	key := [2]int{min(i, j), max(i, j)}
	if f.links[key] == nil {
		f.links[key] = plug(f.nodes[key[0]], f.nodes[key[1]], opts)
	}
}

func (f *farm) cut(i, j int) {
	key := [2]int{min(i, j), max(i, j)}
	if c := f.links[key]; c != nil {
		c.stop()
		delete(f.links, key)
	}
}

// settle waits until all nodes hold the same.
func (f *farm) settle(within time.Duration) time.Duration {
	f.t.Helper()
	began := time.Now()
	for {
		synctest.Wait()
		want := f.nodes[0].store.Vector()
		same := true
		for _, m := range f.nodes[1:] {
			v := m.store.Vector()
			same = same && v.Covers(want) && want.Covers(v)
		}
		if same {
			break
		}
		if time.Since(began) > within {
			for _, m := range f.nodes {
				f.t.Logf("node %d: %v\n%+v", m.id, m.store.Vector(), m.engine.Stats())
			}
			f.t.Fatalf("vectors differ after %v", within)
		}
		time.Sleep(5 * time.Millisecond)
	}
	want := f.nodes[0].store.state()
	for _, m := range f.nodes[1:] {
		if got := m.store.state(); got != want {
			f.t.Fatalf("nodes diverged:\n%s\n--- node %d\n%s", want, m.id, got)
		}
	}
	return time.Since(began)
}

// cable is a link between two nodes.
type cable struct {
	stop func()
	a, b *Session
	errs [2]error
}

var errCut = errors.New("cable cut")

// pipe carries messages one way, in order, late, and at most so many at once.
type pipe struct {
	opts cableOptions
	c    chan parcel
}

type parcel struct {
	message any
	at      time.Time
}

func newPipe(o cableOptions) *pipe {
	if o.queue == 0 {
		o.queue = 64
	}
	return &pipe{o, make(chan parcel, o.queue)}
}

func (p *pipe) send(ctx context.Context, message any) error {
	if rows, ok := message.(wire.Rows); ok && p.opts.perRow > 0 {
		if !pause(ctx, time.Duration(len(rows.Batch.Rows))*p.opts.perRow, nil) {
			return errCut
		}
	}
	select {
	case <-ctx.Done():
		return errCut
	case p.c <- parcel{message, time.Now().Add(p.opts.delay)}:
		return nil
	}
}

func (p *pipe) receive(ctx context.Context) (any, error) {
	select {
	case <-ctx.Done():
		return nil, errCut
	case m := <-p.c:
		if wait := time.Until(m.at); wait > 0 && !pause(ctx, wait, nil) {
			return nil, errCut
		}
		return m.message, nil
	}
}

// end is one end's data stream.
type end struct{ out, in *pipe }

func (e end) SendData(ctx context.Context, m any) error { return e.out.send(ctx, m) }

func (e end) ReceiveData(ctx context.Context) (any, error) { return e.in.receive(ctx) }

// plug links two nodes; stop loses what is under way.
func plug(a, b *member, opts cableOptions) *cable {
	ctx, cancel := context.WithCancel(context.Background())
	ab, ba, adAB, adBA := newPipe(opts), newPipe(opts), newPipe(opts), newPipe(opts)
	helloA, helloB := a.engine.store.Vector(), b.engine.store.Vector()
	advertise := func(p *pipe) func(context.Context, wire.Advert) error {
		return func(ctx context.Context, m wire.Advert) error { return p.send(ctx, m) }
	}
	c := &cable{}
	c.a = a.engine.Session(SessionOptions{
		Name: fmt.Sprint(b.id), Conn: end{ab, ba}, Advertise: advertise(adAB), Told: helloA, Theirs: helloB, Outgoing: true,
	})
	c.b = b.engine.Session(SessionOptions{
		Name: fmt.Sprint(a.id), Conn: end{ba, ab}, Advertise: advertise(adBA), Told: helloB, Theirs: helloA,
	})
	var owned sync.WaitGroup
	owned.Go(func() { c.errs[0] = c.a.Run(ctx) })
	owned.Go(func() { c.errs[1] = c.b.Run(ctx) })
	owned.Go(func() { carry(ctx, adAB, c.b) })
	owned.Go(func() { carry(ctx, adBA, c.a) })
	c.stop = func() { cancel(); owned.Wait() }
	return c
}

func carry(ctx context.Context, p *pipe, to *Session) {
	for {
		m, err := p.receive(ctx)
		if err != nil {
			return
		}
		to.Advert(m.(wire.Advert))
	}
}
