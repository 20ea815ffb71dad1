package app

import (
	"fmt"
	"log/slog"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/config"
	"github.com/aquarium-fish/aquarium-fish/lib/election"
	"github.com/aquarium-fish/aquarium-fish/lib/pull"
)

// hostOf is what this node brings to a definition, whatever it takes on now.
func hostOf(cfg *config.Config, registry *drivers.Registry) func() election.Host {
	return func() election.Host {
		return election.Host{Identifiers: cfg.NodeIdentifiers, Driver: driverOf(registry), Configured: registry.Configured}
	}
}

// addPuller has the node pull the images that it is asked for.
func (a *App) addPuller(cfg *config.Config, registry *drivers.Registry, log *slog.Logger) (*pull.Keeper, error) {
	puller, err := pull.New(pull.Options{Instances: instances(registry), Host: hostOf(cfg, registry), Logger: log})
	if err != nil {
		return nil, fmt.Errorf("make puller of images: %w", err)
	}
	a.addPart("pulls of images", puller.Run)
	return puller, nil
}
