package election_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/capacity"
	"github.com/aquarium-fish/aquarium-fish/lib/election"
	"github.com/aquarium-fish/aquarium-fish/lib/lifecycle"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// hub joins nodes, each a real Election and a real lifecycle over a database
// in memory, by links that a test cuts, and copies rows and votes along them.
// It runs in a synctest bubble.
type hub struct {
	t     *testing.T
	nodes []*node
	world *world
	stop  context.CancelFunc
	wg    sync.WaitGroup

	closers []io.Closer // after all nodes have ended

	mu    sync.Mutex
	dice  *rand.Rand       // guarded by mu
	cut   map[[2]int]bool  // guarded by mu: one direction of a link
	held  map[[2]int]bool  // guarded by mu: rows wait, votes do not
	loss  float64          // guarded by mu: share of votes and exchanges that are lost
	delay time.Duration    // guarded by mu: longest on a link
	keep  map[[2]int]int   // guarded by mu: rows of the first that the second has
	back  int              // guarded by mu: databases that were put back
	seen  map[[2]int]int64 // guarded by mu: when the second heard of the first last, Unix nanoseconds
}

// node is one member.
type node struct {
	hub   *hub
	index int
	uid   model.UID
	db    *database
	host  *host

	change func(*election.Options, *lifecycle.Options) // before each start

	mu      sync.Mutex
	up      bool          // guarded by mu
	ready   bool          // guarded by mu
	began   time.Time     // guarded by mu
	drained bool          // guarded by mu
	paused  chan struct{} // guarded by mu: closed when it goes on; nil while it does
	heard   []model.Vote  // guarded by mu
	changed bool          // guarded by mu: who counts
	signal  chan struct{}

	election *election.Election
	manager  *lifecycle.Manager
	ledger   *capacity.Ledger
	halt     func()
}

// newHub makes so many nodes, linked all with all; start them.
func newHub(t *testing.T, nodes int, seed uint64) *hub {
	h := &hub{
		t: t, world: newWorld(), dice: rand.New(rand.NewPCG(seed, 1)), cut: map[[2]int]bool{}, held: map[[2]int]bool{}, //nolint:gosec // a simulation
		keep: map[[2]int]int{}, seen: map[[2]int]int64{}, delay: 10 * time.Millisecond,
	}
	for i := range nodes {
		n := &node{hub: h, index: i, uid: model.UID{byte(i + 1), 2, 3, 4, 5, 6, 0x40, 8, 0x80}, signal: make(chan struct{}, 1)}
		n.db = newDatabase(n.uid)
		n.db.pause = n.stand
		n.host = &host{node: n, limits: drivers.Limits{CPU: 4, RAM: 8}}
		h.nodes = append(h.nodes, n)
	}
	ctx, cancel := context.WithCancel(context.Background())
	h.stop = cancel
	for i := range nodes {
		for j := range nodes {
			if i != j {
				h.wg.Go(func() { h.carry(ctx, i, j) })
			}
		}
		h.wg.Go(func() { h.watch(ctx, h.nodes[i]) })
	}
	return h
}

// close stops everything.
func (h *hub) close() {
	for _, n := range h.nodes {
		n.resume()
		n.crash()
	}
	h.stop()
	h.wg.Wait()
	for _, c := range h.closers {
		_ = c.Close()
	}
}

// chance throws the dice.
func (h *hub) chance(p float64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.dice.Float64() < p
}

// upTo is a random time below the limit.
func (h *hub) upTo(limit time.Duration) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return time.Duration(h.dice.Int64N(int64(limit) + 1))
}

func (h *hub) pick(n int) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.dice.IntN(n)
}

// linked reports whether what i says reaches j now.
func (h *hub) linked(i, j int) bool {
	h.mu.Lock()
	cut := h.cut[[2]int{i, j}]
	h.mu.Unlock()
	return !cut && h.nodes[i].running() && h.nodes[j].running()
}

// setCut cuts or heals one direction.
func (h *hub) setCut(i, j int, cut bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cut[[2]int{i, j}] = cut
}

// hold keeps rows from a node; votes still come.
func (h *hub) hold(to int, on bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.nodes {
		h.held[[2]int{i, to}] = on
	}
}

func (h *hub) holds(pair [2]int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.held[pair]
}

// split cuts both ways between two groups; heal ends all cuts.
func (h *hub) split(side func(i int) bool) {
	for i := range h.nodes {
		for j := range h.nodes {
			h.setCut(i, j, side(i) != side(j))
		}
	}
}

func (h *hub) heal() { h.split(func(int) bool { return true }) }

// fill leaves no room on any node.
func (h *hub) fill() {
	for _, n := range h.nodes {
		n.take(4)
	}
}

// take takes CPUs of a node, which has four, until free.
func (n *node) take(cpu uint) {
	n.ledger.Restore(model.UID{99}, 1, capacity.Claim{Instance: "test", CPU: cpu}, true)
}

func (n *node) free() { n.ledger.Return(model.UID{99}, 1) }

// carry copies what i knows to j, in order, a while after it happened.
func (h *hub) carry(ctx context.Context, i, j int) {
	pair := [2]int{i, j}
	for ctx.Err() == nil {
		grown := h.nodes[i].db.growth() // before the cursor, which may be set back right after it was read
		h.mu.Lock()
		wait := time.Millisecond + time.Duration(h.dice.Int64N(int64(h.delay)+1))
		lost := h.dice.Float64() < h.loss
		cursor, back := h.keep[pair], h.back
		h.mu.Unlock()
		if lost {
			wait += time.Second
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		rows := h.nodes[i].db.since(cursor)
		if lost || h.holds(pair) || !h.linked(i, j) {
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		if len(rows) == 0 {
			select {
			case <-ctx.Done():
			case <-grown:
			}
			continue
		}
		h.nodes[j].db.take(rows)
		h.mu.Lock()
		if back == h.back { // otherwise the cursor may be of a database that is no more
			h.keep[pair] = cursor + len(rows)
		}
		h.mu.Unlock()
	}
}

// watch keeps what a node knows of who is there, and tells it of changes.
func (h *hub) watch(ctx context.Context, n *node) {
	var last []int
	for ctx.Err() == nil {
		reach := h.reachable(n.index)
		now := time.Now().UnixNano()
		h.mu.Lock()
		for _, i := range reach {
			h.seen[[2]int{i, n.index}] = now
		}
		h.mu.Unlock()
		n.catchUp(reach)
		n.remember(reach)
		if !slices.Equal(last, reach) {
			last = reach
			n.ring()
		}
		select {
		case <-ctx.Done():
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// reachable are the nodes with a path of two-way links from i, itself included.
func (h *hub) reachable(i int) []int {
	found := []int{i}
	for next := 0; next < len(found); next++ {
		for j := range h.nodes {
			if !slices.Contains(found, j) && h.linked(found[next], j) && h.linked(j, found[next]) {
				found = append(found, j)
			}
		}
	}
	slices.Sort(found)
	return found
}

func (n *node) running() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.up && n.paused == nil
}

// stand returns when the node is not paused.
func (n *node) stand() {
	for {
		n.mu.Lock()
		paused := n.paused
		n.mu.Unlock()
		if paused == nil {
			return
		}
		<-paused
	}
}

// pause makes the node stand still wherever it next looks at anything.
func (n *node) pause() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.paused == nil {
		n.paused = make(chan struct{})
	}
}

func (n *node) resume() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.paused != nil {
		close(n.paused)
		n.paused = nil
	}
}

// ring says that others count now.
func (n *node) ring() {
	n.mu.Lock()
	n.changed = true
	n.mu.Unlock()
	n.poke()
}

func (n *node) poke() {
	select {
	case n.signal <- struct{}{}:
	default:
	}
}

// start starts the node on what its last process left.
func (n *node) start() {
	ctx, cancel := context.WithCancel(context.Background())
	began := time.Now()
	boot := func() time.Duration { return time.Since(began) }
	promises := election.NewPromises(boot)
	n.ledger = capacity.NewLedger()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	eo := election.Options{
		Node: n.uid, NodeName: fmt.Sprintf("n%d", n.index), Store: n.db, Ledger: n.ledger, Cluster: n, Promises: promises,
		Driver: n.host.driver, Configured: func(string) bool { return true }, Maintenance: n.inMaintenance,
		Load: func() uint8 { return n.ledger.Load(4, 8) }, Succession: n.db.Succession, VoteTimeout: 3 * time.Second, StarvationAfter: 10 * time.Minute, Logger: log,
		LabelDeleted: func(model.UID) bool { return false },
	}
	lo := lifecycle.Options{
		Node: n.uid, Store: n.db, Ledger: n.ledger, Driver: n.host.driver, Instances: func() []string { return []string{"test"} },
		MetadataURL: func(string) string { return "" }, AllocateTimeout: 10 * time.Minute, TaskTimeout: time.Hour,
		Promised: promises.Age, StartBy: 30 * time.Second, Boot: boot, Logger: log,
	}
	if n.change != nil {
		n.change(&eo, &lo)
	}
	n.mu.Lock()
	n.up, n.heard, n.ready, n.began = true, nil, false, time.Now()
	n.mu.Unlock()
	n.election, n.manager = election.New(eo), lifecycle.New(lo)
	n.manager.Restore()
	var wg sync.WaitGroup
	wg.Go(func() { _ = n.election.Run(ctx) })
	wg.Go(func() { _ = n.manager.Run(ctx) })
	n.halt = func() { cancel(); wg.Wait() }
}

// crash ends the process; what it wrote is there.
func (n *node) crash() {
	n.mu.Lock()
	was := n.up
	n.up = false
	n.mu.Unlock()
	if was {
		n.halt()
	}
}

func (n *node) inMaintenance() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.drained
}

func (n *node) drain(on bool) {
	n.mu.Lock()
	n.drained = on
	n.mu.Unlock()
	for _, o := range n.hub.nodes {
		o.ring()
	}
}

// label makes a label that every node knows at once.
func (h *hub) label(defs ...model.LabelDefinition) model.UID {
	l := model.Label{UID: model.UID{200, byte(h.pick(250)), byte(h.pick(250)), byte(h.pick(250))}, Name: "l", Version: 1, Definitions: defs, Metadata: []byte("{}")}
	for _, n := range h.nodes {
		n.db.take([]row{{label: &l}})
	}
	return l.UID
}

func definition(cpu, ram uint, lifetime string) model.LabelDefinition {
	return model.LabelDefinition{
		Driver: "test", Options: []byte("{}"), Resources: model.Resources{CPU: cpu, RAM: ram, Lifetime: lifetime, NodeFilter: []string{}},
	}
}

// status is what the node shows.
func (n *node) status(app model.UID) model.Status {
	n.db.mu.Lock()
	defer n.db.mu.Unlock()
	if e := n.db.entries[app]; e != nil {
		return e.Fold.Status()
	}
	return ""
}

// entry is what the node knows.
func (n *node) entry(app model.UID) *model.Entry {
	n.hub.t.Helper()
	n.db.mu.Lock()
	defer n.db.mu.Unlock()
	if e := n.db.entries[app]; e != nil {
		return e
	}
	n.hub.t.Fatalf("node %d does not know %s", n.index, app)
	return nil
}

// want waits in fake time until the node shows the status.
func (n *node) want(app model.UID, status model.Status, within time.Duration) {
	n.hub.t.Helper()
	for deadline := time.Now().Add(within); n.status(app) != status; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			n.hub.t.Fatalf("node %d shows %q after %v, want %s: %+v", n.index, n.status(app), within, status, n.entry(app).States)
		}
	}
}

// recall gives an application up.
func (n *node) recall(app model.UID) {
	_, _ = n.db.Update(context.Background(), app, func(e *model.Entry) (model.Change, error) {
		return model.RequestRelease(e, "Requested by user u") // who was late has nothing to ask for
	})
}
