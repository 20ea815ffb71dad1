package vmx

import (
	"cmp"
	"context"
	"math"
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
	if d.room, err = rooms.Join(space.Member{Dir: d.workspace.path, Count: d.count}); err != nil {
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
// environment, and what a reused one may still grow. How far the clone's own
// disk grows nobody says; what live ones have grown is missing from what is free.
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
	if err := os.MkdirAll(d.workspace.path, 0o700); err != nil { // somebody may have cleaned up
		return space.Count{}, err
	}
	kept, err := keptDisks(ctx, d.shelf)
	if err != nil {
		return space.Count{}, err
	}
	claims, err := d.workspace.list(ctx)
	c := space.Count{Kept: kept}
	for _, one := range claims {
		most := int64(min(one.DiskGB, 1<<32)) << 30 //nolint:gosec // bounded
		c.Written += volume.Used(ctx, volume.DisksOf(d.workspace.folder(one.Name)), most)
	}
	return c, err
}

// keptDisks are the reused disks that are made, by the names of their folders,
// and what they take.
func keptDisks(ctx context.Context, shelf volume.Shelf) (volume.Kept, error) {
	made, err := filepath.Glob(filepath.Join(shelf.Path(), "*", diskFolder))
	kept := volume.Kept{}
	for _, folder := range made {
		kept[filepath.Base(filepath.Dir(folder))] = volume.Used(ctx, folder, math.MaxInt64)
	}
	return kept, err
}
