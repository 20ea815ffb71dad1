package native

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// takenFile in a reused disk's folder says who has it.
const takenFile = "taken.json"

// taken is what it holds.
type taken struct {
	Identifier string `json:"identifier"`
	Token      string `json:"token"`
}

// makeDisks makes what is missing of the disks, and mounts them.
func (d *driver) makeDisks(ctx context.Context, c claim, disks []disk, p identity) error {
	for _, k := range disks {
		if k.reuse {
			if err := d.takeDisk(k, c); err != nil {
				return fmt.Errorf("disk %q: %w", k.name, err)
			}
		}
		if err := d.makeDisk(ctx, k, p); err != nil {
			return fmt.Errorf("make disk %q: %w", k.name, err)
		}
	}
	return nil
}

func (d *driver) makeDisk(ctx context.Context, k disk, p identity) error {
	if err := os.MkdirAll(k.store, folderMode); err != nil {
		return err
	}
	if k.kind == diskDir {
		if err := os.MkdirAll(k.path, 0o700); err != nil {
			return err
		}
		return d.hands.take(ctx, k.path)
	}
	if err := d.makeImage(ctx, k); err != nil || !k.mounted() {
		return err
	}
	if err := os.MkdirAll(k.path, 0o700); err != nil {
		return err
	}
	if there, err := mountsBelow(k.path); err != nil || len(there) > 0 {
		return err
	}
	return d.hands.run(ctx, d.disker.attach(k, p)...)
}

// makeImage makes a file-backed disk's file under another name first, so that
// one that is there is whole.
func (d *driver) makeImage(ctx context.Context, k disk) error {
	if k.kind != diskRaw && d.disker.goos == "darwin" { // hdiutil makes it, whole
		if there, err := exists(k.image() + ".sparseimage"); err != nil || there {
			return err
		}
		return d.hands.run(ctx, d.disker.format(k)...)
	}
	if there, err := exists(k.image()); err != nil || there {
		return err
	}
	making := k
	making.store = filepath.Join(k.store, "making")
	err := errors.Join(os.RemoveAll(making.store), os.Mkdir(making.store, 0o700))
	if err == nil {
		err = os.WriteFile(making.image(), nil, 0o600)
	}
	if err == nil {
		err = os.Truncate(making.image(), int64(k.size)<<30) //nolint:gosec // checked to be at most 2^20
	}
	if err == nil && k.mounted() {
		err = d.hands.run(ctx, d.disker.format(making)...)
	}
	if err != nil {
		return err
	}
	return errors.Join(os.Rename(making.image(), k.image()), os.Remove(making.store))
}

// giveDisks makes the disks belong to the environment's user.
func (d *driver) giveDisks(ctx context.Context, disks []disk, p identity) error {
	for _, k := range disks {
		if k.kind == diskExFAT || k.kind == diskFAT32 {
			continue // they know no owners: their mount says whose they are
		}
		if err := d.hands.give(ctx, k.path, p); err != nil {
			return fmt.Errorf("disk %q: %w", k.name, err)
		}
	}
	return nil
}

// takeDisk notes who has a reused disk. The node keeps two environments of one
// instance from taking the same; this keeps those of other instances and
// nodes away, and notices what a restored database does not know.
func (d *driver) takeDisk(k disk, c claim) error {
	if err := os.MkdirAll(k.store, folderMode); err != nil {
		return err
	}
	return locked(filepath.Join(filepath.Dir(k.store), ".lock"), func() error {
		file := filepath.Join(k.store, takenFile)
		holder, err := readTaken(file)
		if err != nil {
			return err
		}
		if holder.Token != "" && holder.Token != c.Token && d.lives(holder) {
			return fmt.Errorf("reused disk %q is in use by environment %s", k.label, holder.Identifier)
		}
		text, err := json.Marshal(taken{c.Identifier, c.Token})
		if err != nil {
			return err
		}
		return writeDurably(file, text, 0o600)
	})
}

// lives reports whether the folder of an environment, of whomever, is there.
func (d *driver) lives(t taken) bool {
	text, err := os.ReadFile(filepath.Join(d.workspace.folder(t.Identifier), specFile))
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	var c claim
	return json.Unmarshal(text, &c) != nil || c.Token == t.Token
}

func readTaken(file string) (taken, error) {
	var t taken
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return t, nil
	}
	if err != nil {
		return t, err
	}
	if err := json.Unmarshal(text, &t); err != nil {
		return t, fmt.Errorf("read %s: %w", file, err)
	}
	return t, nil
}

// releaseDisks lets the next environment have the reused disks. The folders
// are looked through, because the definition may be forgotten.
func (d *driver) releaseDisks(c claim) error {
	shelf := filepath.Join(d.workspace.path, reusedFolder)
	found, err := os.ReadDir(shelf)
	if err != nil {
		return ignoreMissing(err)
	}
	return locked(filepath.Join(shelf, ".lock"), func() error {
		var errs []error
		for _, f := range found {
			file := filepath.Join(shelf, f.Name(), takenFile)
			if !f.IsDir() {
				continue
			}
			holder, err := readTaken(file)
			if err == nil && holder.Token == c.Token {
				err = os.Remove(file)
			}
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	})
}

// unmount unmounts everything below the environment's folder: its own disks,
// and whatever a process in it has mounted.
func (d *driver) unmount(ctx context.Context, folder string) error {
	found, err := mountsBelow(folder)
	if err != nil {
		return err
	}
	for _, path := range found {
		if err := d.hands.run(ctx, d.disker.detach(path)...); err != nil {
			return err
		}
	}
	if left, err := mountsBelow(folder); err != nil || len(left) > 0 {
		return errors.Join(err, fmt.Errorf("unmount %s: something is still mounted there: %v", folder, left))
	}
	return nil
}

// Exclusive implements drivers.Excluder: the reused disks.
func (d *driver) Exclusive(def model.LabelDefinition) []string {
	var names []string
	for _, k := range plan(def.Resources.Disks, d.workspace.path, "") {
		if k.reuse {
			names = append(names, "disk "+k.label)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

var _ drivers.Excluder = (*driver)(nil)
