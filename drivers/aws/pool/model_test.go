package pool

import (
	"container/heap"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
)

// TestModel lets the pool run in the hostile world, and checks after each step
// what must hold (DESIGN.md, invariants).
func TestModel(t *testing.T) {
	steps := 100_000
	switch {
	case needs.Long():
		steps = 1_200_000
	case testing.Short():
		steps = 10_000
	}
	const perRun = 5000
	total := map[string]int{}
	for seed := range uint64(steps / perRun) {
		g := newGame(t, seed)
		g.play(perRun)
		g.settleDown()
		for k, n := range g.seen {
			total[k] += n
		}
	}
	t.Logf("in %d steps: %v", steps, total)
	want := []string{"grant", "refuse", "allocate", "release", "scrub", "restart", "handover", "lost answer"}
	if steps > 1_000_000 {
		want = append(want, "jump", "young refused")
	}
	for _, k := range want {
		if total[k] == 0 {
			t.Errorf("the world never came to %q: the test is not hostile enough", k)
		}
	}
}

// node is one that is configured for the pool.
type node struct {
	name    string
	state   *State
	shadow  *State // gets the same steps
	saved   []byte
	rev     uint64
	cfg     Config
	owner   bool
	clock   time.Duration // by how much it is wrong
	life    int           // counts restarts
	asked   ActionID      // the last new host
	counted ActionID      // the last list that came
	tick    time.Time
}

// promise is a grant that its token may use.
type promise struct {
	token, host string
	until       time.Time
	sent        bool // a launch is on its way
	over        bool
}

// game is a world and the nodes in it.
type game struct {
	t        *testing.T
	seed     uint64
	dice     *rand.Rand
	w        *world
	nodes    []*node
	agenda   agenda
	order    int
	promises map[string]*promise // by token
	open     map[string]time.Time
	tokens   int
	decided  ActionID // of the last new host in this step
	jumps    bool     // of the clocks
	jumped   time.Time
	steps    int
	seen     map[string]int
	log      []string
}

func newGame(t *testing.T, seed uint64) *game {
	dice := rand.New(rand.NewPCG(seed, 7))
	minAge := MacMinAge
	if dice.IntN(6) == 0 {
		minAge = 0
	}
	g := &game{
		t: t, seed: seed, dice: dice, w: newWorld(dice, minAge), promises: map[string]*promise{}, open: map[string]time.Time{},
		jumps: dice.IntN(4) == 0, seen: map[string]int{},
	}
	if g.jumps { // a jump may count for the time to the next tick
		g.w.lag = 2 * time.Minute
	}
	for i := range 2 {
		n := &node{name: fmt.Sprintf("n%d", i)}
		n.cfg = g.config(n)
		g.nodes = append(g.nodes, n)
		g.start(n, i == 0)
	}
	g.own(g.nodes[0], true)
	return g
}

// config is one that a person may write.
func (g *game) config(n *node) Config {
	pick := func(d ...time.Duration) time.Duration { return d[g.dice.IntN(len(d))] }
	c := Config{
		Name: "mac", Origin: n.name, Type: "mac2.metal", Zones: [][]string{{"a"}, {"a", "b"}, {"b", "c"}}[g.dice.IntN(3)],
		Max: 1 + g.dice.IntN(6), MinAge: g.w.minAge,
		ScrubbingDelay: pick(0, time.Minute, 5*time.Minute, time.Hour), IdleDelay: pick(0, 0, 10*time.Minute, 5*time.Hour),
		PendingToAvailable: pick(0, 2*time.Minute), Patience: pick(0, 10*time.Minute, 2*time.Hour),
		LookEvery: pick(10*time.Second, time.Minute, 4*time.Minute), LookIdle: pick(time.Minute, 4*time.Minute),
	}
	if g.jumps {
		c.LookEvery, c.LookIdle = min(c.LookEvery, time.Minute), time.Minute
	}
	if g.dice.IntN(8) == 0 {
		c.Type = "mac1.metal"
	}
	if n.life > 0 && g.dice.IntN(10) == 0 {
		c.Max = 0
	}
	return c
}

// start starts a node with what it saved.
func (g *game) start(n *node, whole bool) {
	var saved *Saved
	if n.saved != nil && whole {
		saved = new(Saved)
		if err := json.Unmarshal(n.saved, saved); err != nil {
			g.t.Fatal(err)
		}
	} else if n.life == 0 && whole {
		saved = &Saved{Owned: true}
	}
	n.state, n.shadow = New(n.cfg, saved), New(n.cfg, saved)
	n.rev, n.asked, n.counted, n.tick = 0, 0, 0, time.Time{}
	n.life++
}

func (g *game) own(n *node, owner bool) {
	n.owner = owner
	g.step(n, Own{Owner: owner})
}

// step gives a node an event, and carries out what it wants.
func (g *game) step(n *node, e Event) {
	g.steps++
	now := g.w.now.Add(n.clock)
	actions := n.state.Step(now, e)
	g.logf("%s %T%+v", n.name, e, e)
	for _, a := range actions {
		g.logf("    %T%+v", a, a)
	}
	if twice := n.shadow.Step(now, e); !reflect.DeepEqual(actions, twice) {
		g.fatalf("the same steps gave\n%+v\nand\n%+v", actions, twice)
	}
	if err := consistent(n.state); err != nil {
		g.fatalf("%v", err)
	}
	g.checkSaved(n)
	next := n.state.Next()
	if !next.IsZero() && !next.After(now) {
		g.fatalf("the next tick is due at %v, and it is %v", next, now)
	}
	g.decided = n.asked
	for _, a := range actions {
		g.check(n, a)
	}
	n.asked = g.decided
	g.checkKnown(n, e)
	for _, a := range actions {
		g.do(n, a)
	}
	if next.IsZero() {
		n.tick = time.Time{}
	} else {
		n.tick = g.w.now.Add(next.Sub(now))
	}
}

// play runs a number of steps.
func (g *game) play(steps int) {
	for g.steps < steps {
		g.advance()
		if g.dice.IntN(3) > 0 {
			continue
		}
		n := g.nodes[g.dice.IntN(2)]
		if other := g.nodes[0]; !n.owner && g.dice.IntN(4) > 0 {
			if n = other; !n.owner {
				n = g.nodes[1]
			}
		}
		switch roll := g.dice.IntN(1000); {
		case roll < 300:
			g.ask(n)
		case roll < 320:
			g.step(n, Look{})
		case roll < 420:
			g.w.strike()
		case roll < 430:
			g.step(n, Drain{g.dice.IntN(4) == 0})
		case roll < 445:
			g.restart(n)
		case roll < 455:
			g.handOver()
		case roll < 470 && g.jumps && g.w.now.Sub(g.jumped) > 10*time.Minute:
			g.jumped = g.w.now
			g.seen["jump"]++
			n.clock = []time.Duration{0, -3 * time.Hour, 5 * time.Hour, 200 * 24 * time.Hour, -time.Second}[g.dice.IntN(5)]
		case roll < 520:
			g.idle(g.w.between(0, 2*time.Hour))
		}
		for token, until := range g.open { // all are looked at
			if g.w.now.Sub(until) > time.Hour && !g.jumps {
				g.fatalf("%s was to be answered until %v", token, until)
			}
		}
	}
	g.seen["young refused"] += g.w.tooYoung
	if g.w.tooYoung > 0 && !g.jumps {
		g.fatalf("%d hosts were to be released before their time", g.w.tooYoung)
	}
}

// ask wants a host, once or twice.
func (g *game) ask(n *node) {
	g.tokens++
	e := Want{Token: fmt.Sprintf("t%05d", g.tokens), Until: g.w.now.Add(n.clock).Add(g.w.between(-time.Second, 2*time.Hour))}
	if g.dice.IntN(4) == 0 {
		e.Zones = []string{[]string{"a", "b", "c"}[g.dice.IntN(3)]}
	}
	if g.dice.IntN(20) == 0 {
		e.Type = "mac1.metal"
	}
	g.open[e.Token] = e.Until.Add(-n.clock)
	life := n.life
	g.step(n, e)
	if g.dice.IntN(5) == 0 {
		g.after(time.Second, func() {
			if n.life == life && g.promises[e.Token] == nil && g.open[e.Token] != (time.Time{}) {
				g.step(n, e)
			}
		})
	}
}

// restart kills a node; it comes back with what it saved, and perhaps with
// another configuration.
func (g *game) restart(n *node) {
	g.seen["restart"]++
	g.forget(n)
	if g.dice.IntN(3) == 0 {
		n.cfg = g.config(n)
	}
	g.start(n, true)
	if g.dice.IntN(2) == 0 {
		g.idle(g.w.between(0, 2*time.Hour))
	}
	if !n.owner {
		return
	}
	g.own(n, true)
	for range g.dice.IntN(4) { // those who waited ask again
		g.ask(n)
	}
}

// forget drops who waited for a node that is not there any more.
func (g *game) forget(n *node) {
	for token := range g.open { // all of them
		if n.state.queue.byToken[token] != nil {
			delete(g.open, token)
		}
	}
}

// handOver gives the pool to the other node, sometimes without its memory.
func (g *game) handOver() {
	g.seen["handover"]++
	from, to := g.nodes[0], g.nodes[1]
	if to.owner {
		from, to = to, from
	}
	g.own(from, false)
	g.own(to, true)
}

// settleDown has the world be kind, and nobody want anything: all is to end.
func (g *game) settleDown() {
	g.w.kind, g.w.outage, g.w.quota = true, false, 1000
	g.w.dry = map[string]bool{}
	for _, n := range g.nodes {
		n.clock = 0
		g.step(n, Drain{false})
	}
	g.idle(4 * 24 * time.Hour)
	for _, h := range g.w.live() {
		if h.state != cloud.HostPermanentFailure || h.on == nil {
			g.fatalf("after four quiet days there is %+v", h)
		}
	}
	if g.w.swept > 0 && g.seen["handover"] == 0 {
		g.fatalf("%d scrub instances were never ended", g.w.swept)
	}
	for _, n := range g.nodes {
		if a := n.state.Accounting(); n.owner && (a.Total != 0 || a.Waiting != 0) {
			g.fatalf("after four quiet days %s has %+v", n.name, n.state.Views())
		}
		if len(n.state.ghosts) > 0 && n.owner || len(n.state.timers) > 0 && n.owner {
			g.fatalf("after four quiet days %s remembers %v", n.name, n.state.ghosts)
		}
	}
}

// idle lets time pass.
func (g *game) idle(d time.Duration) {
	end := g.w.now.Add(d)
	for {
		next := end
		if len(g.agenda) > 0 && g.agenda[0].at.Before(next) {
			next = g.agenda[0].at
		}
		for _, n := range g.nodes {
			if !n.tick.IsZero() && n.tick.Before(next) {
				next = n.tick
			}
		}
		if !next.Before(end) {
			g.w.pass(end)
			return
		}
		g.advance()
	}
}

// advance goes to the next thing that happens.
func (g *game) advance() {
	next := g.w.now.Add(g.w.between(0, 10*time.Minute))
	var ticker *node
	for _, n := range g.nodes {
		if !n.tick.IsZero() && n.tick.Before(next) {
			next, ticker = n.tick, n
		}
	}
	if len(g.agenda) > 0 && !g.agenda[0].at.After(next) {
		do := heap.Pop(&g.agenda).(appointment)
		g.w.pass(later(do.at, g.w.now))
		do.do()
		return
	}
	g.w.pass(later(next, g.w.now))
	if ticker != nil {
		g.step(ticker, Tick{})
	}
}

func (g *game) after(d time.Duration, do func()) {
	g.order++
	heap.Push(&g.agenda, appointment{g.w.now.Add(d), g.order, do})
}

func (g *game) logf(format string, args ...any) {
	g.log = append(g.log, g.w.now.Format("02 15:04:05 ")+fmt.Sprintf(format, args...))
	if len(g.log) > 400 {
		g.log = slices.Delete(g.log, 0, 200)
	}
}

func (g *game) fatalf(format string, args ...any) {
	g.t.Helper()
	for _, line := range g.log[max(0, len(g.log)-150):] {
		g.t.Log(line)
	}
	g.t.Fatalf("seed %d, step %d: "+format, append([]any{g.seed, g.steps}, args...)...)
}
