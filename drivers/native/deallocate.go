package native

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/native/keeper"
	"github.com/aquarium-fish/aquarium-fish/drivers/volume"
)

// Deallocate implements drivers.Driver: it stops the environment, makes sure
// that none of its processes lives, and removes what it had. Each step may be
// repeated; the folder goes last, so that what a killed process left undone is
// found again.
func (d *driver) Deallocate(ctx context.Context, ref drivers.Ref) error {
	done, err := d.turnOf(ctx, ref)
	if err != nil {
		return err
	}
	defer done()
	c, ok, err := d.workspace.find(ref)
	if err != nil {
		return fmt.Errorf("look for environment: %w", err)
	}
	if !ok {
		return d.removeAdopted(ctx, ref)
	}
	for _, step := range d.removal(c) {
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return nil
}

// turnOf waits until nobody else works on the environment.
func (d *driver) turnOf(ctx context.Context, ref drivers.Ref) (done func(), err error) {
	key := ref.Token
	if key == "" {
		c, _, err := d.workspace.find(ref)
		if err != nil {
			return nil, fmt.Errorf("look for environment: %w", err)
		}
		key = cmp.Or(c.Token, ref.Identifier)
	}
	return d.turns.Take(ctx, key)
}

// removal is what to do, in order.
func (d *driver) removal(c claim) []step {
	folder := d.workspace.folder(c.Identifier)
	remove := func(path string) func(context.Context) error {
		return func(ctx context.Context) error { return d.hands.remove(ctx, path) }
	}
	return []step{
		{"forbid starts", func(context.Context) error { return d.forbidStarts(c) }},
		{"stop environment", func(ctx context.Context) error {
			return keeper.Stop(ctx, folder, c.Token, keeper.DefaultStopGrace)
		}},
		{"kill survivors", func(ctx context.Context) error { return d.kill(ctx, c) }},
		{"unmount disks", func(ctx context.Context) error { return d.tools.Unmount(ctx, folder) }},
		{"remove home", remove(filepath.Join(folder, homeFolder))},
		{"remove temporary files", remove(filepath.Join(folder, tempFolder))},
		{"remove disks", remove(volume.DisksOf(folder))},
		{"release disks", func(context.Context) error { return d.shelf.Release(c.Token) }},
		{"remove user", func(ctx context.Context) error { return d.removeUser(ctx, c) }},
		{"remove limits", func(ctx context.Context) error { return d.limiter.Remove(ctx, c.groupName()) }},
		{"remove folder", func(context.Context) error { return d.workspace.discard(c) }},
	}
}

// forbidStarts marks the environment as one that is being removed. Where a full
// disk prevents even that, it is removed all the same: it may be what fills the
// disk. What has a keeper is marked by the keeper's Stop then.
func (d *driver) forbidStarts(c claim) error {
	err := d.workspace.stop(c)
	if !volume.Full(err) {
		return err
	}
	d.log.Warn("full disk: could not note that an environment is being removed; it is removed all the same", "identifier", c.Identifier, "error", err)
	return nil
}

// kill kills what the keeper did not: it may have been killed itself.
func (d *driver) kill(ctx context.Context, c claim) error {
	if err := d.limiter.Kill(ctx, c.groupName()); err != nil {
		return err
	}
	if c.Isolation != isolationUser {
		return nil // the keeper's Stop looks for the token in every process
	}
	if d.accounts == nil {
		return errOtherIsolation
	}
	return d.accounts.KillAll(ctx, c.Identifier)
}

func (d *driver) removeUser(ctx context.Context, c claim) error {
	if c.Isolation != isolationUser {
		return nil
	}
	return d.accounts.Remove(ctx, c.Identifier)
}

// errOtherIsolation: users are only found again by who may make them.
var errOtherIsolation = errors.New("environment was made with isolation: user and can only be removed with it; set it again until it is gone")
