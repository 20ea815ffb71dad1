package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/peers"
	"github.com/aquarium-fish/aquarium-fish/lib/cluster/topo"
	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// Cluster is this node's membership.
type Cluster struct {
	o       Options
	log     *slog.Logger
	started time.Time
	wake    chan struct{} // holds a token when the main loop should look
	work    sync.WaitGroup

	mu        sync.Mutex
	running   context.Context // of Run; nil while it does not run
	db        *topo.DB
	peers     *peers.Peers
	links     map[model.UID]*neighbour
	hints     map[string]wire.Member // addresses that full nodes named
	causes    map[model.UID]string   // why the last link with a node ended
	health    health
	ready     readiness
	ballots   ballots
	watchers  map[int]func(Event)
	watcher   int
	seen      *topo.Snapshot     // a recent one
	told      *topo.Snapshot     // what events were told of
	met       map[model.UID]bool // who was a member before, for events: since the start, and as the database knew then
	twinAlarm time.Time
	expelled  map[model.UID]bool // retired nodes that were forgotten here
	echo      time.Time          // when to speak because one was retired; zero: not
}

// New returns a Cluster that knows nobody.
func New(o Options) (*Cluster, error) {
	o, err := o.validate()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	c := &Cluster{
		o: o, log: o.Log.With("component", "cluster"), started: now, wake: make(chan struct{}, 1),
		db:    topo.New(o.Self.Node, o.Self.Boot, o.Now()),
		peers: peers.New(peers.Options{Self: o.Self.Node, Location: o.Self.Location, Max: o.MaxLinks, Rand: o.Self.chance()}),
		links: map[model.UID]*neighbour{}, hints: map[string]wire.Member{}, causes: map[model.UID]string{},
		watchers: map[int]func(Event){}, ballots: newBallots(), expelled: map[model.UID]bool{},
		met: map[model.UID]bool{},
	}
	for _, k := range o.Known() {
		c.met[k.Node] = true
	}
	c.seen = c.db.Snapshot(now)
	c.told = c.seen
	return c, nil
}

// goodbyeTime bounds how long the last word of a node takes.
const goodbyeTime = time.Second

// Run is a member of the cluster until ctx is done: then it says goodbye to
// its neighbours, and returns when all that it began has ended.
func (c *Cluster) Run(ctx context.Context) error {
	// Links outlive ctx for as long as the goodbye takes.
	inner, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	c.mu.Lock()
	if c.running != nil {
		c.mu.Unlock()
		return fmt.Errorf("run cluster: it runs already")
	}
	c.running = inner
	c.mu.Unlock()

	ended := make(chan error, 1)
	c.work.Go(func() {
		ended <- c.o.Transport.Run(inner, Handlers{Incoming: c.incoming, Relay: c.relay})
	})
	looked := make(chan struct{})
	c.work.Go(func() { c.probe(inner, looked) })
	select { // so that the first word says how the node is, unless the look hangs
	case <-looked:
	case <-time.After(firstLook):
	case <-ctx.Done():
	}
	err := c.loop(ctx, ended)
	c.goodbye(inner)
	c.mu.Lock()
	c.running = nil // nothing begins any more
	c.mu.Unlock()
	stop()
	c.work.Wait()
	return err
}

// begin runs f in a goroutine that Run waits for; not if Run is about to end.
// The caller holds mu.
func (c *Cluster) begin(f func(ctx context.Context)) bool {
	if c.running == nil {
		return false
	}
	ctx := c.running
	c.work.Go(func() { f(ctx) })
	return true
}

// poke leaves a token; one that is there already is enough.
func poke(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

// Touch tells that Report or Known has changed: others shall know at once.
func (c *Cluster) Touch() { poke(c.wake) }

// tick is how often the main loop comes round at least: it looks at what
// nobody tells it of.
const tick = time.Second

// loop is the main loop. Only what it says of this node's health is believed
// by others, so a node of which it hangs is soon no member.
func (c *Cluster) loop(ctx context.Context, transport <-chan error) error {
	for {
		wait := c.turn() //nolint:contextcheck // what it begins lives as long as Run
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case err := <-transport:
			timer.Stop()
			return errors.Join(errors.New("run transport: it ended before the cluster"), err)
		case <-c.wake:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// turn does all that is due, and returns how long nothing will be.
func (c *Cluster) turn() time.Duration {
	report, known := c.o.Report(), c.o.Known()
	lapsed := c.o.Lapsed()
	var vector replica.Vector
	if lapsed || !c.Ready() {
		vector = c.o.Replication.Vector()
	}
	now := time.Now()

	c.mu.Lock()
	retired := c.expel(known, now)
	c.lookReady(vector, lapsed, known, now)
	c.db.Expire(now)
	c.db.Update(c.lsa(report, now), now)
	if !c.echo.IsZero() && !now.Before(c.echo) {
		c.db.RenewBy(now)
		c.echo = time.Time{}
	}
	if t, ok := c.db.Originate(now); ok {
		c.flood(t, nil, now)
	}
	c.castDue(report, now)
	next := now.Add(tick)
	drops, at := c.decide(known, now)
	for _, due := range []time.Time{at, c.db.Due(), c.db.NextExpiry(now), c.ballots.due, c.ready.due(now), c.echo} {
		if !due.IsZero() && due.Before(next) {
			next = due
		}
	}
	c.end(retired, wire.CodeRetired, "the node was retired: to use the machine again, let it join anew with a fresh key (aquarium-fish cluster join)")
	c.end(drops, wire.CodeRedundant, "given up in favour of another link: nothing to do")
	events := c.changes(now)
	watchers := c.listeners()
	twin := c.db.Twin(now) && now.Sub(c.twinAlarm) >= time.Minute
	if twin {
		c.twinAlarm = now
	}
	c.mu.Unlock()

	if twin {
		c.log.Error("another live process speaks for this node: stop it; a copied machine needs a key and a name of its own (aquarium-fish cluster join)", "node", c.o.Self.Node)
	}
	c.tell(events, watchers)
	return max(time.Until(next), time.Millisecond)
}

// end closes links beside the main loop: a neighbour may be slow to take the
// reason. The caller holds mu.
func (c *Cluster) end(links []Link, code wire.Code, text string) {
	for _, l := range links {
		c.begin(func(context.Context) { l.Close(code, text) })
	}
}

// echoAfter is when a node speaks that hears that another one was retired: by
// then the successor has heard of it too, which waits for a word of all that is
// later than that. Rows of 100 nodes take half a second.
const echoAfter = 2 * time.Second

// expel forgets retired nodes and returns their links. The caller holds mu.
func (c *Cluster) expel(known []Known, now time.Time) []Link {
	var out []Link
	for _, k := range known {
		if !k.Retired {
			continue
		}
		if !c.expelled[k.Node] {
			c.expelled[k.Node], c.echo = true, now.Add(echoAfter)
		}
		c.db.Forget(k.Node)
		if n := c.links[k.Node]; n != nil {
			out = append(out, n.link)
		}
	}
	return out
}

// lsa is what this node says of itself. The caller holds mu.
func (c *Cluster) lsa(r Report, now time.Time) wire.LSA {
	l := wire.LSA{
		Name: c.o.Self.Name, Location: c.o.Self.Location, Address: c.o.Self.Address, Program: c.o.Self.Program,
		ProtocolMin: wire.ProtocolMin, ProtocolMax: wire.ProtocolMax, Incarnation: r.Incarnation, RowSeq: r.RowSeq,
		Load: r.Load, Free: uint8(min(c.peers.Free(len(c.links)), 255)), Shares: r.Shares, Succession: r.Succession, // bounded
	}
	if !r.NotAfter.IsZero() {
		l.NotAfter = r.NotAfter.Unix()
	}
	for flag, on := range map[wire.Flags]bool{
		wire.FlagHealthy: c.health.good(now), wire.FlagReady: c.ready.done, wire.FlagMaintenance: r.Maintenance,
		wire.FlagSigner: r.Signer, wire.FlagAvailable: r.Available,
	} {
		if on {
			l.Flags |= flag
		}
	}
	for node, n := range c.links {
		l.Neighbours = append(l.Neighbours, wire.Neighbour{
			Node: node, RTT: uint32(min(n.link.RTT().Microseconds(), 1<<32-1)), Clock: n.clock.millis(), // bounded
		})
	}
	return l
}

// goodbye tells the neighbours that this node stops.
func (c *Cluster) goodbye(ctx context.Context) {
	c.mu.Lock()
	last := c.db.Goodbye(time.Now())
	links := make([]Link, 0, len(c.links))
	for _, n := range c.links {
		links = append(links, n.link)
	}
	c.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, goodbyeTime)
	defer cancel()
	var sending sync.WaitGroup
	for _, l := range links {
		sending.Go(func() {
			if l.Send(ctx, last) != nil {
				return // it has ended, or is too slow: others tell
			}
			select { // who got it ends the link
			case <-l.Done():
			case <-ctx.Done():
			}
		})
	}
	sending.Wait()
}
