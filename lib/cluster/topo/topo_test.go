package topo

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

var begin = time.Unix(1_800_000_000, 0)

func uid(i int) model.UID { return model.UID{byte(i)} }

// said is an LSA of node i with links to the ends.
func said(i int, seq uint64, ends ...int) wire.LSA {
	l := wire.LSA{Node: uid(i), Boot: uint64(i), Started: 1, Seq: seq, Flags: wire.FlagHealthy | wire.FlagReady}
	for _, end := range ends {
		l.Neighbours = append(l.Neighbours, wire.Neighbour{Node: uid(end)})
	}
	return l
}

// know returns the database of node 0 with links to the ends, and the LSAs.
func know(t *testing.T, ends []int, lsas ...wire.LSA) *DB {
	t.Helper()
	db := New(uid(0), 1, begin)
	db.Update(said(0, 0, ends...), begin)
	if _, ok := db.Originate(begin); !ok {
		t.Fatal("the first LSA is not due at once")
	}
	db.Apply(wire.Topology{LSAs: lsas}, begin)
	return db
}

func TestStates(t *testing.T) {
	flagged := func(i int, flags wire.Flags, ends ...int) wire.LSA {
		l := said(i, 1, ends...)
		l.Flags = flags
		return l
	}
	gone := said(5, 1, 0)
	gone.Gone = true
	old := said(6, 1, 0)
	old.Age = uint32((Expiry - time.Second).Milliseconds())
	db := know(t, []int{1, 2, 3, 4, 5, 6, 7}, said(1, 1, 0, 8), flagged(2, wire.FlagReady, 0), flagged(3, wire.FlagHealthy, 0),
		flagged(4, wire.FlagHealthy|wire.FlagReady|wire.FlagMaintenance, 0), gone, old, said(7, 1), said(8, 1, 1), said(9, 1, 10), said(10, 1, 9))
	s := db.Snapshot(begin.Add(2 * time.Second))
	tests := []struct {
		name string
		node int
		want State
		next int
		hops int
	}{
		{"itself", 0, StateActive, 0, 0},
		{"neighbour", 1, StateActive, 1, 1},
		{"not healthy", 2, StateInactive, 2, 1},
		{"not ready", 3, StateInactive, 3, 1},
		{"in maintenance", 4, StateInactive, 4, 1},
		{"said that it stops", 5, StateGone, 0, 0},
		{"silent", 6, StateGone, 0, 0},
		{"link told by one end", 7, StateUnreachable, 0, 0},
		{"behind a neighbour", 8, StateActive, 1, 2},
		{"another island", 9, StateUnreachable, 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, known := s.Member(uid(tt.node))
			if !known || m.State != tt.want || m.Hops != tt.hops {
				t.Errorf("member = %+v, want state %s, %d hops", m, tt.want, tt.hops)
			}
			if (m.Why == "") != (tt.want == StateActive) {
				t.Errorf("state %s because %q", m.State, m.Why)
			}
			next, way := s.NextHop(uid(tt.node))
			if way != (tt.hops > 0) || way && next != uid(tt.next) {
				t.Errorf("NextHop = %v, %v, want %v", next, way, uid(tt.next))
			}
		})
	}
	if got := len(s.Components()); got != 3 { // 0-1-2-3-4-8, 7, 9-10
		t.Errorf("%d components %v, want 3", got, s.Components())
	}
}

func TestNewerLSA(t *testing.T) {
	next := func(change func(*wire.LSA)) wire.LSA {
		l := said(1, 5, 0)
		change(&l)
		return l
	}
	tests := []struct {
		name string
		lsa  wire.LSA
		want bool
	}{
		{"the same", said(1, 5, 0), false},
		{"older", said(1, 4, 0), false},
		{"newer", said(1, 6, 0), true},
		{"a later boot from the start", next(func(l *wire.LSA) { l.Boot, l.Started, l.Seq = 9, 2, 1 }), true},
		{"an earlier boot", next(func(l *wire.LSA) { l.Boot, l.Started, l.Seq = 9, 0, 100 }), false},
		{"boots of the same instant: higher", next(func(l *wire.LSA) { l.Boot = 2 }), true},
		{"boots of the same instant: lower", next(func(l *wire.LSA) { l.Boot = 0 }), false},
		{"newer, but too old to be believed", next(func(l *wire.LSA) { l.Seq, l.Age = 6, 120_000 }), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			db := know(t, nil, said(1, 5, 0))
			news := db.Apply(wire.Topology{LSAs: []wire.LSA{tt.lsa}}, begin)
			if got := len(news.Topology.LSAs) == 1; got != tt.want {
				t.Errorf("news = %v, want %v", got, tt.want)
			}
		})
	}
}

// TestWhenOwnIsDue: at once, then after the debounce, then held back more and
// more while it flaps, and every 30 s in any case.
func TestWhenOwnIsDue(t *testing.T) {
	db := New(uid(0), 1, begin)
	if !db.Due().IsZero() {
		t.Fatalf("due %v before there is anything to say", db.Due())
	}
	now := begin
	flap := func(n int) time.Duration {
		db.Update(said(0, 0, n), now)
		due := db.Due()
		if _, early := db.Originate(due.Add(-time.Millisecond)); early {
			t.Fatalf("spoke before it was due")
		}
		if got, ok := db.Originate(due); !ok || len(got.LSAs) != 1 {
			t.Fatalf("Originate when due = %+v, %v", got, ok)
		}
		took := due.Sub(now)
		now = due
		return took
	}
	var got []time.Duration
	for i := range 12 {
		got = append(got, flap(i))
	}
	s := time.Second
	want := []time.Duration{0, debounce, s, s, s, s, 2 * s, 4 * s, 8 * s, 10 * s, 10 * s, 10 * s}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("pauses of a node that flaps (-want +got):\n%s", diff)
	}
	if due := db.Due(); due.Sub(now) > Renewal || due.Sub(now) < Renewal*4/5 {
		t.Errorf("renewal is due in %v", due.Sub(now))
	}
	now = now.Add(calm)
	if took := flap(99); took != debounce {
		t.Errorf("after a calm a change is said after %v, want %v", took, debounce)
	}
	db.Update(said(0, 0, 1), now)
	db.Update(said(0, 0, 99), now)
	if due := db.Due(); due.Sub(now) < time.Second*20 {
		t.Errorf("a change that was taken back is due in %v", due.Sub(now))
	}
}

func TestGoodbye(t *testing.T) {
	a, b := know(t, []int{1}), know(t, nil)
	b.self = uid(1)
	b.Apply(wire.Topology{LSAs: a.All(begin)}, begin)
	b.Apply(a.Goodbye(begin), begin)
	if m, _ := b.Snapshot(begin).Member(uid(0)); m.State != StateGone {
		t.Errorf("after the goodbye it is %s", m.State)
	}
	if due := a.Due(); !due.IsZero() {
		t.Errorf("after the goodbye something is due at %v", due)
	}
	if lsas := b.Answer([]model.UID{uid(0)}, begin); len(lsas) != 1 || !lsas[0].Gone {
		t.Errorf("passes on %+v, want the goodbye", lsas)
	}
}

func TestSilenceAndMemory(t *testing.T) {
	db := know(t, []int{1}, said(1, 1, 0))
	at := db.NextExpiry(begin)
	if at != begin.Add(Expiry) {
		t.Fatalf("NextExpiry = %v", at)
	}
	if !db.Snapshot(at.Add(-1)).Reachable(uid(1)) || db.Snapshot(at).Reachable(uid(1)) {
		t.Error("not believed up to its expiry, or beyond")
	}
	if !db.NextExpiry(at).IsZero() || len(db.All(at)) != 1 {
		t.Error("what expired is due to expire again, or is passed on")
	}
	db.Expire(begin.Add(Memory - 1))
	if _, known := db.Snapshot(at).Member(uid(1)); !known {
		t.Error("forgotten too early")
	}
	db.Expire(begin.Add(Memory))
	if _, known := db.Snapshot(at).Member(uid(1)); known {
		t.Error("never forgotten")
	}
	db.Apply(wire.Topology{LSAs: []wire.LSA{said(1, 1, 0)}}, begin)
	db.Forget(uid(1))
	if _, known := db.Snapshot(begin).Member(uid(1)); known {
		t.Error("a retired node is still known")
	}
}

// TestAge: an LSA that was passed on for long does not begin anew.
func TestAge(t *testing.T) {
	a := know(t, []int{1}, said(1, 1, 0))
	later := begin.Add(100 * time.Second)
	b := New(uid(2), 2, begin)
	b.Apply(wire.Topology{LSAs: a.Answer([]model.UID{uid(1)}, later)}, later)
	if got := b.NextExpiry(later); got != begin.Add(Expiry) {
		t.Errorf("expires %v after it was said, want %v", got.Sub(begin), Expiry)
	}
}

// drawGraph draws the links of n nodes, some told by one end only.
func drawGraph(t *rapid.T, n int) map[int][]int {
	told := map[int][]int{}
	for range rapid.IntRange(0, 3*n).Draw(t, "links") {
		i, j := rapid.IntRange(0, n-1).Draw(t, "i"), rapid.IntRange(0, n-1).Draw(t, "j")
		told[i] = append(told[i], j)
		if rapid.IntRange(0, 5).Draw(t, "told by both") > 0 {
			told[j] = append(told[j], i)
		}
	}
	return told
}

// TestGraphAnswers compares routes and bridges with what follows from their
// definitions.
func TestGraphAnswers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 12).Draw(t, "nodes")
		told := map[model.UID][]model.UID{}
		for i, ends := range drawGraph(t, n) {
			for _, end := range ends {
				told[uid(i)] = append(told[uid(i)], uid(end))
			}
		}
		for i := range n {
			told[uid(i)] = told[uid(i)]
		}
		g := newGraph(told)
		whole := len(g.components())
		bridges := g.bridges()
		for edge := range g.links() {
			without := map[model.UID][]model.UID{}
			for node, ends := range told {
				without[node] = slices.DeleteFunc(slices.Clone(ends), func(end model.UID) bool { return NewEdge(node, end) == edge })
			}
			if got, want := bridges[edge], len(newGraph(without).components()) > whole; got != want {
				t.Fatalf("bridge(%v) = %v, want %v", edge, got, want)
			}
		}
		for i := range g.nodes {
			for j, way := range g.routes(i) {
				if i != j && (!slices.Contains(g.ends[i], way.next) || g.routes(way.next)[j].hops != way.hops-1) {
					t.Fatalf("the way from %d to %d is %+v: no shortest way goes on from there", i, j, way)
				}
			}
		}
	})
}

// TestOrderDoesNotMatter: what nodes said over time, in any order and more
// than once, gives the same view.
func TestOrderDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var history []wire.Topology
		n := rapid.IntRange(1, 6).Draw(t, "nodes")
		for i := 1; i <= n; i++ {
			history = append(history, drawLife(t, i, n)...)
		}
		one, other := settle(history), settle(rapid.Permutation(history).Draw(t, "order"))
		a, b := one.Snapshot(begin), other.Snapshot(begin)
		if diff := cmp.Diff(a.Members(), b.Members()); diff != "" {
			t.Fatalf("members differ by order:\n%s", diff)
		}
		if diff := cmp.Diff(a.Links(), b.Links()); diff != "" {
			t.Fatalf("links differ by order:\n%s", diff)
		}
		if diff := cmp.Diff(a.Components(), b.Components()); diff != "" {
			t.Fatalf("components differ by order:\n%s", diff)
		}
		if diff := cmp.Diff(one.All(begin), other.All(begin)); diff != "" {
			t.Fatalf("what is passed on differs by order:\n%s", diff)
		}
	})
}

// drawLife draws what node i says in one or two lives.
func drawLife(t *rapid.T, i, n int) []wire.Topology {
	var out []wire.Topology
	for life := range rapid.IntRange(1, 2).Draw(t, "lives") {
		db := New(uid(i), uint64(life)<<32|uint64(rapid.Uint32().Draw(t, "boot")), begin.Add(time.Duration(life)*time.Hour))
		now := begin
		for range rapid.IntRange(1, 4).Draw(t, "words") {
			ends := rapid.SliceOfN(rapid.IntRange(0, n), 0, 3).Draw(t, "ends")
			l := said(i, 0, ends...)
			l.RowSeq = rapid.Uint64Max(9).Draw(t, "rows")
			db.Update(l, now)
			now = now.Add(time.Minute)
			said, _ := db.Originate(now)
			out = append(out, said)
		}
	}
	return out
}

// settle applies a history until nothing is news, as questions would.
func settle(history []wire.Topology) *DB {
	db := New(uid(0), 1, begin)
	for range len(history) + 1 {
		for _, t := range history {
			db.Apply(t, begin)
		}
	}
	return db
}

// TestOutbox: nothing is sent to who said it, the first news go at once, and
// what follows is gathered.
func TestOutbox(t *testing.T) {
	db := know(t, nil, said(1, 1), said(2, 1))
	out := NewOutbox(db, begin)
	if got := out.Take(db, begin); len(got) != 1 || len(got[0].LSAs) != 3 {
		t.Fatalf("a new neighbour is sent %+v, want all three", got)
	}
	if !out.Due().IsZero() || out.Take(db, begin) != nil {
		t.Error("what was sent is due again")
	}
	news := wire.Topology{LSAs: []wire.LSA{said(1, 2), said(2, 2)}}
	db.Apply(news, begin)
	out.Add(news, begin)
	if got, want := out.Due(), begin.Add(beat); got != want {
		t.Errorf("due %v after the last, want %v", got.Sub(begin), beat)
	}
	out.Heard(wire.Topology{LSAs: []wire.LSA{said(1, 2)}})
	got := out.Take(db, begin.Add(beat))
	if len(got) != 1 || len(got[0].LSAs) != 1 || got[0].LSAs[0].Node != uid(2) {
		t.Errorf("sent %+v, want only what the neighbour did not say itself", got)
	}
	out.Add(news, begin.Add(time.Hour))
	if got, want := out.Due(), begin.Add(time.Hour); got != want {
		t.Errorf("after a pause news are due at %v, want at once (%v)", got, want)
	}
}

// TestOutboxIsCutIntoMessages: a large database never makes a message that the
// neighbour refuses.
func TestOutboxIsCutIntoMessages(t *testing.T) {
	db := New(uid(0), 1, begin)
	for i := range 1200 {
		l := said(1, 1)
		l.Node = model.UID{1, byte(i >> 8), byte(i)}
		db.Apply(wire.Topology{LSAs: []wire.LSA{l}}, begin)
	}
	total := 0
	for _, m := range NewOutbox(db, begin).Take(db, begin) {
		if _, err := wire.Encode(m); err != nil {
			t.Error(err)
		}
		total += len(m.LSAs)
	}
	if total != 1200 {
		t.Errorf("sent %d LSAs, want 1200", total)
	}
}

// TestForgetOfAStranger: retired nodes are forgotten at each turn, which costs nothing once they are.
func TestForgetOfAStranger(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	db := New(model.UID{1}, 1, now)
	before := db.Snapshot(now)
	db.Forget(model.UID{2})
	if db.Snapshot(now) != before {
		t.Error("the graph is computed anew although nothing has changed")
	}
}
