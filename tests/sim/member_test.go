package sim

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

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/bygone"
	"github.com/aquarium-fish/aquarium-fish/lib/capacity"
	"github.com/aquarium-fish/aquarium-fish/lib/cluster"
	"github.com/aquarium-fish/aquarium-fish/lib/cluster/repl"
	netsim "github.com/aquarium-fish/aquarium-fish/lib/cluster/sim"
	"github.com/aquarium-fish/aquarium-fish/lib/election"
	"github.com/aquarium-fish/aquarium-fish/lib/lifecycle"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

// member is a node: what of it outlives its processes.
type member struct {
	farm     *farm
	index    int
	uid      model.UID
	name     string
	location string
	address  string
	join     []string
	disk     *store.Disk // nil: it has a folder
	folder   string
	machine  *machine
	newer    bool         // it is of a later version
	retired  atomic.Bool  // it is off for good
	drained  atomic.Bool  // it is in maintenance
	tokens   sync.Map     // of intents -> the process that stored it first
	skew     atomic.Int64 // of its wall clock

	mu     sync.Mutex
	asleep chan struct{} // guarded by mu: closed when it goes on; nil while it does

	p *process // nil while none runs; the plan's own
	// last is what the checks saw of the last process.
	last sight
	// mismatches are those that processes found that have ended.
	mismatches uint64
	told       bool // of them
	lost       bool // its disk was put back, and it can not tell
}

// process is one life of a node.
type process struct {
	*member
	boot      uint64
	dead      atomic.Bool
	store     *store.Store
	rows      *gated
	engine    *repl.Engine
	cluster   *cluster.Cluster
	election  *election.Election
	manager   *lifecycle.Manager
	bygone    *bygone.Keeper
	ledger    *capacity.Ledger
	evidence  *evidence
	rewinds   chan rewind // capacity 1
	transport *netsim.Transport
	cancel    context.CancelFunc
	work      sync.WaitGroup
	cleanup   []func()
}

func (m *member) now() time.Time { return time.Now().Add(time.Duration(m.skew.Load())) }

// stand returns when the machine is awake.
func (m *member) stand() {
	for {
		m.mu.Lock()
		asleep := m.asleep
		m.mu.Unlock()
		if asleep == nil {
			return
		}
		<-asleep
	}
}

// sleep stops the machine wherever its process next touches anything; wake
// lets it go on.
func (m *member) sleep() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.asleep == nil {
		m.asleep = make(chan struct{})
		m.farm.net.Freeze(m.address)
	}
}

func (m *member) wake() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.asleep != nil {
		close(m.asleep)
		m.asleep = nil
		m.farm.net.Thaw(m.address)
	}
}

func (m *member) awake() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.asleep == nil
}

// usable reports whether a client can talk to the node.
func (m *member) usable() bool { return m.p != nil && m.awake() }

// open opens the database as the last process left it.
func (m *member) open(log *slog.Logger) (*store.Store, error) {
	o := store.Options{Folder: m.folder, Node: m.uid, Logger: log, Now: m.now, Retention: m.farm.retention}
	if m.disk == nil {
		return store.Open(context.Background(), o)
	}
	return store.OpenMemory(context.Background(), o, m.disk)
}

// start starts a process on what the last one left.
func (m *member) start() {
	f := m.farm
	f.boots++
	p := &process{member: m, boot: f.boots, evidence: newEvidence(), rewinds: make(chan rewind, 1)}
	log := slog.New(slog.DiscardHandler)
	if f.logs != nil {
		log = slog.New(slog.NewTextHandler(f.logs, &slog.HandlerOptions{ReplaceAttr: sinceEpoch})).With("at", m.index, "boot", p.boot)
	}
	var err error
	if p.store, err = m.open(log); err != nil {
		f.t.Fatalf("open store of node %d: %v", m.index, err)
	}
	p.rows = &gated{Store: p.store, stand: m.stand, note: p.wrote}
	if p.engine, err = repl.New(repl.Options{Store: p.rows, Log: log, CompareInterval: f.compareEvery, Rewound: p.rewound}); err != nil {
		f.t.Fatal(err)
	}
	p.transport = f.net.Transport(m.address, log)
	if m.newer {
		p.transport.Newer()
	}
	p.cluster, err = cluster.New(cluster.Options{
		Self: cluster.Self{
			Node: m.uid, Name: m.name, Address: m.address, Location: m.location, Program: "sim", Cluster: []byte("one"), Boot: p.boot,
		},
		Join: m.join, Transport: p.transport, Replication: replication{p.engine, p.rows}, Healthy: p.healthy, Report: p.report,
		Known: p.known, Secure: p.secure, Serve: p.serve, Lapsed: p.lapsed, Log: log, Now: m.now, MaxLinks: f.maxLinks,
	})
	if err != nil {
		f.t.Fatal(err)
	}
	p.decide(log)
	m.p = p
}

// decide makes what elects and runs.
func (p *process) decide(log *slog.Logger) {
	began := time.Now()
	boot := func() time.Duration { return time.Since(began) }
	promises := election.NewPromises(boot)
	p.ledger = capacity.NewLedger()
	var wired *election.Wired
	survey, err := p.survey(func() { wired.Changed() }, log)
	if err != nil {
		p.farm.t.Fatal(err)
	}
	wired = election.NewWired(p.cluster, survey)
	p.cleanup = append(p.cleanup, p.cluster.Watch(func(cluster.Event) { wired.Changed() }))
	instance := func(name string) (drivers.Driver, string) {
		if name != "test" {
			return nil, "is not there"
		}
		return driver{p.machine, p}, ""
	}
	memory, err := p.recall(wired.Changed, log)
	if err != nil {
		p.farm.t.Fatal(err)
	}
	p.election = election.New(election.Options{
		Node: p.uid, NodeName: p.name, Location: p.location, Store: p.rows, Ledger: p.ledger, Cluster: ballots{wired, p.evidence}, Promises: promises,
		Driver: instance, Configured: func(string) bool { return true }, Maintenance: p.drained.Load,
		Load: func() uint8 { return p.ledger.Load(p.machine.limits.CPU, p.machine.limits.RAM) }, Succession: p.store.Succession,
		Unfit: p.unfit, LabelDeleted: p.store.LabelDeleted, VoteTimeout: 3 * time.Second, StarvationAfter: 10 * time.Minute, Logger: log,
		Safety: p.farm.safety, Cleared: p.remember(log), Recall: memory,
	})
	p.manager = lifecycle.New(lifecycle.Options{
		Node: p.uid, Store: p.rows, Ledger: p.ledger, Driver: instance, Instances: func() []string { return []string{"test"} },
		MetadataURL: func(string) string { return "" }, AllocateTimeout: 30 * time.Minute, TaskTimeout: time.Hour, DefaultLifetime: time.Minute,
		Promised: promises.Age, Voter: p.boot, StartBy: startBy, Settled: p.settled(), Lapsed: p.store.Lapsed, Boot: boot, Logger: log,
		Heir: func(node model.UID) model.UID { return model.Heir(node, p.store.Retirements()) },
	})
	right, err := p.setRight(log)
	if err != nil {
		p.farm.t.Fatal(err)
	}
	p.manager.Restore()
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	p.work.Go(func() { _ = wired.Run(ctx) })
	p.work.Go(func() { _ = p.engine.Run(ctx) })
	p.work.Go(func() {
		if err := p.cluster.Run(ctx); err != nil && ctx.Err() == nil {
			p.farm.t.Errorf("cluster of node %d: %v", p.index, err)
		}
	})
	p.work.Go(func() { p.introduce(ctx) })
	p.work.Go(func() { p.reincarnate(ctx) })
	p.work.Go(func() { _ = right.Run(ctx) })
	p.work.Go(func() { _ = memory.Run(ctx) })
	p.work.Go(func() { _ = survey.Run(ctx) })
	p.work.Go(func() { p.watchKnown(ctx) })
	p.work.Go(func() { _ = p.manager.Run(ctx) })
	p.work.Go(func() { p.elect(ctx) })
	p.work.Go(func() { p.lookBack(ctx) })
}

// elect runs the election once the node is ready, as lib/app does.
func (p *process) elect(ctx context.Context) {
	for !p.cluster.Ready() {
		if !nap(ctx, 50*time.Millisecond) {
			return
		}
	}
	_ = p.election.Run(ctx)
}

// introduce writes the Node row at the start.
func (p *process) introduce(ctx context.Context) {
	for {
		p.stand()
		_, err := p.store.PutNode(ctx, model.Node{UID: p.uid, Name: p.name, Address: p.address, Pubkey: []byte(p.name)})
		if err == nil || !nap(ctx, time.Second) {
			return
		}
	}
}

func nap(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

func (p *process) healthy(context.Context) error {
	p.stand()
	if _, held := p.store.Ahead(); held && len(p.cluster.Status().Links) > 0 {
		return errHeld
	}
	return p.store.Writable()
}

// secure proves both ends by their word, as good as TLS among friends.
func (p *process) secure(ctx context.Context, conn net.Conn, want *model.UID, client bool) (net.Conn, error) {
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	var theirs model.UID
	say := func() error { _, err := conn.Write(p.uid[:]); return err }
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
	return conn, nil
}

// kill ends the process without a word. After a loss of power only what is
// durable is left; else all that was committed.
func (m *member) kill(power bool) {
	p := m.p
	if p == nil {
		return
	}
	m.p = nil
	m.machine.world.mu.Lock()
	p.dead.Store(true)
	m.machine.world.mu.Unlock()
	switch {
	case m.disk == nil:
	case power:
		m.disk.Crash()
	default:
		m.disk.Fail(errKilled)
	}
	m.mismatches += p.engine.Stats().Mismatches
	p.transport.Kill()
	p.cancel()
	m.wake()
	for _, f := range p.cleanup {
		f()
	}
	p.work.Wait()
	if err := p.store.Close(); err != nil {
		m.farm.t.Errorf("close store of node %d: %v", m.index, err)
	}
	if m.disk != nil {
		m.disk.Fail(nil)
	}
}

// sinceEpoch shortens the time in the log.
func sinceEpoch(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.String("t", a.Value.Time().Sub(epoch).String())
	}
	return a
}
