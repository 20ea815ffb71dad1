package app

import (
	"fmt"
	"log/slog"

	"github.com/aquarium-fish/aquarium-fish/lib/election"
	"github.com/aquarium-fish/aquarium-fish/lib/health"
	"github.com/aquarium-fish/aquarium-fish/lib/maintenance"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

// drainFile is where, in the folder of the database, a drain is kept that outlives a restart.
const drainFile = "drain.json"

// newProbes makes what answers /healthz and /readyz: in front of the API and of its log, and not on an address that is
// there for the environments alone.
func newProbes(db *store.Store, keeper *maintenance.Keeper, elect *election.Election, log *slog.Logger) (*health.Handler, error) {
	probes, err := health.New(health.Options{
		LastPass: elect.LastPass, Writable: db.Writable, Drain: keeper.Drain, Logger: log.With("component", "health"),
	})
	if err != nil {
		return nil, fmt.Errorf("make health probes: %w", err)
	}
	return probes, nil
}
