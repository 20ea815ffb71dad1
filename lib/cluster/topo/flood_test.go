package topo

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// overhead is what a message costs on the wire beside itself: frame 4, yamux
// 12, TLS record 22, TCP and IPv4 52.
const overhead = 90

// flood runs databases linked with each other in simulated time.
type flood struct {
	t     *testing.T
	now   time.Time
	rand  *rand.Rand
	nodes []*floodNode
	mail  []floodMail
	bytes int // sent by all, with overhead
	sent  int
}

type floodNode struct {
	uid   model.UID
	db    *DB
	links map[int]*Outbox
	dead  bool
	load  uint8
}

type floodMail struct {
	from, to int
	at       time.Time
	message  any
}

func newFlood(t *testing.T, n int, seed uint64) *flood {
	f := &flood{t: t, now: time.Unix(1_800_000_000, 0), rand: rand.New(rand.NewPCG(seed, 1))}
	t.Logf("seed %d", seed)
	for i := range n {
		uid := model.UID{byte(i >> 8), byte(i), 7, 7}
		f.nodes = append(f.nodes, &floodNode{uid: uid, db: New(uid, f.rand.Uint64(), f.now), links: map[int]*Outbox{}})
		f.tell(i)
	}
	return f
}

// tell updates what a node says of itself.
func (f *flood) tell(i int) {
	n := f.nodes[i]
	l := wire.LSA{Name: "mac-farm-node-" + string(rune('a'+i%26)), Location: "Office Munich", Address: "mac-farm-17.example.com:8001", Flags: wire.FlagHealthy | wire.FlagReady,
		Program: "0.4.0-12-gdeadbeef", ProtocolMin: 1, ProtocolMax: 1, Incarnation: 1, RowSeq: f.rand.Uint64N(1 << 20), NotAfter: 1_900_000_000, Free: 3,
		Load: wire.Load{CPU: n.load, Memory: 44, Disk: 55, Used: 3}}
	for j := range n.links {
		l.Neighbours = append(l.Neighbours, wire.Neighbour{Node: f.nodes[j].uid, RTT: 1000 + f.rand.Uint32N(5000), Clock: 3})
	}
	n.db.Update(l, f.now)
}

func (f *flood) link(i, j int) {
	for _, pair := range [][2]int{{i, j}, {j, i}} {
		n := f.nodes[pair[0]]
		n.links[pair[1]] = NewOutbox(n.db, f.now)
		f.tell(pair[0])
	}
}

func (f *flood) unlink(i, j int) {
	for _, pair := range [][2]int{{i, j}, {j, i}} {
		delete(f.nodes[pair[0]].links, pair[1])
		f.tell(pair[0])
	}
}

func (f *flood) kill(i int) {
	for j := range f.nodes[i].links {
		f.unlink(i, j)
	}
	f.nodes[i].dead = true
}

// mesh links all nodes: a ring, and random links up to the degree.
func (f *flood) mesh(degree int) {
	n := len(f.nodes)
	for i := range n {
		f.link(i, (i+1)%n)
	}
	for range n * degree {
		i, j := f.rand.IntN(n), f.rand.IntN(n)
		_, linked := f.nodes[i].links[j]
		if i != j && !linked && len(f.nodes[i].links) < degree && len(f.nodes[j].links) < degree {
			f.link(i, j)
		}
	}
}

// step goes on by 20 ms: mail arrives, nodes speak.
func (f *flood) step() {
	f.now = f.now.Add(20 * time.Millisecond)
	var later []floodMail
	arrived := f.mail
	f.mail = nil
	for _, m := range arrived {
		if m.at.After(f.now) {
			later = append(later, m)
			continue
		}
		f.deliver(m)
	}
	f.mail = append(f.mail, later...)
	for i, n := range f.nodes {
		if n.dead {
			continue
		}
		if t, ok := n.db.Originate(f.now); ok {
			f.pass(i, -1, t)
		}
		for j, out := range n.links {
			for _, m := range out.Take(n.db, f.now) {
				f.send(i, j, m)
			}
		}
	}
}

// pass hands news to all links but the one they came by.
func (f *flood) pass(i, from int, t wire.Topology) {
	for j, out := range f.nodes[i].links {
		if j != from {
			out.Add(t, f.now)
		}
	}
}

func (f *flood) deliver(m floodMail) {
	n := f.nodes[m.to]
	out, linked := n.links[m.from]
	if !linked || n.dead {
		return
	}
	switch message := m.message.(type) {
	case wire.Topology:
		out.Heard(message)
		news := n.db.Apply(message, f.now)
		f.pass(m.to, m.from, news.Topology)
		if len(news.Ask) > 0 {
			f.send(m.to, m.from, wire.TopologyAsk{Nodes: news.Ask})
		}
	case wire.TopologyAsk:
		f.send(m.to, m.from, wire.Topology{LSAs: n.db.Answer(message.Nodes, f.now)})
	}
}

func (f *flood) send(i, j int, message any) {
	data, err := wire.Encode(message)
	if err != nil {
		f.t.Fatal(err)
	}
	f.bytes += len(data) + overhead
	f.sent++
	f.mail = append(f.mail, floodMail{from: i, to: j, at: f.now.Add(time.Duration(1+f.rand.IntN(30)) * time.Millisecond), message: message})
}

// until steps until the condition holds and returns how long it took.
func (f *flood) until(limit time.Duration, cond func() bool) time.Duration {
	f.t.Helper()
	start := f.now
	for !cond() {
		if f.now.Sub(start) > limit {
			f.t.Fatalf("not within %v", limit)
		}
		f.step()
	}
	return f.now.Sub(start)
}

func (f *flood) run(d time.Duration) {
	for end := f.now.Add(d); f.now.Before(end); {
		f.step()
	}
}

// agree reports whether all living nodes see the same links, and reach those
// of their half (of all if cut is 0) and no others.
func (f *flood) agree(cut int) bool {
	for i, n := range f.nodes {
		if n.dead {
			continue
		}
		s := n.db.Snapshot(f.now)
		for j, m := range f.nodes {
			want := !m.dead && (cut == 0 || i < cut == (j < cut))
			if got := s.Reachable(m.uid); got != want {
				return false
			}
		}
	}
	return true
}

// TestHundredNodes is the network of the goal: 100 nodes, at most 8 links
// each. It measures how long they need to agree and what idling costs.
func TestHundredNodes(t *testing.T) {
	f := newFlood(t, 100, rand.Uint64())
	f.mesh(8)
	took := f.until(15*time.Second, func() bool { return f.agree(0) })
	t.Logf("all agree after the start: %v", took)
	f.run(30 * time.Second)

	f.kill(17)
	if took = f.until(time.Second, func() bool { return f.agree(0) }); took >= time.Second {
		t.Errorf("a killed node: all knew after %v", took)
	}
	t.Logf("all know of a killed node: %v", took)

	f.run(40 * time.Second)
	f.bytes, f.sent = 0, 0
	const idle = 3 * time.Minute
	for end := f.now.Add(idle); f.now.Before(end); {
		i := f.rand.IntN(len(f.nodes))
		f.nodes[i].load++
		f.tell(i) // figures change all the time
		f.run(time.Second)
	}
	perNode := float64(f.bytes) / idle.Seconds() / float64(len(f.nodes)-1)
	t.Logf("idle: %.0f bytes and %.1f messages per node and second, overhead of %d bytes a message included",
		perNode, float64(f.sent)/idle.Seconds()/float64(len(f.nodes)-1), overhead)
	if perNode > 2000 {
		t.Errorf("idle topology takes %.0f bytes per node and second: more than 2000 leave too little of the 3000 for the rest", perNode)
	}
	want := f.nodes[0].db.Snapshot(f.now).Links()
	for _, n := range f.nodes {
		if diff := cmp.Diff(want, n.db.Snapshot(f.now).Links()); !n.dead && diff != "" {
			t.Fatalf("node %s sees other links:\n%s", n.uid, diff)
		}
	}
}

// TestCutAndHeal: two halves lose each other, and find each other over one new
// link, whether the other half was still believed or long gone.
func TestCutAndHeal(t *testing.T) {
	for _, lasting := range []time.Duration{5 * time.Second, 5 * time.Minute} {
		t.Run(lasting.String(), func(t *testing.T) {
			f := newFlood(t, 40, rand.Uint64())
			f.mesh(5)
			f.until(15*time.Second, func() bool { return f.agree(0) })
			f.run(30 * time.Second)
			for i := range 20 {
				for j := range f.nodes[i].links {
					if j >= 20 {
						f.unlink(i, j)
					}
				}
			}
			for i := range 19 { // each half is connected in itself
				for _, k := range []int{i, i + 20} {
					if _, linked := f.nodes[k].links[k+1]; !linked {
						f.link(k, k+1)
					}
				}
			}
			t.Logf("cut known to all: %v", f.until(5*time.Second, func() bool { return f.agree(20) }))
			f.run(lasting)
			f.link(3, 33)
			took := f.until(2*time.Second, func() bool { return f.agree(0) })
			t.Logf("heal known to all: %v", took)
			if got := f.nodes[11].db.Snapshot(f.now); !got.Bridge(f.nodes[3].uid, f.nodes[33].uid) || len(got.Components()) != 1 {
				t.Errorf("the one link between the halves is no bridge in %v", got.Bridges())
			}
		})
	}
}

// TestClockSetBack: a node that starts again with a clock an hour behind is
// known at once all the same.
func TestClockSetBack(t *testing.T) {
	f := newFlood(t, 5, 7)
	f.mesh(3)
	f.until(10*time.Second, func() bool { return f.agree(0) })
	f.kill(2)
	f.until(time.Second, func() bool { return f.agree(0) })
	n := f.nodes[2]
	n.db, n.dead = New(n.uid, 999, f.now.Add(-time.Hour)), false
	f.link(2, 3)
	f.until(2*time.Second, func() bool {
		m, _ := f.nodes[0].db.Snapshot(f.now).Member(n.uid)
		return m.LSA.Boot == 999 && f.agree(0)
	})
	if n.db.Twin(f.now) {
		t.Error("what the dead process left counts as a living twin")
	}
}

// TestClockSetBackWhileAway: when nobody believes the earlier process any more, nobody tells the later one of it. It is
// heard all the same, though its clock was dead when it began.
func TestClockSetBackWhileAway(t *testing.T) {
	f := newFlood(t, 5, 7)
	f.mesh(3)
	f.until(10*time.Second, func() bool { return f.agree(0) })
	f.kill(2)
	f.run(Expiry + time.Minute)
	n := f.nodes[2]
	n.db, n.dead = New(n.uid, 999, time.Unix(60, 0)), false
	f.link(2, 3)
	f.until(2*time.Second, func() bool {
		m, _ := f.nodes[0].db.Snapshot(f.now).Member(n.uid)
		return m.LSA.Boot == 999 && f.agree(0)
	})
}

// TestTwinIsSeen: two processes with one key, far from each other.
func TestTwinIsSeen(t *testing.T) {
	f := newFlood(t, 6, 7)
	for i := range 5 {
		f.link(i, i+1)
	}
	f.nodes[5].uid = f.nodes[0].uid
	f.nodes[5].db = New(f.nodes[0].uid, 555, f.now)
	f.tell(5)
	f.until(time.Minute, func() bool { return f.nodes[0].db.Twin(f.now) && f.nodes[5].db.Twin(f.now) })
}

// TestAskForBase: a pulse that comes before its LSA heals by a question.
func TestAskForBase(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	a, b := New(model.UID{1}, 11, now), New(model.UID{2}, 22, now)
	a.Update(wire.LSA{Name: "a"}, now)
	first, _ := a.Originate(now)
	now = now.Add(Renewal)
	pulse, ok := a.Originate(now)
	if !ok || len(first.LSAs) != 1 || len(pulse.Pulses) != 1 {
		t.Fatalf("originated %+v and %+v, want an LSA and a pulse", first, pulse)
	}
	news := b.Apply(pulse, now)
	if !slices.Equal(news.Ask, []model.UID{{1}}) || len(news.Topology.Pulses) != 0 {
		t.Fatalf("a pulse without its LSA is %+v, want a question", news)
	}
	b.Apply(wire.Topology{LSAs: a.Answer(news.Ask, now)}, now)
	if m, known := b.Snapshot(now).Member(model.UID{1}); !known || m.LSA.Name != "a" || m.LSA.Seq != 2 {
		t.Errorf("after the answer b knows %+v", m)
	}
}
