package sim

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// What a real link adds to its messages: TLS record, TCP and IP headers, a
// frame of the multiplexer; and its keep-alive every 2 s, asked and answered,
// with an acknowledgement each.
const (
	perMessage   = 22 + 52 + 12
	perLinkRound = 4 * (perMessage + 52)
	keepAlive    = 2 * time.Second
)

var howMany = flag.Int("sim.nodes", 30, "nodes that are measured; 100 with FISH_LONG")

// TestManyNodes measures what is promised for a hundred nodes, and tells all of
// it in one table: -sim.nodes 100. Else it does so for fewer of them.
func TestManyNodes(t *testing.T) {
	t.Parallel()
	size, idle, times := *howMany, 2*time.Minute, 3
	if needs.Long() {
		size, idle = 100, 4*time.Minute
	}
	play(t, size, *first, func(f *farm) {
		at := clock()
		f.compareEvery = time.Hour
		f.start()
		took, ok := f.until(2*time.Minute, time.Second, f.agree)
		if !ok {
			t.Fatal("the nodes do not find each other")
		}
		t.Logf("%d nodes agree %v after their start (%v)", size, took, clock()-at)
		time.Sleep(2 * time.Minute)
		f.measureLinks()
		f.measureIdle(idle)
		f.measureSpread(300)
		f.measureKill(times)
		f.measureCut(times)
		f.tellMeasures(size)
		t.Logf("all of it: %v", clock()-at)
	})
}

// measure is one thing that was promised.
type measure struct {
	what, got, want string
}

func (f *farm) measured(what string, got, want any) {
	f.measures = append(f.measures, measure{what, fmt.Sprint(got), fmt.Sprint(want)})
}

func (f *farm) tellMeasures(size int) {
	f.t.Logf("%d nodes: what was promised", size)
	for _, m := range f.measures {
		f.t.Logf("  %-40s %12s   at most %s", m.what, m.got, m.want)
	}
}

func (f *farm) measureLinks() {
	links, most := 0, 0
	for _, m := range f.nodes {
		n := len(m.p.cluster.Status().Links)
		links, most = links+n, max(most, n)
	}
	f.t.Logf("links of each: %.1f, at most %d", float64(links)/float64(len(f.nodes)), most)
	f.measured("links of a node", most, 8)
	if most > 8 {
		f.t.Errorf("a node has %d links, want at most 8", most)
	}
}

// measureIdle counts what nodes send that have nothing to say.
func (f *farm) measureIdle(d time.Duration) {
	bytes, messages := f.net.Sent()
	time.Sleep(d)
	b, n := f.net.Sent()
	links := 0
	for _, m := range f.nodes {
		links += len(m.p.cluster.Status().Links)
	}
	total := float64(b-bytes+(n-messages)*perMessage) / d.Seconds()
	total += float64(links) / 2 * perLinkRound / keepAlive.Seconds()
	each := total / float64(len(f.nodes))
	f.t.Logf("idle traffic of each: %.0f B/s sent, of which messages %.0f B/s, %.1f messages/s", each,
		float64(b-bytes)/d.Seconds()/float64(len(f.nodes)), float64(n-messages)/d.Seconds()/float64(len(f.nodes)))
	f.measured("idle traffic of a node, B/s", int(each), 3000)
	if each > 3000 {
		f.t.Errorf("idle traffic of each node is %.0f B/s, want at most 3000", each)
	}
}

// measureSpread writes users all over the farm, 40 each second, and waits
// until each is on all nodes.
func (f *farm) measureSpread(writes int) {
	type written struct {
		name string
		at   time.Time
		left map[int]bool
	}
	var open []*written
	var took []time.Duration
	for i, next := 0, time.Now(); i < writes || len(open) > 0; {
		if i < writes && !time.Now().Before(next) {
			w := &written{name: fmt.Sprintf("spread-%d", i), at: time.Now(), left: map[int]bool{}}
			if _, err := f.any().p.store.PutUser(context.Background(), w.name, func(*model.User) (model.User, error) { return model.User{}, nil }); err != nil {
				f.t.Fatal(err)
			}
			for j := range f.nodes {
				w.left[j] = true
			}
			open, i, next = append(open, w), i+1, next.Add(25*time.Millisecond)
		}
		time.Sleep(5 * time.Millisecond)
		open = slices.DeleteFunc(open, func(w *written) bool {
			for j := range w.left {
				if _, known := f.nodes[j].p.store.UserByName(w.name); known {
					delete(w.left, j)
				}
			}
			if len(w.left) == 0 {
				took = append(took, time.Since(w.at))
			}
			return len(w.left) == 0
		})
	}
	slices.Sort(took)
	p50, p99 := took[len(took)/2], took[len(took)*99/100]
	f.t.Logf("a change is on all nodes after p50 %v, p99 %v", p50, p99)
	f.measured("a change is on all nodes, p99", p99, 500*time.Millisecond)
	if p99 > 500*time.Millisecond {
		f.t.Errorf("a change is on all nodes after p99 %v, want 500ms", p99)
	}
}

// knows reports whether all that run know whether the node can be reached.
func (f *farm) knows(of *member, reachable bool) bool {
	for _, m := range f.nodes {
		if m.p != nil && m != of && (m.p.cluster.Unreachable(of.uid) == 0) != reachable {
			return false
		}
	}
	return true
}

// measureKill kills nodes and waits until all know.
func (f *farm) measureKill(times int) {
	var longest time.Duration
	for range times {
		m := f.any()
		m.kill(true)
		took, _ := f.until(time.Minute, 10*time.Millisecond, func() bool { return f.knows(m, false) })
		longest = max(longest, took)
		m.start()
		f.until(time.Minute, 10*time.Millisecond, f.agree)
		time.Sleep(20 * time.Second)
	}
	f.t.Logf("a killed node is known to all after at most %v", longest)
	f.measured("a kill is known to all", longest, time.Second)
	if longest > time.Second {
		f.t.Errorf("a killed node is known to all after %v, want 1s", longest)
	}
}

// measureCut cuts off nodes silently, and heals that.
func (f *farm) measureCut(times int) {
	var cut, heal time.Duration
	for range times {
		m := f.any()
		side := func(i int) bool { return i == m.index }
		f.split(side, 1)
		took, _ := f.until(time.Minute, 10*time.Millisecond, func() bool { return f.knows(m, false) })
		cut = max(cut, took)
		time.Sleep(f.upTo(time.Minute))
		f.split(side, -1)
		took, _ = f.until(2*time.Minute, 10*time.Millisecond, f.agree)
		heal = max(heal, took)
		time.Sleep(20 * time.Second)
	}
	f.t.Logf("a silent cut is known to all after at most %v, its end after %v", cut, heal)
	f.measured("a silent cut is known to all", cut, 8*time.Second)
	f.measured("its end is known to all", heal, 2*time.Second)
	if cut > 8*time.Second {
		f.t.Errorf("a silent cut is known to all after %v, want 8s", cut)
	}
	if heal > 2*time.Second {
		f.t.Errorf("the end of a cut is known to all after %v, want 2s", heal)
	}
}
