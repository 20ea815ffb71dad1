package cluster_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster"
	"github.com/aquarium-fish/aquarium-fish/lib/cluster/sim"
	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// farm is members on a network in memory.
type farm struct {
	t     *testing.T
	net   *sim.Network
	nodes []*node
	boots uint64
}

// node is one member; its fields may be set before start.
type node struct {
	f       *farm
	uid     model.UID
	name    string
	address string
	join    []string
	skew    atomic.Int64 // of its clock, nanoseconds
	limit   int
	broken  bool // replication fails
	rows    *sim.Rows
	log     *logBook

	mu     sync.Mutex
	report cluster.Report
	known  []cluster.Known
	sick   error
	lapsed bool
	hang   bool
	events []cluster.Event

	c         *cluster.Cluster
	transport *sim.Transport
	stop      context.CancelFunc
	done      chan error
	alive     bool
}

// logBook keeps what was logged.
type logBook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logBook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logBook) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text.String(), text)
}

func (l *logBook) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), text)
}

// broken is a replication that can do nothing.
type broken struct{ *sim.Rows }

func (b broken) Session(cluster.SessionOptions) cluster.Session { return b }

func (b broken) Run(context.Context) error { return errors.New("the disk is full of sand") }

func (b broken) Advert(wire.Advert) {}

func (n *node) replication() cluster.Replication {
	if n.broken {
		return broken{n.rows}
	}
	return n.rows
}

func uidOf(i int) model.UID { return model.UID{byte(i + 1), 1, 2, 3, 4, 5, 0x40, 8, 0x80} }

func addressOf(i int) string { return fmt.Sprintf("node-%d:8001", i) }

// newFarm returns members that all know the first one's address.
func newFarm(t *testing.T, size int) *farm {
	f := &farm{t: t, net: sim.NewNetwork(5 * time.Millisecond)}
	for i := range size {
		n := f.newNode(i, addressOf(i))
		if i > 0 {
			n.join = []string{addressOf(0)}
		}
		f.nodes = append(f.nodes, n)
	}
	return f
}

func (f *farm) newNode(i int, address string) *node {
	return &node{
		f: f, uid: uidOf(i), name: fmt.Sprintf("node-%d", i), address: address,
		rows: sim.NewRows(nil), log: &logBook{}, report: cluster.Report{NotAfter: time.Now().Add(time.Hour)},
	}
}

func (f *farm) start() {
	for _, n := range f.nodes {
		n.start()
	}
}

func (n *node) start() {
	n.f.boots++
	log := slog.New(slog.NewTextHandler(n.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	n.transport = n.f.net.Transport(n.address, log)
	c, err := cluster.New(cluster.Options{
		Self:      cluster.Self{Node: n.uid, Name: n.name, Address: n.address, Location: "here", Program: "test", Cluster: []byte("one cluster"), Boot: n.f.boots},
		Join:      n.join,
		MaxLinks:  n.limit,
		Transport: n.transport, Replication: n.replication(), Healthy: n.healthy, Report: n.reported, Known: n.knows,
		Lapsed: func() bool { n.mu.Lock(); defer n.mu.Unlock(); return n.lapsed },
		Secure: n.secure, Serve: n.serve, Log: log, Now: func() time.Time { return time.Now().Add(time.Duration(n.skew.Load())) },
	})
	if err != nil {
		n.f.t.Fatal(err)
	}
	c.Watch(func(e cluster.Event) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.events = append(n.events, e)
	})
	ctx, stop := context.WithCancel(n.f.t.Context())
	n.c, n.stop, n.done, n.alive = c, stop, make(chan error, 1), true
	go func() { n.done <- c.Run(ctx) }()
}

// end stops a member in order.
func (n *node) end() {
	if !n.alive {
		return
	}
	n.alive = false
	n.stop()
	if err := <-n.done; err != nil {
		n.f.t.Errorf("Run of %s: %v", n.name, err)
	}
}

// kill stops a member without a word.
func (n *node) kill() {
	n.transport.Kill()
	n.end()
}

func (f *farm) end() {
	for _, n := range f.nodes {
		n.end()
	}
}

func (n *node) healthy(ctx context.Context) error {
	n.mu.Lock()
	sick, hang := n.sick, n.hang
	n.mu.Unlock()
	if hang {
		<-ctx.Done()
		time.Sleep(time.Minute) // some calls do not care for their ctx
	}
	return sick
}

func (n *node) reported() cluster.Report {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.report
}

func (n *node) knows() []cluster.Known {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.known
}

func (n *node) change(f func()) {
	n.mu.Lock()
	f()
	n.mu.Unlock()
	n.c.Touch()
}

// secure proves both ends by their word, as good as TLS among friends.
func (n *node) secure(ctx context.Context, conn net.Conn, want *model.UID, client bool) (net.Conn, error) {
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	var theirs model.UID
	say := func() error { _, err := conn.Write(n.uid[:]); return err }
	hear := func() error { _, err := io.ReadFull(conn, theirs[:]); return err }
	first, then := say, hear
	if !client {
		first, then = hear, say
	}
	if err := errors.Join(first(), then()); err != nil {
		return nil, err
	}
	if want != nil && *want != theirs {
		return nil, fmt.Errorf("%s is at the other end", theirs)
	}
	return proved{conn, theirs}, nil
}

// proved is a connection whose other end is known.
type proved struct {
	net.Conn
	peer model.UID
}

func (p proved) Peer() model.UID { return p.peer }

// serve answers with the own name and then says back what it hears.
func (n *node) serve(_ context.Context, conn net.Conn) {
	fmt.Fprintf(conn, "%s\n", n.name)
	_, _ = io.Copy(conn, conn)
}

// until waits for a condition and returns how long it took.
func (f *farm) until(limit time.Duration, what string, cond func() bool) time.Duration {
	f.t.Helper()
	start := time.Now()
	for {
		synctest.Wait()
		if cond() {
			return time.Since(start)
		}
		if time.Since(start) > limit {
			f.t.Fatalf("not within %v: %s", limit, what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// agree reports whether the living ones of a group see each other as active,
// and nobody else.
func (f *farm) agree(group ...int) bool {
	in := map[model.UID]bool{}
	for _, i := range group {
		if f.nodes[i].alive {
			in[f.nodes[i].uid] = true
		}
	}
	for _, i := range group {
		if n := f.nodes[i]; n.alive {
			active := n.c.Active()
			if len(active) != len(in) {
				return false
			}
			for _, uid := range active {
				if !in[uid] {
					return false
				}
			}
		}
	}
	return true
}

func (f *farm) all() []int { return span(0, len(f.nodes)) }

func span(from, to int) []int {
	var out []int
	for i := from; i < to; i++ {
		out = append(out, i)
	}
	return out
}

// cut drops what two groups send to each other; only to the second one if
// oneWay.
func (f *farm) cut(a, b []int, oneWay bool) {
	for _, i := range a {
		for _, j := range b {
			f.net.Cut(addressOf(i), addressOf(j))
			if !oneWay {
				f.net.Cut(addressOf(j), addressOf(i))
			}
		}
	}
}

func (f *farm) heal() {
	for _, i := range f.all() {
		for _, j := range f.all() {
			f.net.Heal(addressOf(i), addressOf(j))
		}
	}
}

// chain lets each node see only the one before and after it.
func (f *farm) chain() {
	for i := range f.nodes {
		for j := range i - 1 {
			f.net.Hide(addressOf(i), addressOf(j))
		}
		if i > 0 {
			f.nodes[i].join = []string{addressOf(i - 1)}
		}
	}
}

func origin(i int) replica.Origin { return replica.Origin{Node: uidOf(i)} }

func vote(i int) wire.Vote {
	return wire.Vote{Application: model.UID{byte(i), byte(i >> 8), 9}, Round: 1}
}
