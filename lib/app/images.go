package app

import (
	"fmt"
	"log/slog"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/config"
	"github.com/aquarium-fish/aquarium-fish/lib/election"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/prefetch"
	"github.com/aquarium-fish/aquarium-fish/lib/pull"
)

// imageFetching is what fetches images that no application waits for.
type imageFetching struct {
	config   *config.Config
	registry *drivers.Registry
	store    prefetch.Store
	held     func() bool // nothing is to be fetched now that nobody asked for
	log      *slog.Logger
}

// host is what this node brings to a definition, whatever it takes on now.
func (f imageFetching) host() election.Host {
	return election.Host{Identifiers: f.config.NodeIdentifiers, Driver: driverOf(f.registry), Configured: f.registry.Configured}
}

// addImages has the node pull the images that it is asked for and, where it is
// configured to, those that it may be asked for. wake says that a driver became
// ready, or that held may have changed.
func (a *App) addImages(f imageFetching) (puller *pull.Keeper, wake func(), err error) {
	puller, err = pull.New(pull.Options{Instances: instances(f.registry), Host: f.host, Logger: f.log})
	if err != nil {
		return nil, nil, fmt.Errorf("make puller of images: %w", err)
	}
	a.addPart("pulls of images", puller.Run)
	if !f.config.ImagesPrefetch {
		return puller, func() {}, nil
	}
	ahead, err := prefetch.New(prefetch.Options{
		Store: f.store, Pull: puller.Pull, Held: f.held, Logger: f.log,
		Candidates: func(label model.Label) []pull.Candidate {
			found, _ := pull.Candidates(label, f.host())
			return found
		},
	})
	if err != nil {
		return nil, nil, fmt.Errorf("make prefetch of images: %w", err)
	}
	a.addPart("prefetch of images", ahead.Run)
	return puller, ahead.Wake, nil
}
