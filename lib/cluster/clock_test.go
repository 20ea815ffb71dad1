package cluster_test

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestClockWhileLinked: a clock that drifts while a link is up is seen; one that
// is set by more than a minute ends the link, as at the hello, and both sides say
// why; once it is right again the two meet.
func TestClockWhileLinked(t *testing.T) {
	for _, jump := range []time.Duration{10 * time.Minute, -2 * time.Minute} {
		t.Run(jump.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFarm(t, 2)
				defer f.end()
				f.start()
				f.until(30*time.Second, "all agree", func() bool { return f.agree(f.all()...) })
				offset := func(node int) time.Duration {
					links := f.nodes[node].c.Status().Links
					if len(links) != 1 {
						t.Fatalf("node %d has %d links", node, len(links))
					}
					return links[0].Clock
				}
				off := func(d time.Duration) func() bool {
					return func() bool { return (offset(0)-d).Abs() <= time.Millisecond && (offset(1)+d).Abs() <= time.Millisecond }
				}
				f.nodes[1].skew.Store(int64(50 * time.Second))
				f.until(time.Minute, "the drift is seen", off(50*time.Second))
				f.nodes[1].skew.Store(0)
				f.until(time.Minute, "it was put right", off(0))
				if n := f.nodes[0].log.count("link is down"); n != 0 {
					t.Errorf("%d links ended by a clock that is off by less than a minute", n)
				}

				f.nodes[1].skew.Store(int64(jump))
				f.until(40*time.Second, "the link ends", func() bool {
					return len(f.nodes[0].c.Status().Links)+len(f.nodes[1].c.Status().Links) == 0
				})
				ahead, behind := "node-1", "node-0"
				if jump < 0 {
					ahead, behind = behind, ahead
				}
				for i, n := range f.nodes {
					if want := `the clock of node \"` + ahead + `\" is ` + jump.Abs().String() + ` ahead of that of node \"` + behind + `\"`; !n.log.has(want) {
						t.Errorf("node %d did not log %q", i, want)
					}
				}
				f.nodes[1].skew.Store(0)
				f.until(2*time.Minute, "they meet again", func() bool { return f.agree(f.all()...) })
			})
		})
	}
}
