package app

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/crypt"
	"github.com/aquarium-fish/aquarium-fish/lib/hostfacts"
	"github.com/aquarium-fish/aquarium-fish/lib/loop"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

// registerNode stores what this node says of itself. A name that is known with
// another key is an error: somebody else's, or the key was lost.
func (a *App) registerNode(ctx context.Context, opts Options, db *store.Store, id *crypt.Identity) (model.Node, error) {
	cfg := opts.Config
	facts, err := hostfacts.Collect(ctx, hostfacts.DefaultTimeout, opts.Logger).JSON()
	if err != nil {
		return model.Node{}, fmt.Errorf("describe host: %w", err)
	}
	node, err := db.PutNode(ctx, model.Node{
		UID: id.UID, Name: cfg.NodeName, Address: cfg.NodeAddress, LocationName: cfg.NodeLocation,
		Pubkey: id.PublicKey, Definition: facts,
	})
	if err != nil {
		return model.Node{}, fmt.Errorf("register node: %w", err)
	}
	return node, nil
}

// rehash replaces a hash of old parameters, unless the user was changed since
// it was read.
func rehash(db *store.Store) func(context.Context, model.User, model.PasswordHash) (model.HLC, error) {
	return func(ctx context.Context, read model.User, hash model.PasswordHash) (model.HLC, error) {
		user, err := db.RehashUser(ctx, read, hash)
		if err != nil {
			return 0, fmt.Errorf("store new hash: %w", err)
		}
		return user.HLC, nil
	}
}

// A node's row says when the node was there: who has not met it for a year refuses it. So it is written
// again before a month is over, however long the process lives. The look costs nothing, and comes often: what was written
// at a start with a dead clock is put right as soon as the clock is.
const (
	rowLook = time.Minute
	rowAge  = 30 * 24 * time.Hour
)

// keepRow writes the node's row again where it is old.
func keepRow(db *store.Store, log *slog.Logger) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		loop.Every(ctx, rowLook, func(ctx context.Context) {
			own, ok := db.Node()
			if !ok || time.Since(own.UpdatedAt) < rowAge {
				return
			}
			if _, err := db.PutNode(ctx, own); err != nil && ctx.Err() == nil {
				log.Warn("row of this node not renewed, it is tried again in a minute", "error", err)
			}
		})
		return nil
	}
}
