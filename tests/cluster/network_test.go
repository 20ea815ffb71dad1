//go:build linux

package cluster

import (
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/tests/farm"
)

// TestNetworks: who sees whom is enough, and what happens to what is between
// the nodes hurts nobody for longer than it lasts.
func TestNetworks(t *testing.T) {
	t.Parallel()
	far := []route{{create: 0, read: 4, rate: 5}}
	for _, sc := range []scenario{
		{name: "chain of 5", topology: farm.Chain(5), loads: far, trouble: func(s *stage) { s.last(5 * time.Second) }},
		{
			// The other way round is open: nobody becomes unreachable.
			name: "ring, a link is cut", topology: farm.Ring(5), loads: []route{{create: 0, read: 4, rate: 5, unsure: true}},
			trouble: func(s *stage) { s.Cut(0, 4); s.last(cutTime); s.Heal(); s.last(headStart) },
		},
		{
			// Each island goes on by itself; what is asked of the other waits and says so.
			name: "two islands, the bridge is cut", topology: farm.Islands(2, 3),
			loads: []route{
				{create: 0, read: 1, rate: 5}, {create: 2, read: 4, rate: 5}, {create: 0, read: 4, rate: 2, unsure: true},
			},
			trouble: func(s *stage) {
				s.Cut(1, 2)
				s.runsAt(1) // nobody waits for the other island
				s.runsAt(3)
				s.last(cutTime)
				s.runsAt(0)
				s.runsAt(4)
				s.Heal()
				s.last(headStart)
			},
		},
		{
			name: "a hub is cut off", topology: farm.Hub(5), loads: []route{{create: 1, read: 4, rate: 5, unsure: true}},
			trouble: func(s *stage) { s.Isolate(0); s.last(cutTime); s.Heal(); s.last(headStart) },
		},
		{
			name: "one way is cut", topology: farm.Full(3), loads: []route{{create: 0, read: 2, rate: 5, unsure: true}},
			trouble: func(s *stage) {
				s.CutOneWay(0, 1)
				s.last(cutTime)
				s.Heal()
				s.CutOneWay(2, 0)
				s.last(cutTime)
				s.Heal()
				s.last(headStart)
			},
		},
		{
			// The only way between the two has a hole in one direction.
			name: "one way of a chain is cut", topology: farm.Chain(3), loads: []route{{create: 0, read: 2, rate: 5, unsure: true}},
			trouble: func(s *stage) { s.CutOneWay(1, 2); s.last(cutTime); s.Heal(); s.last(headStart) },
		},
		{
			// Shorter than anybody notices, again and again.
			name: "a link flaps", topology: farm.Chain(3), loads: []route{{create: 0, read: 2, rate: 5, unsure: true}},
			trouble: func(s *stage) {
				for range 8 {
					s.Cut(0, 1)
					s.last(700 * time.Millisecond)
					s.Heal()
					s.last(300 * time.Millisecond)
				}
			},
		},
		{
			name: "every fifth packet is lost", topology: farm.Chain(3), loads: []route{{create: 0, read: 2, rate: 3, unsure: true}},
			trouble: func(s *stage) {
				s.Lose(0, 1, 0.2)
				s.Lose(1, 2, 0.2)
				s.last(cutTime)
				s.Heal()
			},
		},
		{
			// In the end an answer takes a second to come: longer than a node waits for another one.
			name: "far away", topology: farm.Chain(3).Slow(100 * time.Millisecond), loads: []route{{create: 0, read: 2, rate: 5, unsure: true}},
			trouble: func(s *stage) { s.last(5 * time.Second); s.Delay(0, 1, 400*time.Millisecond); s.last(5 * time.Second) },
		},
		{
			name: "everybody is alone", topology: farm.Full(3),
			loads: []route{{create: 0, read: 0, rate: 3}, {create: 1, read: 1, rate: 3}, {create: 2, read: 2, rate: 3}},
			trouble: func(s *stage) {
				for node := range s.Members {
					s.Isolate(node)
				}
				s.last(cutTime)
				s.Heal()
				s.last(headStart)
			},
		},
	} {
		t.Run(sc.name, func(t *testing.T) { t.Parallel(); play(t, sc) })
	}
}
