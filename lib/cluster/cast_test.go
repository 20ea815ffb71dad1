package cluster_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
)

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
