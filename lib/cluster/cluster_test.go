package cluster_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster"
	"github.com/aquarium-fish/aquarium-fish/lib/cluster/topo"
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

// TestStatus tells of members, links and bridges.
func TestStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, 3)
		defer f.end()
		f.chain()
		f.nodes[2].skew.Store(int64(3 * time.Second))
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
