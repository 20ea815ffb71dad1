package cluster_test

import (
	"bufio"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// TestRefused: who may not be a neighbour is told why, and both sides log it.
func TestRefused(t *testing.T) {
	tests := []struct {
		name string
		make func(f *farm)
		want string
	}{
		{"clock", func(f *farm) { f.nodes[1].skew.Store(int64(2 * time.Minute)) }, `the clock of node \"node-1\" is 2m0s ahead of that of node \"node-0\"`},
		{"clock behind", func(f *farm) { f.nodes[1].skew.Store(int64(-time.Hour)) }, `the clock of node \"node-0\" is 1h0m0s ahead of that of node \"node-1\"`},
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
			return near.log.has("two running processes use the key") && f.nodes[2].log.has("two running processes use the key")
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

// TestRetiredByRelay: a neighbour that has not heard of the retirement carries
// the retired node's connections; who they are for refuses them.
func TestRetiredByRelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, 3)
		defer f.end()
		f.chain()
		f.start()
		f.until(30*time.Second, "all agree", func() bool { return f.agree(f.all()...) })
		ask := func() string {
			conn, err := f.nodes[0].c.Dial(t.Context(), uidOf(2))
			if err != nil {
				return ""
			}
			defer conn.Close()
			name, _ := bufio.NewReader(conn).ReadString('\n')
			return name
		}
		if got := ask(); got != "node-2\n" {
			t.Fatalf("before it was retired it hears %q", got)
		}
		f.nodes[2].change(func() { f.nodes[2].known = []cluster.Known{{Node: uidOf(0), Name: "node-0", Retired: true}} })
		if got := ask(); got != "" {
			t.Errorf("the retired node is served by a relay: %q", got)
		}
	})
}
