package peers

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

var begin = time.Unix(1_800_000_000, 0)

func uid(i int) model.UID { return model.UID{byte(i >> 8), byte(i), 1} }

func address(i int) string { return fmt.Sprintf("node-%d:8001", i) }

func newPeers(i, limit int) *Peers {
	return New(Options{Self: uid(i), Location: "here", Max: limit, Rand: rand.New(rand.NewPCG(uint64(i), 42))})
}

// links are n settled links to nodes 1..n, of which the first `bridges` are
// bridges.
func links(n, bridges int) []Link {
	var out []Link
	for i := range n {
		out = append(out, Link{Node: uid(i + 1), Location: "here", Since: begin.Add(-time.Hour), Degree: 3, Bridge: i < bridges})
	}
	return out
}

func TestAdmit(t *testing.T) {
	fresh := links(8, 0)
	for i := range fresh {
		fresh[i].Since = begin
	}
	candidates := []Candidate{{Node: uid(50), Address: address(50), Reachable: true}, {Node: uid(51), Address: address(51), Reachable: true, Full: true},
		{Node: uid(52), Address: address(52)}, {Node: uid(9), Address: address(9), Reachable: true}}
	tests := []struct {
		name  string
		links []Link
		asker Asker
		take  bool
		evict bool
		try   int
	}{
		{"room", links(6, 0), Asker{Node: uid(9), Reachable: true}, true, false, 0},
		{"only the last place", links(7, 0), Asker{Node: uid(9), Reachable: true}, false, false, 1},
		{"the last place for one that is alone", links(7, 0), Asker{Node: uid(9), Reachable: true, Alone: true}, true, false, 0},
		{"the last place for one that is not reachable", links(7, 0), Asker{Node: uid(9)}, true, false, 0},
		{"full", links(8, 0), Asker{Node: uid(9), Reachable: true, Alone: true}, false, false, 1},
		{"full, but not reachable otherwise", links(8, 7), Asker{Node: uid(9)}, true, true, 0},
		{"full of bridges, and not reachable otherwise", links(8, 8), Asker{Node: uid(9)}, true, false, 0},
		{"full of new links, and not reachable otherwise", fresh, Asker{Node: uid(9)}, true, false, 0},
		{"far too many bridges", links(32, 32), Asker{Node: uid(99)}, false, false, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := newPeers(0, 8).Admit(State{Links: tt.links, Candidates: candidates}, tt.asker, begin)
			if got.Take != tt.take || (got.Evict != model.NilUID) != tt.evict || len(got.Try) != tt.try {
				t.Errorf("Admit = %+v, want take %v, evict %v, %d to try", got, tt.take, tt.evict, tt.try)
			}
			if i := slices.IndexFunc(tt.links, func(l Link) bool { return l.Node == got.Evict }); i >= 0 && tt.links[i].Bridge {
				t.Errorf("Admit gives up the bridge to %v", got.Evict)
			}
		})
	}
}

func TestTryIsBounded(t *testing.T) {
	s := State{Links: links(8, 0)}
	for i := range 100 {
		s.Candidates = append(s.Candidates, Candidate{Node: uid(100 + i), Address: address(100 + i), Reachable: true})
	}
	if got := newPeers(0, 8).Admit(s, Asker{Node: uid(9), Reachable: true}, begin); len(got.Try) != 16 {
		t.Errorf("%d to try, want 16", len(got.Try))
	}
}

// TestRedundant: the link that is given up is no bridge, and not the only one
// to its location while another can go.
func TestRedundant(t *testing.T) {
	s := State{Links: links(4, 1)}
	s.Links[1].Location, s.Links[1].Degree = "far", 9
	s.Links[3].Degree = 5
	if got, ok := s.redundant(begin); !ok || got != uid(4) {
		t.Errorf("redundant = %v, %v, want the one with most links of its own (node 4)", got, ok)
	}
}

func TestPreferIsTheSameOnBothSides(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := uid(rapid.IntRange(0, 9).Draw(t, "a")), uid(rapid.IntRange(10, 19).Draw(t, "b"))
		aDialledNew := rapid.Bool().Draw(t, "a dialled the new one")
		atA, atB := Prefer(a, b, aDialledNew), Prefer(b, a, !aDialledNew)
		if atA != atB {
			t.Fatalf("one side prefers the new link: %v, the other: %v", atA, atB)
		}
		if atA == Prefer(a, b, !aDialledNew) {
			t.Fatal("what stays depends on which link came first")
		}
	})
}

// dials are the addresses that Decide wants dialled.
func dials(actions []Action) []string {
	var out []string
	for _, a := range actions {
		if a.Dial != nil {
			out = append(out, a.Dial.Address)
		}
	}
	return out
}

// TestBackoff: a new address is dialled at once, then with pauses that grow
// with the time in vain up to a minute, for ever.
func TestBackoff(t *testing.T) {
	p := newPeers(0, 8)
	s := State{Candidates: []Candidate{{Address: address(1)}}}
	now := begin
	var longest time.Duration
	for i := range 500 {
		actions, next := p.Decide(s, now)
		if len(dials(actions)) == 1 {
			if again, _ := p.Decide(s, now); len(again) != 0 {
				t.Fatal("dials an address that is being dialled")
			}
			p.Failed(address(1), model.NilUID, now)
			_, next = p.Decide(s, now)
		} else if i == 0 {
			t.Fatal("does not dial a new address at once")
		}
		pause := next.Sub(now)
		if limit := max(now.Sub(begin)/10, time.Second) + 200*time.Millisecond; pause <= 0 || pause > limit {
			t.Fatalf("after %v in vain the pause is %v, want at most %v", now.Sub(begin), pause, limit)
		}
		longest = max(longest, pause)
		now = next
	}
	if longest > 61*time.Second || longest < 30*time.Second {
		t.Errorf("the longest pause was %v, want close to a minute", longest)
	}
	s.Candidates = append(s.Candidates, Candidate{Address: address(2)})
	if got, _ := p.Decide(s, now); !slices.Contains(dials(got), address(2)) {
		t.Error("a new address waits for an old one")
	}
}

// TestLost: a link that was of use is dialled again at once, one that ends
// right away only with growing pauses.
func TestLost(t *testing.T) {
	p := newPeers(0, 8)
	s := State{Candidates: []Candidate{{Address: address(1), Node: uid(1)}}}
	now, dialled := begin, 0
	for now.Before(begin.Add(10 * time.Minute)) {
		actions, next := p.Decide(s, now)
		if len(dials(actions)) == 1 {
			dialled++
			p.Linked(address(1), uid(1), now)
			p.Lost(uid(1), time.Millisecond, now)
			_, next = p.Decide(s, now)
		}
		now = next
	}
	if dialled < 10 || dialled > 150 {
		t.Errorf("a link that ends right away was made %d times in 10 minutes", dialled)
	}
	p.Lost(uid(1), time.Hour, now)
	if got, _ := p.Decide(s, now); len(dials(got)) != 1 {
		t.Error("a link that was up for an hour is not dialled again at once")
	}
}

// TestPlan: two other locations, the rest of its half at home, and nobody
// twice.
func TestPlan(t *testing.T) {
	var s State
	for i := range 40 {
		s.Candidates = append(s.Candidates, Candidate{Node: uid(i + 1), Address: address(i + 1), Location: []string{"here", "north", "south", "west"}[i%4], Reachable: true})
	}
	p := newPeers(0, 8)
	got, _ := p.Decide(s, begin)
	places := map[string]int{}
	for _, a := range got {
		places[a.Dial.Location]++
	}
	if len(got) != 4 || places["here"] < 1 || places["north"]+places["south"]+places["west"] < 2 {
		t.Errorf("dials %v, want 4: at least one here, two elsewhere", places)
	}
	for _, a := range got {
		p.Linked(a.Dial.Address, a.Dial.Node, begin)
		s.Links = append(s.Links, Link{Node: a.Dial.Node, Location: a.Dial.Location, Outgoing: true, Since: begin})
	}
	if more, _ := p.Decide(s, begin); len(more) != 0 {
		t.Errorf("goes on to %+v with half of its links made", more)
	}
}

// TestRandomNeighbourChanges each hour, but never a bridge.
func TestRandomNeighbourChanges(t *testing.T) {
	for _, bridge := range []bool{false, true} {
		var s State
		for i := range 40 {
			s.Candidates = append(s.Candidates, Candidate{Node: uid(i + 1), Address: address(i + 1), Location: "here", Reachable: true})
		}
		p := newPeers(0, 8)
		got, _ := p.Decide(s, begin)
		for _, a := range got {
			p.Linked(a.Dial.Address, a.Dial.Node, begin)
			s.Links = append(s.Links, Link{Node: a.Dial.Node, Location: "here", Outgoing: true, Since: begin, Bridge: bridge})
		}
		if got, _ := p.Decide(s, begin.Add(repick-1)); len(got) != 0 {
			t.Errorf("changes before the hour: %+v", got)
		}
		got, _ = p.Decide(s, begin.Add(repick))
		if dropped := slices.ContainsFunc(got, func(a Action) bool { return a.Dial == nil }); dropped == bridge {
			t.Errorf("after an hour, bridges %v: %+v", bridge, got)
		}
	}
}

func TestOwnAddressIsNotDialled(t *testing.T) {
	p := newPeers(0, 8)
	s := State{Candidates: []Candidate{{Address: "farm.example.com:8001"}}}
	if got, _ := p.Decide(s, begin); len(got) != 1 {
		t.Fatalf("Decide = %+v, want a dial", got)
	}
	p.Failed("farm.example.com:8001", uid(0), begin)
	if got, _ := p.Decide(s, begin.Add(time.Hour)); len(got) != 0 {
		t.Errorf("dials itself again: %+v", got)
	}
}

// TestDeadNodesTakeNoPlaceOfTheLiving: a site of many nodes is cut off, and each
// dial there hangs. Who lacks neighbours finds them all the same.
func TestDeadNodesTakeNoPlaceOfTheLiving(t *testing.T) {
	const hangs = 5 * time.Second
	p, s, now := newPeers(0, 8), State{Links: links(1, 1)}, begin
	for i := range 60 {
		s.Candidates = append(s.Candidates, Candidate{Node: uid(100 + i), Address: address(100 + i), Location: "there"})
	}
	for ; now.Before(begin.Add(10 * time.Minute)); now = now.Add(hangs) { // until dials there go on all the time
		actions, _ := p.Decide(s, now)
		if got := len(dials(actions)); got > atOnce {
			t.Fatalf("%d dials at once, want %d at most", got, atOnce)
		}
		for _, a := range dials(actions) {
			p.Failed(a, model.NilUID, now.Add(hangs))
		}
	}
	for i := range 20 {
		s.Candidates = append(s.Candidates, Candidate{Node: uid(200 + i), Address: address(200 + i), Location: "here", Reachable: true})
	}
	living := 0
	for range 2 { // the first ones hang now
		actions, _ := p.Decide(s, now)
		for _, a := range actions {
			if a.Dial.Reachable {
				living++
			}
		}
		now = now.Add(time.Second)
	}
	if living < 2 {
		t.Errorf("%d dials to who is reachable while others hang, want enough for a second and third neighbour", living)
	}
}

// TestSeedsComeFirst: who starts and knows a hundred nodes from long ago, of
// which most are off, asks first those that its config names.
func TestSeedsComeFirst(t *testing.T) {
	p, s := newPeers(0, 8), State{}
	for i := range 100 {
		s.Candidates = append(s.Candidates, Candidate{Node: uid(100 + i), Address: address(100 + i)})
	}
	s.Candidates = append(s.Candidates, Candidate{Address: address(1), Seed: true}, Candidate{Address: address(107), Seed: true})
	actions, _ := p.Decide(s, begin)
	got := dials(actions)
	if len(got) != atOnce || !slices.Contains(got[:2], address(1)) || !slices.Contains(got[:2], address(107)) {
		t.Errorf("first dials = %v, want both addresses of cluster_join before others", got)
	}
}
