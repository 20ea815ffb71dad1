package app

import (
	"github.com/aquarium-fish/aquarium-fish/lib/cluster"
	"github.com/aquarium-fish/aquarium-fish/lib/cluster/status"
	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/ownership"
)

// shared are the things that members say they are configured for together, and who owns each.
func shared(s cluster.Status, known []cluster.Known, retirements []model.Retirement) []status.Ownership {
	v := ownership.View{Self: s.Self, Retirements: retirements}
	heard := map[model.UID]bool{}
	for _, m := range s.Members {
		heard[m.LSA.Node] = true
		member := ownership.Member{
			Node: m.LSA.Node, Name: m.LSA.Name, Heard: true, Synced: m.Reachable() && m.LSA.Flags&wire.FlagReady != 0,
		}
		for _, text := range m.LSA.Shares {
			member.Shares = append(member.Shares, ownership.ParseShare(text))
		}
		v.Members = append(v.Members, member)
	}
	for _, k := range known {
		if !k.Retired && !heard[k.Node] {
			v.Members = append(v.Members, ownership.Member{Node: k.Node, Name: k.Name})
		}
	}
	return ownership.List(v)
}
