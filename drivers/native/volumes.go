package native

import (
	"context"
	"fmt"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/claims"
	"github.com/aquarium-fish/aquarium-fish/drivers/volume"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// makeDisks makes what is missing of the disks, and mounts them.
func (d *driver) makeDisks(ctx context.Context, c claims.Claim, disks []volume.Disk, p identity) error {
	for _, k := range disks {
		if k.Reuse {
			if err := d.shelf.Take(k.Label, volume.Holder{Identifier: c.Name, Token: c.Token}, d.workspace.Lives); err != nil {
				return fmt.Errorf("disk %q: %w", k.Name, err)
			}
		}
		err := d.tools.Make(ctx, k, volume.Owner{UID: p.uid, GID: p.gid})
		if err == nil && k.Type == volume.Dir {
			err = d.hands.take(ctx, k.Path)
		}
		if err != nil {
			return fmt.Errorf("make disk %q: %w", k.Name, err)
		}
	}
	return nil
}

// giveDisks makes the disks belong to the environment's user.
func (d *driver) giveDisks(ctx context.Context, disks []volume.Disk, p identity) error {
	for _, k := range disks {
		if !k.KnowsOwners() { // their mount says whose they are
			continue
		}
		if err := d.hands.give(ctx, k.Path, p); err != nil {
			return fmt.Errorf("disk %q: %w", k.Name, err)
		}
	}
	return nil
}

// Exclusive implements drivers.Excluder: the reused disks.
func (d *driver) Exclusive(def model.LabelDefinition) []string {
	return d.shelf.Exclusive(def.Resources.Disks)
}

var _ drivers.Excluder = (*driver)(nil)
