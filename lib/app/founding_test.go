package app

import (
	"testing"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster"
	"github.com/aquarium-fish/aquarium-fish/lib/cluster/topo"
	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// TestFounds: of those that can reach each other the lowest makes what nobody has, and nobody before it knows that.
func TestFounds(t *testing.T) {
	self := model.UID{5}
	member := func(b byte, s topo.State) cluster.Member {
		return cluster.Member{LSA: wire.LSA{Node: model.UID{b}}, State: s}
	}
	me := member(5, topo.StateInactive)
	tests := []struct {
		name     string
		standing standing
		want     bool
	}{
		{"alone", standing{self, true, true, []cluster.Member{me}}, true},
		{"before it has spoken", standing{self, true, true, nil}, true},
		{"not ready", standing{self, false, true, []cluster.Member{me}}, false},
		{"rows are on their way", standing{self, true, false, []cluster.Member{me}}, false},
		{"the lowest", standing{self, true, true, []cluster.Member{me, member(7, topo.StateActive)}}, true},
		{"another one is lower", standing{self, true, true, []cluster.Member{member(3, topo.StateInactive), me}}, false},
		{"the lower one can not be reached", standing{self, true, true, []cluster.Member{member(3, topo.StateUnreachable), me}}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.standing.founds(); got != tt.want {
				t.Errorf("founds() = %v, want %v", got, tt.want)
			}
		})
	}
}
