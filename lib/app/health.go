package app

import (
	"fmt"

	"github.com/aquarium-fish/aquarium-fish/lib/election"
	"github.com/aquarium-fish/aquarium-fish/lib/health"
	"github.com/aquarium-fish/aquarium-fish/lib/lifecycle"
	"github.com/aquarium-fish/aquarium-fish/lib/maintenance"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

// drainFile is where, in the folder of the database, a drain is kept that outlives a restart.
const drainFile = "drain.json"

// attachProbes makes /healthz and /readyz tell how the node is: that it starts is all that they say before.
func attachProbes(p *health.Handler, db *store.Store, keeper *maintenance.Keeper, elect *election.Election, life *lifecycle.Manager, caughtUp func() bool) error {
	err := p.Attach(health.Node{
		Loops: []health.Loop{
			{Name: "database writer", Beats: db.Beats},
			{Name: "lifecycle", Beats: life.Beats},
			{Name: "election", Beats: elect.Beats},
		},
		Writable: db.Writable, Drain: keeper.Drain, CaughtUp: caughtUp,
	})
	if err != nil {
		return fmt.Errorf("attach health probes: %w", err)
	}
	return nil
}
