package native

import (
	"cmp"
	"context"
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/space"
	"github.com/aquarium-fish/aquarium-fish/drivers/volume"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// joinRooms has what the environments have written and what downloads will
// take counted, each where it is.
func (d *driver) joinRooms(rooms *space.Rooms) (err error) {
	rooms = cmp.Or(rooms, &space.Rooms{}) // both on one file system are one sum also for an instance alone
	d.room, err = rooms.Join(space.Member{Dir: d.workspace.path, Count: d.count})
	if err != nil {
		return err
	}
	d.imageRoom, err = rooms.Join(space.Member{
		Dir: d.settings.ImagesPath,
		Count: func(context.Context) (space.Count, error) {
			return space.Count{Reserved: d.images.Reserved()}, nil
		},
	})
	if err != nil {
		d.room.Leave()
	}
	return err
}

// DiskNeed implements drivers.DiskHolder: the disks that are made for an
// environment, and what a reused one may still grow.
func (d *driver) DiskNeed(def model.LabelDefinition) (gb uint, fileSystem string) {
	r, _ := d.room.Read() // where it is not known, all are counted
	return volume.Need(def.Resources.Disks, r.Kept), d.room.FileSystem()
}

// DiskRoom implements drivers.DiskHolder.
func (d *driver) DiskRoom() (drivers.DiskRoom, error) {
	r, err := d.room.Read()
	return drivers.DiskRoom{Total: r.Total, Free: r.Free}, err
}

var _ drivers.DiskHolder = (*driver)(nil)

// count is what the instance's environments have written, and which reused
// disks there are.
func (d *driver) count(ctx context.Context) (space.Count, error) {
	if err := makeFolder(d.workspace.path); err != nil { // somebody may have cleaned up
		return space.Count{}, err
	}
	kept, err := d.shelf.Kept()
	if err != nil {
		return space.Count{}, err
	}
	written, err := d.workspace.written(ctx)
	return space.Count{Written: written, Kept: kept}, err
}

// written is what the owner's environments have written to the disks that go
// with them, in bytes: of each at most what it was promised. What may not be
// read is not counted.
func (w *workspace) written(ctx context.Context) (bytes int64, err error) {
	found, err := os.ReadDir(w.path)
	if err != nil {
		return 0, err
	}
	for _, f := range found {
		if !w.names.MatchString(f.Name()) {
			continue
		}
		var c claim
		text, err := os.ReadFile(filepath.Join(w.folder(f.Name()), specFile))
		if err != nil || json.Unmarshal(text, &c) != nil || c.owner != w.owner || c.DiskGB == 0 {
			continue // another's, without disks, or just being removed
		}
		bytes += volume.Used(ctx, volume.DisksOf(w.folder(f.Name())), int64(min(c.DiskGB, 1<<32))<<30) //nolint:gosec // bounded
	}
	return bytes, nil
}
