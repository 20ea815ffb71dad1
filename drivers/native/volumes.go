package native

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/volume"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// makeDisks makes what is missing of the disks, and mounts them.
func (d *driver) makeDisks(ctx context.Context, c claim, disks []volume.Disk, p identity) error {
	for _, k := range disks {
		if k.Reuse {
			if err := d.shelf.Take(k.Label, volume.Holder{Identifier: c.Identifier, Token: c.Token}, d.lives); err != nil {
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

// lives reports whether the folder of an environment, of whomever, is there.
func (d *driver) lives(h volume.Holder) bool {
	text, err := os.ReadFile(filepath.Join(d.workspace.folder(h.Identifier), specFile))
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	var c claim
	return json.Unmarshal(text, &c) != nil || c.Token == h.Token
}

// Exclusive implements drivers.Excluder: the reused disks.
func (d *driver) Exclusive(def model.LabelDefinition) []string {
	return d.shelf.Exclusive(def.Resources.Disks)
}

var _ drivers.Excluder = (*driver)(nil)
