package farm

import (
	"testing"
	"time"
)

func TestTopologies(t *testing.T) {
	for _, tt := range []struct {
		topology    Topology
		nodes       int
		links       int
		sees, blind [2]int // a pair that does, one that does not
	}{
		{Full(4), 4, 6, [2]int{0, 3}, [2]int{}},
		{Chain(5), 5, 4, [2]int{3, 2}, [2]int{0, 2}},
		{Ring(5), 5, 5, [2]int{4, 0}, [2]int{0, 2}},
		{Islands(3, 2), 5, 5, [2]int{2, 3}, [2]int{1, 3}},
		{Hub(4), 4, 3, [2]int{0, 3}, [2]int{1, 2}},
		{Full(1), 1, 0, [2]int{0, 0}, [2]int{}},
	} {
		t.Run(tt.topology.Name, func(t *testing.T) {
			g := tt.topology
			if err := g.validate(); err != nil {
				t.Error(err)
			}
			if g.Nodes != tt.nodes || len(g.Links) != tt.links {
				t.Errorf("%d nodes, %d links, want %d, %d", g.Nodes, len(g.Links), tt.nodes, tt.links)
			}
			if !g.Sees(tt.sees[0], tt.sees[1]) {
				t.Errorf("%v do not see each other", tt.sees)
			}
			if tt.blind != [2]int{} && g.Sees(tt.blind[0], tt.blind[1]) {
				t.Errorf("%v see each other", tt.blind)
			}
			if slow := g.Slow(time.Second); len(g.Links) > 0 && (slow.Links[0].Delay != time.Second || g.Links[0].Delay != 0) {
				t.Errorf("Slow() = %v, of %v", slow.Links[0], g.Links[0])
			}
		})
	}
}

func TestTopologyThatCanNotGrow(t *testing.T) {
	for name, bad := range map[string]Topology{
		"nobody":       {},
		"alone":        {Nodes: 2},
		"later only":   {Nodes: 3, Links: []Link{{A: 0, B: 2}, {A: 1, B: 2}}},
		"to itself":    {Nodes: 1, Links: []Link{{A: 0, B: 0}}},
		"out of range": {Nodes: 2, Links: []Link{{A: 0, B: 1}, {A: 0, B: 2}}},
	} {
		if err := bad.validate(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
