package peers

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/topo"
	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// farm is nodes that follow the rules, with a topology that everybody knows at
// once.
type farm struct {
	t     *testing.T
	now   time.Time
	nodes []*farmNode
	sees  func(i, j int) bool // whether i can dial j
	worst int                 // links of one node at a time

	seen *topo.Snapshot // nil once a link came or went
	part map[model.UID]int
}

type farmNode struct {
	peers *Peers
	links map[int]*Link
	seeds []int
	known map[int]bool // addresses it heard of
}

func newFarm(t *testing.T, n, limit int) *farm {
	f := &farm{t: t, now: begin, sees: func(int, int) bool { return true }}
	for i := range n {
		f.nodes = append(f.nodes, &farmNode{peers: newPeers(i, limit), links: map[int]*Link{}, known: map[int]bool{}})
	}
	return f
}

// view is the whole graph as it is now.
func (f *farm) view() *topo.Snapshot {
	if f.seen != nil {
		return f.seen
	}
	db := topo.New(model.UID{0xff}, 1, begin)
	var lsas []wire.LSA
	for i, n := range f.nodes {
		l := wire.LSA{Node: uid(i), Boot: 1, Seq: 1}
		for j := range n.links {
			l.Neighbours = append(l.Neighbours, wire.Neighbour{Node: uid(j)})
		}
		lsas = append(lsas, l)
	}
	db.Apply(wire.Topology{LSAs: lsas}, begin)
	f.seen = db.Snapshot(begin)
	f.part = map[model.UID]int{}
	for k, part := range f.seen.Components() {
		for _, node := range part {
			f.part[node] = k
		}
	}
	return f.seen
}

// reaches reports whether links lead from i to j.
func (f *farm) reaches(i, j int) bool {
	f.view()
	return f.part[uid(i)] == f.part[uid(j)]
}

func (f *farm) bridge(i, j int) bool { return f.view().Bridge(uid(i), uid(j)) }

// reached is how many nodes links lead to from node 0.
func (f *farm) reached() int {
	n := 0
	for j := range f.nodes {
		if f.reaches(0, j) {
			n++
		}
	}
	return n
}

func (f *farm) state(i int) State {
	n := f.nodes[i]
	var s State
	for j, l := range n.links {
		now := *l
		now.Degree, now.Bridge = len(f.nodes[j].links), f.bridge(i, j)
		s.Links = append(s.Links, now)
	}
	for j := range f.nodes {
		n.known[j] = n.known[j] || f.reaches(i, j)
	}
	for j, known := range n.known {
		if !known {
			continue
		}
		s.Candidates = append(s.Candidates, Candidate{Address: address(j), Node: uid(j), Location: "here", Reachable: f.reaches(i, j),
			Full: f.nodes[j].peers.Free(len(f.nodes[j].links)) == 0})
	}
	for _, j := range n.seeds {
		s.Candidates = append(s.Candidates, Candidate{Address: address(j)})
	}
	return s
}

func (f *farm) unlink(i, j int) {
	f.seen = nil
	delete(f.nodes[i].links, j)
	delete(f.nodes[j].links, i)
}

func (f *farm) link(i, j int) {
	f.seen = nil
	f.nodes[i].links[j] = &Link{Node: uid(j), Location: "here", Outgoing: true, Since: f.now}
	f.nodes[j].links[i] = &Link{Node: uid(i), Location: "here", Since: f.now}
	f.worst = max(f.worst, len(f.nodes[i].links), len(f.nodes[j].links))
}

// round lets each node decide once, and goes on by 100 ms.
func (f *farm) round() {
	for i, n := range f.nodes {
		actions, _ := n.peers.Decide(f.state(i), f.now)
		for _, a := range actions {
			if a.Dial == nil {
				j := slices.IndexFunc(f.nodes, func(m *farmNode) bool { return m.peers.o.Self == a.Drop })
				if f.bridge(i, j) {
					f.t.Fatalf("node %d gives up the bridge to %d", i, j)
				}
				f.unlink(i, j)
				continue
			}
			f.dial(i, a.Dial.Address)
		}
	}
	f.now = f.now.Add(100 * time.Millisecond)
}

func (f *farm) dial(i int, to string) {
	j := slices.IndexFunc(f.nodes, func(m *farmNode) bool { return to == address(indexOf(f, m)) })
	n := f.nodes[i]
	if j == i {
		n.peers.Failed(to, uid(i), f.now)
		return
	}
	if _, linked := n.links[j]; linked || !f.sees(i, j) {
		n.peers.Failed(to, model.NilUID, f.now)
		return
	}
	s := f.state(j)
	verdict := f.nodes[j].peers.Admit(s, Asker{Node: uid(i), Alone: len(n.links) == 0, Reachable: f.reaches(j, i)}, f.now)
	if !verdict.Take {
		n.peers.Failed(to, uid(j), f.now)
		n.peers.Hint(verdict.Try, f.now)
		f.learn(n, verdict.Try)
		return
	}
	if verdict.Evict != model.NilUID {
		f.unlink(j, int(verdict.Evict[0])<<8|int(verdict.Evict[1]))
	}
	f.link(i, j)
	n.peers.Linked(to, uid(j), f.now)
}

func indexOf(f *farm, m *farmNode) int { return slices.Index(f.nodes, m) }

func (f *farm) learn(n *farmNode, members []wire.Member) {
	for _, m := range members {
		n.known[int(m.Node[0])<<8|int(m.Node[1])] = true
	}
}

// settle runs for up to limit until all are connected and none has too many
// links, and then for another five seconds, in which that has to stay.
func (f *farm) settle(limit time.Duration, most int) {
	f.t.Helper()
	good := func() bool {
		return f.reached() == len(f.nodes) &&
			!slices.ContainsFunc(f.nodes, func(n *farmNode) bool { return len(n.links) > most })
	}
	start := f.now
	for !good() {
		if f.now.Sub(start) > limit {
			f.t.Fatalf("after %v node 0 reaches %d of %d", limit, f.reached(), len(f.nodes))
		}
		f.round()
	}
	f.t.Logf("settled after %v; at most %d links at a time", f.now.Sub(start), f.worst)
	for range 50 {
		f.round()
	}
	if !good() {
		f.t.Fatalf("five seconds later node 0 reaches %d of %d", f.reached(), len(f.nodes))
	}
}

// TestOneSeed: a hundred nodes know one address.
func TestOneSeed(t *testing.T) {
	f := newFarm(t, 100, 8)
	for i := range f.nodes {
		f.nodes[i].seeds = []int{0}
	}
	f.settle(time.Minute, 8)
	bridges, sum := 0, 0
	for i, n := range f.nodes {
		sum += len(n.links)
		for j := range n.links {
			if f.bridge(i, j) {
				bridges++
			}
		}
	}
	t.Logf("%.1f links per node, %d bridges", float64(sum)/100, bridges/2)
}

// TestSaturatedIslands: two groups of which each node has all the links that
// it may have find together through one address.
func TestSaturatedIslands(t *testing.T) {
	f := newFarm(t, 24, 4)
	for base := range 2 {
		for k := range 12 { // each node linked with the two on either side
			f.link(base*12+k, base*12+(k+1)%12)
			f.link(base*12+k, base*12+(k+2)%12)
		}
	}
	f.now = f.now.Add(time.Hour)
	f.nodes[5].seeds = []int{17}
	f.settle(10*time.Second, 4)
}

// TestPartialMesh: A and C see only B; and a hub of which the spokes see
// nobody else.
func TestPartialMesh(t *testing.T) {
	chain := newFarm(t, 3, 8)
	chain.sees = func(i, j int) bool { return i-j == 1 || j-i == 1 }
	chain.nodes[0].seeds, chain.nodes[2].seeds = []int{1}, []int{1}
	chain.settle(10*time.Second, 8)

	hub := newFarm(t, 15, 4)
	hub.sees = func(i, j int) bool { return i == 0 || j == 0 }
	for i := range hub.nodes {
		hub.nodes[i].seeds = []int{0}
	}
	hub.settle(20*time.Second, 14)
}

// TestChurn: links break all the time, and it comes together again.
func TestChurn(t *testing.T) {
	f := newFarm(t, 30, 6)
	for i := range f.nodes {
		f.nodes[i].seeds = []int{0, 1}
	}
	f.settle(time.Minute, 6)
	chance := rand.New(rand.NewPCG(rand.Uint64(), 1))
	for range 100 {
		i := chance.IntN(30)
		for j := range f.nodes[i].links {
			f.unlink(i, j)
			f.nodes[i].peers.Lost(uid(j), time.Minute, f.now)
			f.nodes[j].peers.Lost(uid(i), time.Minute, f.now)
		}
		f.round()
	}
	f.settle(time.Minute, 6)
}
