//go:build linux

package cluster

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/tests/farm"
	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// TestNodes: what happens to one node hurts nobody else, and itself not for
// longer than it lasts.
func TestNodes(t *testing.T) {
	t.Parallel()
	for _, sc := range []scenario{
		{
			// Also the sequence of Jenkins against a node that rejoins: nothing may be denied.
			name: "the node that is asked is killed again and again", topology: farm.Full(3),
			loads:   []route{{create: 0, read: 2, rate: 10, silent: true, unsure: true}},
			trouble: func(s *stage) { s.Members[2].KillLoop(5, seconds(1)) },
		},
		{
			name: "the node that decides is killed again and again", topology: farm.Full(3),
			loads:   []route{{create: 0, read: 2, rate: 10, silent: true, unsure: true}},
			trouble: func(s *stage) { s.Members[0].KillLoop(5, seconds(1)) },
		},
		{
			name: "the middle of a chain is killed again and again", topology: farm.Chain(3),
			loads:   []route{{create: 0, read: 2, rate: 5, unsure: true}, {create: 0, read: 0, rate: 5, unsure: true}},
			trouble: func(s *stage) { s.Members[1].KillLoop(4, seconds(2)) },
		},
		{
			name: "all are killed at once", topology: farm.Ring(4), loads: []route{{create: 0, read: 2, rate: 5, silent: true, unsure: true}},
			trouble: func(s *stage) {
				for range 2 {
					for _, m := range s.Members {
						m.Kill()
					}
					for _, m := range s.Members {
						m.Start()
					}
					s.last(3 * time.Second)
				}
			},
		},
		{
			name: "a node stands still", topology: farm.Full(3),
			loads:   []route{{create: 0, read: 2, rate: 5, unsure: true}},
			trouble: func(s *stage) { s.Members[1].Pause(); s.last(cutTime); s.Members[1].Resume(); s.last(headStart) },
		},
		{
			name: "the node that decides stands still", topology: farm.Full(3),
			loads:   []route{{create: 0, read: 0, rate: 5, silent: true}, {create: 2, read: 1, rate: 5, unsure: true}},
			trouble: func(s *stage) { s.Members[0].Pause(); s.last(cutTime); s.Members[0].Resume(); s.last(headStart) },
		},
		{
			name: "a full disk", topology: farm.Full(3),
			each: func(_ *testing.T, node int, s *farm.Settings) {
				if node == 1 {
					s.DiskMB = diskMB
				}
			},
			loads: []route{{create: 0, read: 2, rate: 10, unsure: true}},
			trouble: func(s *stage) {
				s.Members[1].Disk.Fill()
				s.last(cutTime)
				s.Members[1].Disk.Free()
				s.last(headStart)
			},
		},
		{
			// What the node wrote since the copy, and what it has told the others of it, must not become two truths.
			name: "a database of yesterday", topology: farm.Full(3),
			loads: []route{{create: 1, read: 2, rate: 10, silent: true, unsure: true}},
			trouble: func(s *stage) {
				m := s.Members[1]
				m.Stop()
				backup := m.Backup()
				m.Start()
				s.last(5 * time.Second)
				m.Kill()
				m.Restore(backup)
				m.Start()
				s.last(headStart)
			},
		},
	} {
		t.Run(sc.name, func(t *testing.T) { t.Parallel(); play(t, sc) })
	}
}

func seconds(n int) func() time.Duration {
	return func() time.Duration { return time.Duration(n) * time.Second }
}

// TestAfterTheSingleNode: the database of a node that ran alone is that of a
// farm as soon as others join, as a whole and to the byte. The two that join
// find each other first, and nothing that they make meanwhile takes the place
// of what it has.
func TestAfterTheSingleNode(t *testing.T) {
	t.Parallel()
	const forEver = "retention: 0s\n" // the others must not find it too old
	f := farm.New(t, farm.Options{Topology: farm.Chain(3), Namespaces: true, Config: forEver, Each: func(node int, s *farm.Settings) {
		if s.Location = "lab"; node == 0 { // all are where it is: nobody brings a location of its own
			s.Kept = farm.BeforeCluster
		}
	}})
	f.Cut(0, 1)
	for _, m := range f.Members {
		m.Start()
	}
	f.Members[2].WaitReady()
	f.Heal()
	f.Together(joinTime)
	kept := f.Members[0].Kept
	for node := range f.Members {
		for _, a := range kept.Answers {
			c := f.Admin(node).As(a.User, kept.Passwords[a.User])
			if got := c.Request(http.MethodGet, a.Path, nil); got.Status != http.StatusOK || string(got.Body) != a.Body {
				t.Errorf("node %d, GET %s as %s: %d %s, the single node said %s", node, a.Path, a.User, got.Status, got.Body, a.Body)
			}
		}
	}
	// What ran there is ended from elsewhere.
	f.Admin(2).Deallocate(kept.Applications["allocated"])
	fish.EventuallyWithin(t, restTime, "the environment of before is gone", func() bool {
		return f.Admin(1).State(kept.Applications["allocated"]).Status == "DEALLOCATED"
	})
}

// TestTwentyHops: who is far away is still a member, and its applications are
// seen from the other end.
func TestTwentyHops(t *testing.T) {
	t.Parallel()
	const nodes = 21
	f := farm.Start(t, farm.Options{Topology: farm.Chain(nodes), Namespaces: true})
	f.Together(2 * joinTime)
	here, there := f.Admin(0), f.Admin(nodes-1)
	label := here.CreateLabel(fish.TestLabel("linux", `{}`))
	fish.EventuallyWithin(t, joinTime, "the label is at the other end", func() bool {
		return there.Request(http.MethodGet, "/api/v1/label/"+label, nil).Status == http.StatusOK
	})
	app := there.CreateApplication(label, `{}`)
	fish.EventuallyWithin(t, restTime, "the application runs", func() bool {
		got := here.Request(http.MethodGet, "/api/v1/application/"+app+"/state", nil)
		return got.Status == http.StatusOK && strings.Contains(string(got.Body), `"ALLOCATED"`)
	})
	here.Deallocate(app)
	f.Verify(restTime)
}
