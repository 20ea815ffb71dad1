package app

import (
	"context"
	"fmt"

	"github.com/aquarium-fish/aquarium-fish/lib/audit"
	"github.com/aquarium-fish/aquarium-fish/lib/config"
	"github.com/aquarium-fish/aquarium-fish/lib/crypt"
	"github.com/aquarium-fish/aquarium-fish/lib/hostfacts"
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
	if cfg.NodeLocation != "" {
		if err := ensureLocation(ctx, db, cfg); err != nil {
			return model.Node{}, err
		}
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

// ensureLocation creates the node's location if nobody has yet; one that is
// described already stays as it is.
func ensureLocation(ctx context.Context, db *store.Store, cfg *config.Config) error {
	name := cfg.NodeLocation
	if _, ok := db.Location(name); ok {
		return nil
	}
	_, err := db.PutLocation(ctx, model.Location{Name: name, Description: "Created by node " + cfg.NodeName})
	if err != nil {
		return fmt.Errorf("create location %q: %w", name, err)
	}
	return nil
}

// ensureAdmin creates the user admin if it is absent and tells its password
// (contract 4, 10). It is told before it is stored: a node that dies in
// between makes another one at the next start, and none is lost.
func (a *App) ensureAdmin(ctx context.Context, opts Options, db *store.Store, trail *audit.Log) error {
	if _, ok := db.UserByName(model.AdminName); ok {
		return nil
	}
	password := crypt.RandomPassword()
	hash := crypt.HashPassword(password)
	if _, err := fmt.Fprintf(opts.Stderr, "Admin user pass: %s\n", password); err != nil {
		return fmt.Errorf("tell the password of the new admin: %w", err)
	}
	_, err := db.PutUser(ctx, model.AdminName, func(old *model.User) (model.User, error) {
		if old != nil {
			return *old, nil
		}
		return model.User{Hash: hash}, nil
	})
	if err != nil {
		return fmt.Errorf("create user admin: %w", err)
	}
	trail.Note(audit.Event{Action: "user.set", ObjectName: model.AdminName, Result: audit.ResultOK, Detail: "created by the node: there was none"})
	return nil
}

// rehash replaces a hash of old parameters, unless the user was changed since
// it was read.
func rehash(db *store.Store) func(context.Context, string, model.HLC, model.PasswordHash) (model.HLC, error) {
	return func(ctx context.Context, name string, version model.HLC, hash model.PasswordHash) (model.HLC, error) {
		user, err := db.PutUser(ctx, name, func(old *model.User) (model.User, error) {
			if old == nil || old.HLC != version {
				return model.User{}, fmt.Errorf("user %q was changed meanwhile", name)
			}
			u := *old
			u.Hash = hash
			return u, nil
		})
		if err != nil {
			return 0, fmt.Errorf("store new hash: %w", err)
		}
		return user.HLC, nil
	}
}
