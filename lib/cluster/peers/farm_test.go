package peers

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

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

// reach are the nodes that links lead to, without the link a-b.
func (f *farm) reach(i, a, b int) map[int]bool {
	seen := map[int]bool{i: true}
	for queue := []int{i}; len(queue) > 0; queue = queue[1:] {
		for j := range f.nodes[queue[0]].links {
			cut := queue[0] == a && j == b || queue[0] == b && j == a
			if !seen[j] && !cut {
				seen[j] = true
				queue = append(queue, j)
			}
		}
	}
	return seen
}

func (f *farm) state(i int) State {
	n, reach := f.nodes[i], f.reach(i, -1, -1)
	var s State
	for j, l := range n.links {
		now := *l
		now.Degree, now.Bridge = len(f.nodes[j].links), !f.reach(i, i, j)[j]
		s.Links = append(s.Links, now)
	}
	for j := range reach {
		n.known[j] = true
	}
	for j := range n.known {
		s.Candidates = append(s.Candidates, Candidate{Address: address(j), Node: uid(j), Location: "here", Reachable: reach[j],
			Full: f.nodes[j].peers.Free(len(f.nodes[j].links)) == 0})
	}
	for _, j := range n.seeds {
		s.Candidates = append(s.Candidates, Candidate{Address: address(j)})
	}
	return s
}

func (f *farm) unlink(i, j int) {
	delete(f.nodes[i].links, j)
	delete(f.nodes[j].links, i)
}

func (f *farm) link(i, j int) {
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
				if !f.reach(i, i, j)[j] {
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
	verdict := f.nodes[j].peers.Admit(s, Asker{Node: uid(i), Alone: len(n.links) == 0, Reachable: f.reach(j, -1, -1)[i]}, f.now)
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
		return len(f.reach(0, -1, -1)) == len(f.nodes) &&
			!slices.ContainsFunc(f.nodes, func(n *farmNode) bool { return len(n.links) > most })
	}
	start := f.now
	for !good() {
		if f.now.Sub(start) > limit {
			f.t.Fatalf("after %v node 0 reaches %d of %d", limit, len(f.reach(0, -1, -1)), len(f.nodes))
		}
		f.round()
	}
	f.t.Logf("settled after %v; at most %d links at a time", f.now.Sub(start), f.worst)
	for range 50 {
		f.round()
	}
	if !good() {
		f.t.Fatalf("five seconds later node 0 reaches %d of %d", len(f.reach(0, -1, -1)), len(f.nodes))
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
			if !f.reach(i, i, j)[j] {
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
			f.nodes[i].peers.Lost(uid(j))
			f.nodes[j].peers.Lost(uid(i))
		}
		f.round()
	}
	f.settle(time.Minute, 6)
}
