package cluster_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster"
	"github.com/aquarium-fish/aquarium-fish/lib/cluster/topo"
	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// TestMembers: nodes find together by one address, a killed one is known to
// all within a second, one that stops in order at once, and one that comes
// back is a member again.
func TestMembers(t *testing.T) {
	for _, size := range []int{3, 8, 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFarm(t, size)
				defer f.end()
				f.start()
				t.Logf("%d nodes agree after %v", size, f.until(30*time.Second, "all agree", func() bool { return f.agree(f.all()...) }))
				f.until(30*time.Second, "at most 8 links each", func() bool {
					return !slices.ContainsFunc(f.nodes, func(n *node) bool { return len(n.c.Status().Links) > 8 })
				})
				time.Sleep(30 * time.Second)
				if !f.agree(f.all()...) {
					t.Fatal("half a minute later they do not agree any more")
				}

				victim := f.nodes[size/2]
				victim.kill()
				took := f.until(time.Second, "all know of the killed one", func() bool { return f.agree(f.all()...) })
				t.Logf("a killed node is known to all after %v", took)
				if !f.nodes[0].log.has(`msg="node is gone" component=cluster node=` + victim.uid.String()) {
					t.Error("node 0 logged nothing of it")
				}
				victim.start()
				f.until(5*time.Second, "it is back", func() bool { return f.agree(f.all()...) })

				f.nodes[1].end()
				took = f.until(time.Second, "all know of the stopped one", func() bool { return f.agree(f.all()...) })
				t.Logf("a stopped node is known to all after %v", took)
				m := member(f.nodes[0], f.nodes[1].uid)
				if m.State != topo.StateGone || m.Why != "stopped in order" {
					t.Errorf("the stopped one is %s because %q", m.State, m.Why)
				}
			})
		})
	}
}

func member(n *node, uid model.UID) cluster.Member {
	for _, m := range n.c.Members() {
		if m.LSA.Node == uid {
			return m
		}
	}
	return cluster.Member{}
}

// TestSilentCut: packets are dropped, no connection is reset.
func TestSilentCut(t *testing.T) {
	for _, oneWay := range []bool{false, true} {
		t.Run(fmt.Sprintf("one way %v", oneWay), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFarm(t, 6)
				defer f.end()
				f.start()
				f.until(30*time.Second, "all agree", func() bool { return f.agree(f.all()...) })
				time.Sleep(30 * time.Second)

				west, east := span(0, 3), span(3, 6)
				f.cut(west, east, oneWay)
				took := f.until(8*time.Second, "each side knows", func() bool { return f.agree(west...) && f.agree(east...) })
				t.Logf("cut known after %v", took)
				if got := f.nodes[0].c.Unreachable(uidOf(4)); got == 0 {
					t.Error("a node beyond the cut counts as reachable")
				}
				time.Sleep(20 * time.Second)
				f.heal()
				t.Logf("heal known after %v", f.until(2*time.Second, "all agree again", func() bool { return f.agree(f.all()...) }))
				if got := f.nodes[0].c.Unreachable(uidOf(4)); got != 0 {
					t.Errorf("after the heal nothing was heard for %v", got)
				}
			})
		})
	}
}

// TestLongCut: the halves go on alone for an hour, and find together again.
func TestLongCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, 4)
		defer f.end()
		f.start()
		f.until(30*time.Second, "all agree", func() bool { return f.agree(f.all()...) })
		west, east := span(0, 2), span(2, 4)
		f.cut(west, east, false)
		f.until(8*time.Second, "each side knows", func() bool { return f.agree(west...) && f.agree(east...) })
		time.Sleep(time.Hour)
		if m := member(f.nodes[0], uidOf(3)); m.State != topo.StateGone {
			t.Errorf("after an hour the other side is %s", m.State)
		}
		f.heal()
		t.Logf("heal known after %v", f.until(65*time.Second, "all agree again", func() bool { return f.agree(f.all()...) }))
	})
}

// TestBothDial: two nodes that dial each other at the same moment keep one
// link, the same one on both sides.
func TestBothDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, 2)
		defer f.end()
		f.nodes[0].join = []string{addressOf(1)}
		f.start()
		f.until(10*time.Second, "both agree", func() bool { return f.agree(0, 1) })
		time.Sleep(10 * time.Second)
		a, b := f.nodes[0].c.Status().Links, f.nodes[1].c.Status().Links
		if len(a) != 1 || len(b) != 1 || a[0].Outgoing == b[0].Outgoing || time.Since(a[0].Since) < 9*time.Second {
			t.Errorf("links %+v and %+v, want one that both see", a, b)
		}
	})
}

// TestFewLinks: with four links each, the seed sends most away, and all find
// together.
func TestFewLinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, 14)
		defer f.end()
		for _, n := range f.nodes {
			n.limit = 4
		}
		f.start()
		f.until(30*time.Second, "all agree, with at most 4 links each", func() bool {
			return f.agree(f.all()...) && !slices.ContainsFunc(f.nodes, func(n *node) bool { return len(n.c.Status().Links) > 4 })
		})
		time.Sleep(20 * time.Second)
		if !f.agree(f.all()...) {
			t.Error("20 s later they do not agree any more")
		}
	})
}

// TestIdle measures what members say when nothing happens, and that they find
// together when all of them start at once.
func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size, idle = 24, time.Minute
		f := newFarm(t, size)
		defer f.end()
		f.start()
		t.Logf("%d nodes agree after %v", size, f.until(30*time.Second, "all agree", func() bool { return f.agree(f.all()...) }))
		time.Sleep(20 * time.Second)
		links := 0
		for _, n := range f.nodes {
			links += len(n.c.Status().Links)
		}
		bytes, messages := f.net.Sent()
		time.Sleep(idle)
		after, later := f.net.Sent()
		perNode := float64(after-bytes) / idle.Seconds() / size
		t.Logf("%.1f links, %.0f bytes in %.1f messages per node and second", float64(links)/size, perNode, float64(later-messages)/idle.Seconds()/size)
		if perNode > 1000 {
			t.Errorf("idle members say %.0f bytes per node and second, want at most 1000 at %d nodes", perNode, size)
		}
	})
}

// TestUselessLink: a neighbour with whom replication fails at once is not
// dialled over and over without a pause.
func TestUselessLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, 2)
		defer f.end()
		f.nodes[1].broken = true
		f.start()
		time.Sleep(5 * time.Minute)
		if n := f.nodes[0].log.count(`msg="link is up"`); n < 5 || n > 200 {
			t.Errorf("%d links in 5 minutes", n)
		}
		if !f.nodes[0].log.has("the disk is full of sand") {
			t.Error("the other side does not know why")
		}
	})
}

// TestFlapping: a node whose network comes and goes bothers nobody else, and
// is a member in the end.
func TestFlapping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, 5)
		defer f.end()
		f.start()
		f.until(30*time.Second, "all agree", func() bool { return f.agree(f.all()...) })
		for range 10 {
			f.cut(span(4, 5), span(0, 4), false)
			time.Sleep(7 * time.Second)
			f.heal()
			time.Sleep(3 * time.Second)
			f.until(time.Second, "the others agree", func() bool {
				return member(f.nodes[0], uidOf(3)).Reachable() && member(f.nodes[3], uidOf(1)).Reachable()
			})
		}
		f.until(20*time.Second, "all agree at last", func() bool { return f.agree(f.all()...) })
	})
}

// TestRefused: who may not be a neighbour is told why, and both sides log it.
func TestRefused(t *testing.T) {
	tests := []struct {
		name string
		make func(f *farm)
		want string
	}{
		{"clock", func(f *farm) { f.nodes[1].skew = 2 * time.Minute }, `the clock of node \"node-1\" is 2m0s ahead of that of node \"node-0\"`},
		{"clock behind", func(f *farm) { f.nodes[1].skew = -time.Hour }, `the clock of node \"node-0\" is 1h0m0s ahead of that of node \"node-1\"`},
		{"cluster", func(f *farm) { f.nodes[1].cluster = "another" }, "correct cluster_join"},
		{"name", func(f *farm) { f.nodes[1].name = "node-0" }, `the name \"node-0\" belongs to node`},
		{"name of a node that is off", func(f *farm) {
			f.nodes[0].known = []cluster.Known{{Node: uidOf(7), Name: "node-1"}}
		}, `the name \"node-1\" belongs to node`},
		{"retired", func(f *farm) { f.nodes[0].known = []cluster.Known{{Node: uidOf(1), Name: "node-1", Retired: true}} }, "was retired"},
		{"absent", func(f *farm) {
			f.nodes[0].known = []cluster.Known{{Node: uidOf(1), Name: "node-1", Seen: time.Now().Add(-366 * 24 * time.Hour)}}
		}, "have not met for 366 days"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFarm(t, 2)
				defer f.end()
				tt.make(f)
				f.start()
				time.Sleep(10 * time.Second)
				for i, n := range f.nodes {
					if !n.log.has(tt.want) {
						t.Errorf("node %d did not log %q", i, tt.want)
					}
					if len(n.c.Status().Links) != 0 || len(n.c.Active()) > 1 {
						t.Errorf("node %d has links", i)
					}
				}
			})
		})
	}
}

// TestTwin: a copy of a machine that runs beside it is refused where both are
// known, and noticed where they are far from each other.
func TestTwin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, 4)
		defer f.end()
		f.chain()
		f.start()
		f.until(30*time.Second, "all agree", func() bool { return f.agree(f.all()...) })

		near := f.newNode(3, "copy:8001")
		near.join = []string{addressOf(2)}
		near.start()
		defer near.end()
		f.until(10*time.Second, "the copy is refused", func() bool {
			return near.log.has("two live processes use the key") && f.nodes[2].log.has("two live processes use the key")
		})
		if len(near.c.Status().Links) != 0 || !f.agree(f.all()...) {
			t.Error("the copy has a link, or disturbed the others")
		}

		far := f.newNode(3, "far-copy:8001")
		far.join = []string{addressOf(0)}
		far.start()
		defer far.end()
		f.until(time.Minute, "both are told of each other", func() bool {
			return far.log.has("another live process speaks for this node") && f.nodes[3].log.has("another live process speaks for this node")
		})
	})
}

// TestRetire: the link of a node that is retired ends, and it is forgotten.
func TestRetire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, 3)
		defer f.end()
		f.start()
		f.until(30*time.Second, "all agree", func() bool { return f.agree(f.all()...) })
		for _, i := range []int{0, 2} {
			f.nodes[i].change(func() { f.nodes[i].known = []cluster.Known{{Node: uidOf(1), Name: "node-1", Retired: true}} })
		}
		f.until(2*time.Second, "it is forgotten", func() bool {
			return f.agree(0, 2) && member(f.nodes[0], uidOf(1)).LSA.Node == model.NilUID && len(f.nodes[1].c.Status().Links) == 0
		})
		if !f.nodes[1].log.has("was retired") {
			t.Error("the retired one does not know why")
		}
	})
}

// TestDialAcrossChain: a connection over four neighbours, proved end to end;
// one that leads nowhere fails at once.
func TestDialAcrossChain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, 5)
		defer f.end()
		f.chain()
		f.start()
		f.until(30*time.Second, "all agree", func() bool { return f.agree(f.all()...) })
		if m := member(f.nodes[0], uidOf(4)); m.Hops != 4 {
			t.Errorf("node 4 is %d hops away, want 4", m.Hops)
		}
		conn, err := f.nodes[0].c.Dial(t.Context(), uidOf(4))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		r := bufio.NewReader(conn)
		if name, err := r.ReadString('\n'); err != nil || name != "node-4\n" {
			t.Fatalf("at the other end is %q, %v, want node-4", name, err)
		}
		fmt.Fprintln(conn, "hello")
		if back, err := r.ReadString('\n'); err != nil || back != "hello\n" {
			t.Errorf("heard %q, %v", back, err)
		}
		if _, err := f.nodes[0].c.Dial(t.Context(), uidOf(9)); !errors.Is(err, cluster.ErrUnreachable) {
			t.Errorf("Dial of nobody: %v", err)
		}
		f.nodes[2].kill()
		if _, err := r.ReadString('\n'); err == nil {
			t.Error("the connection outlives a node between")
		}
		f.until(time.Second, "the way is gone", func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := f.nodes[0].c.Dial(ctx, uidOf(4))
			return errors.Is(err, cluster.ErrUnreachable)
		})
	})
}

// TestVotes: votes reach all others once, in time, over several hops.
func TestVotes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, 6)
		defer f.end()
		f.start()
		f.until(30*time.Second, "all agree", func() bool { return f.agree(f.all()...) })
		var want []wire.Vote
		for i := range 30 {
			want = append(want, vote(i))
			f.nodes[2].c.Cast(want[i:])
		}
		got := map[int][]wire.Vote{}
		took := f.until(500*time.Millisecond, "votes reach all", func() bool {
			complete := true
			for i, n := range f.nodes {
				_, take := n.c.Votes()
				for _, batch := range take() {
					if batch.Node != uidOf(2) || batch.Location != "here" {
						t.Fatalf("batch of %v from %q", batch.Node, batch.Location)
					}
					got[i] = append(got[i], batch.Votes...)
				}
				complete = complete && (i == 2 || len(got[i]) >= len(want))
			}
			return complete
		})
		t.Logf("votes reached all after %v", took)
		time.Sleep(5 * time.Second)
		for i, n := range f.nodes {
			if _, take := n.c.Votes(); len(take()) != 0 || i != 2 && !slices.Equal(got[i], want) || i == 2 && len(got[i]) != 0 {
				t.Errorf("node %d got %d votes, want each of the %d once", i, len(got[i]), len(want))
			}
		}
	})
}

// TestManyVotes measures a busy farm: ten applications a second, for each of
// which every node votes.
func TestManyVotes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size, rate, lasting = 12, 10, 4 * time.Second
		f := newFarm(t, size)
		defer f.end()
		f.start()
		f.until(30*time.Second, "all agree", func() bool { return f.agree(f.all()...) })
		time.Sleep(20 * time.Second)
		before, _ := f.net.Sent()
		cast, got := 0, map[int]int{}
		take := func() {
			for i, n := range f.nodes {
				_, take := n.c.Votes()
				for _, batch := range take() {
					got[i] += len(batch.Votes)
				}
			}
		}
		for range int(lasting.Seconds() * rate) {
			for _, n := range f.nodes {
				n.c.Cast([]wire.Vote{vote(cast)})
			}
			cast++
			time.Sleep(time.Second / rate)
			take()
		}
		f.until(time.Second, "all have all", func() bool {
			take()
			return !slices.ContainsFunc(f.all(), func(i int) bool { return got[i] < cast*(size-1) })
		})
		after, _ := f.net.Sent()
		t.Logf("%.0f bytes per node and second", float64(after-before)/lasting.Seconds()/size)
		for i := range f.nodes {
			if got[i] != cast*(size-1) {
				t.Errorf("node %d got %d votes, want %d", i, got[i], cast*(size-1))
			}
		}
	})
}

// TestHealth: a node whose database takes no writes is no active member, nor
// one of which the look hangs; maintenance is told at once.
func TestHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, 3)
		defer f.end()
		f.start()
		f.until(30*time.Second, "all agree", func() bool { return f.agree(f.all()...) })
		n := f.nodes[1]
		inactive := func(why string) func() bool {
			return func() bool {
				m := member(f.nodes[2], n.uid)
				return m.State == topo.StateInactive && strings.Contains(m.Why, why)
			}
		}
		n.change(func() { n.report.Maintenance = true })
		f.until(time.Second, "in maintenance", inactive("in maintenance"))
		n.change(func() { n.report.Maintenance = false })
		f.until(2*time.Second, "active again", func() bool { return f.agree(f.all()...) })

		n.change(func() { n.sick = errors.New("disk full") })
		f.until(7*time.Second, "sick", inactive("not healthy"))
		if n.c.Status().Unhealthy != "disk full" || !n.log.has("disk full") {
			t.Errorf("it does not tell why: %q", n.c.Status().Unhealthy)
		}
		n.change(func() { n.sick = nil })
		f.until(7*time.Second, "well again", func() bool { return f.agree(f.all()...) })

		n.change(func() { n.hang = true })
		f.until(25*time.Second, "hangs", inactive("not healthy"))
		n.change(func() { n.hang = false })
		f.until(90*time.Second, "well again", func() bool { return f.agree(f.all()...) })
	})
}

// TestReady: alone at once, with nobody to be reached after 15 s, else when
// the rows that the first neighbour knew are here.
func TestReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, 2)
		defer f.end()
		f.nodes[0].start()
		f.until(time.Second, "the founder is ready", f.nodes[0].c.Ready)
		for range 5 {
			f.nodes[0].rows.Write(origin(0))
		}
		f.nodes[1].rows.Stall(true)
		f.nodes[1].start()
		f.until(10*time.Second, "it is reachable", func() bool { return member(f.nodes[0], uidOf(1)).Reachable() })
		time.Sleep(time.Minute)
		if m := member(f.nodes[0], uidOf(1)); f.nodes[1].c.Ready() || m.State != topo.StateInactive {
			t.Errorf("ready without the rows; others see it %s", m.State)
		}
		f.nodes[1].rows.Stall(false)
		f.until(time.Second, "it is ready", f.nodes[1].c.Ready)
		f.until(time.Second, "all agree", func() bool { return f.agree(0, 1) })
	})
}

func TestReadyWithNobodyThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, 2)
		defer f.end()
		n := f.nodes[1]
		n.start()
		time.Sleep(14 * time.Second)
		synctest.Wait()
		if n.c.Ready() {
			t.Error("ready before 15 s without the node that it should join")
		}
		f.until(2*time.Second, "ready after 15 s", n.c.Ready)
	})
}

// TestReadyWhenSourceDies: who catches up with a node that dies catches up
// with another one, or goes on alone.
func TestReadyWhenSourceDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, 2)
		defer f.end()
		f.nodes[0].rows.Write(origin(0))
		f.nodes[0].start()
		f.nodes[1].rows.Stall(true)
		f.nodes[1].start()
		f.until(10*time.Second, "it is reachable", func() bool { return member(f.nodes[0], uidOf(1)).Reachable() })
		f.nodes[0].kill()
		time.Sleep(14 * time.Second)
		if f.nodes[1].c.Ready() {
			t.Error("ready at once when its source died")
		}
		f.until(2*time.Second, "ready alone", f.nodes[1].c.Ready)
	})
}

// TestCovered: true only when every node that is not retired has spoken, and
// all that is known of is here.
func TestCovered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, 3)
		defer f.end()
		n := f.nodes[0]
		n.known = []cluster.Known{{Node: uidOf(1), Name: "node-1"}, {Node: uidOf(2), Name: "node-2"}, {Node: uidOf(8), Name: "stolen", Retired: true}}
		began := time.Now()
		f.nodes[0].start()
		f.nodes[1].start()
		f.until(10*time.Second, "two agree", func() bool { return member(n, uidOf(1)).State == topo.StateActive })
		if n.c.Covered(began) {
			t.Error("covered while a known node was not heard")
		}
		f.nodes[2].start()
		f.until(20*time.Second, "covered", func() bool { return n.c.Covered(began) })
		n.rows.Stall(true)
		f.nodes[2].rows.Write(origin(2))
		f.until(20*time.Second, "not covered while a row lacks", func() bool { return !n.c.Covered(began) })
		n.rows.Stall(false)
		f.until(5*time.Second, "covered again", func() bool { return n.c.Covered(began) })
		if n.c.Covered(time.Now().Add(time.Hour)) {
			t.Error("covered since a time when nobody spoke")
		}
	})
}

// TestStatus tells of members, links and bridges.
func TestStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, 3)
		defer f.end()
		f.chain()
		f.nodes[2].skew = 3 * time.Second
		f.start()
		f.until(30*time.Second, "all agree", func() bool { return f.agree(f.all()...) })
		s := f.nodes[1].c.Status()
		if len(s.Members) != 3 || len(s.Links) != 2 || len(s.Graph) != 2 || len(s.Bridges) != 2 || len(s.Components) != 1 || !s.Ready || s.Unhealthy != "" {
			t.Errorf("status = %+v", s)
		}
		for _, l := range s.Links {
			if !l.Bridge || l.RTT != 10*time.Millisecond {
				t.Errorf("link = %+v, want a bridge with 10 ms", l)
			}
			if l.Node == uidOf(2) && (l.Clock < 2900*time.Millisecond || l.Clock > 3*time.Second) {
				t.Errorf("clock of node 2 is off by %v, want 3 s", l.Clock)
			}
		}
		if m := s.Members[2]; m.NotAfter.IsZero() || m.Name != "node-2" {
			t.Errorf("member = %+v", m)
		}
	})
}
