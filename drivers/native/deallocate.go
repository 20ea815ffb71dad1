package native

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/claims"
	"github.com/aquarium-fish/aquarium-fish/drivers/native/keeper"
	"github.com/aquarium-fish/aquarium-fish/drivers/volume"
)

// Deallocate implements drivers.Driver: it stops the environment, makes sure
// that none of its processes lives, and removes what it had. Each step may be
// repeated; the folder goes last, so that what a killed process left undone is
// found again.
func (d *driver) Deallocate(ctx context.Context, ref drivers.Ref) error {
	return d.workspace.Hold(ctx, ref, func(c claims.Claim, found bool) error {
		if !found {
			return d.removeAdopted(ctx, ref)
		}
		return claims.Do(ctx, d.log, d.removal(c))
	})
}

// removal is what to do, in order. Where a full disk prevents the first step's
// mark, what has a keeper is marked by the keeper's Stop then.
func (d *driver) removal(c claims.Claim) []claims.Step {
	folder := d.workspace.Folder(c.Name)
	remove := func(path string) func(context.Context) error {
		return func(ctx context.Context) error { return d.hands.remove(ctx, path) }
	}
	return []claims.Step{
		{Name: "forbid starts", Do: func(context.Context) error { return d.workspace.Stop(c) }},
		{Name: "stop environment", Do: func(ctx context.Context) error {
			return keeper.Stop(ctx, folder, c.Token, keeper.DefaultStopGrace)
		}},
		{Name: "kill survivors", Do: func(ctx context.Context) error { return d.kill(ctx, c) }},
		{Name: "unmount disks", Do: func(ctx context.Context) error { return d.tools.Unmount(ctx, folder) }},
		{Name: "remove home", Do: remove(filepath.Join(folder, homeFolder))},
		{Name: "remove temporary files", Do: remove(filepath.Join(folder, tempFolder))},
		{Name: "remove disks", Do: remove(volume.DisksOf(folder))},
		{Name: "release disks", Do: func(context.Context) error { return d.shelf.Release(c.Token) }},
		{Name: "remove user", Do: func(ctx context.Context) error { return d.removeUser(ctx, c) }},
		{Name: "remove limits", Do: func(ctx context.Context) error { return d.limiter.Remove(ctx, groupName(c)) }},
		{Name: "remove folder", Do: func(context.Context) error { return d.workspace.Discard(c) }},
	}
}

// kill kills what the keeper did not: it may have been killed itself.
func (d *driver) kill(ctx context.Context, c claims.Claim) error {
	if err := d.limiter.Kill(ctx, groupName(c)); err != nil {
		return err
	}
	if c.Isolation != isolationUser {
		return nil // the keeper's Stop looks for the token in every process
	}
	if d.accounts == nil {
		return errOtherIsolation
	}
	return d.accounts.KillAll(ctx, c.Name)
}

func (d *driver) removeUser(ctx context.Context, c claims.Claim) error {
	if c.Isolation != isolationUser {
		return nil
	}
	return d.accounts.Remove(ctx, c.Name)
}

// errOtherIsolation: users are only found again by who may make them.
var errOtherIsolation = errors.New("environment was made with isolation: user and can only be removed with it; set it again until it is gone")
