package volume

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/aquarium-fish/aquarium-fish/lib/durable"
)

// storeMode lets an environment's user pass to its disk and nothing else.
const storeMode = 0o711

// Owner is who may use a disk whose file system knows no owners.
type Owner struct {
	UID, GID int
	Everyone bool // all others as well
}

// Make makes what is missing of a disk, and mounts it: also what a killed
// process left half made. A reused one must be taken before. Folders are the
// node's own and closed: whoever is to use one is given it by the caller.
func (t *Tools) Make(ctx context.Context, k Disk, o Owner) error {
	if k.Type == Dir {
		if err := os.MkdirAll(k.Store, storeMode); err != nil {
			return err
		}
		return os.MkdirAll(k.Path, 0o700)
	}
	if err := t.MakeImage(ctx, k); err != nil || !k.HasFileSystem() {
		return err
	}
	if err := os.MkdirAll(k.Path, 0o700); err != nil {
		return err
	}
	if there, err := MountsBelow(k.Path); err != nil || len(there) > 0 {
		return err
	}
	return t.run(ctx, t.attach(k, o)...)
}

// Image is where the file of a disk is once it is made.
func (t *Tools) Image(k Disk) string {
	if t.goos == "darwin" && k.HasFileSystem() {
		return k.Image() + ".sparseimage"
	}
	return k.Image()
}

// MakeImage makes the file of a file-backed disk, unless it is there: under
// another name first, so that one that is there is whole.
func (t *Tools) MakeImage(ctx context.Context, k Disk) error {
	if there, err := exists(t.Image(k)); err != nil || there {
		return err
	}
	if err := os.MkdirAll(k.Store, storeMode); err != nil {
		return err
	}
	making := k
	making.Store = filepath.Join(k.Store, makingFolder)
	if err := errors.Join(os.RemoveAll(making.Store), os.Mkdir(making.Store, 0o700)); err != nil {
		return err
	}
	if err := t.fill(ctx, making); err != nil {
		return errors.Join(err, os.RemoveAll(making.Store))
	}
	if err := settle(t.Image(making), t.Image(k), k.Reuse); err != nil {
		return err
	}
	return os.Remove(making.Store)
}

// settle gives a whole image its name. One that lives on has to be whole after
// a power loss too: nobody would make it again.
func settle(from, to string, livesOn bool) error {
	if !livesOn {
		return os.Rename(from, to)
	}
	f, err := os.OpenFile(from, os.O_RDWR, 0) // Windows wants to write what it syncs
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("make %s durable: %w", from, err)
	}
	return durable.Rename(from, to)
}

// fill makes the image of a disk in a folder that is empty.
func (t *Tools) fill(ctx context.Context, k Disk) error {
	if t.goos == "darwin" && k.HasFileSystem() { // hdiutil makes the file too
		return t.run(ctx, t.format(k)...)
	}
	if err := os.WriteFile(k.Image(), nil, 0o600); err != nil {
		return err
	}
	if err := os.Truncate(k.Image(), int64(k.Size)<<30); err != nil { //nolint:gosec // checked to be at most 2^20
		return err
	}
	if !k.HasFileSystem() {
		return nil
	}
	return t.run(ctx, t.format(k)...)
}

// Unmount unmounts everything at and below a folder, the innermost first: the
// disks of an environment, and whatever else was mounted there. It is to
// come before any removal.
func (t *Tools) Unmount(ctx context.Context, folder string) error {
	found, err := MountsBelow(folder)
	if err != nil {
		return err
	}
	for _, path := range found {
		if err := t.run(ctx, t.detach(path)...); err != nil {
			return err
		}
	}
	if left, err := MountsBelow(folder); err != nil || len(left) > 0 {
		return errors.Join(err, fmt.Errorf("unmount %s: something is still mounted there: %v", folder, left))
	}
	return nil
}

func exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
