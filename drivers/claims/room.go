package claims

import (
	"cmp"
	"context"
	"os"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/space"
	"github.com/aquarium-fish/aquarium-fish/drivers/volume"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// RoomOptions say what counts against the room on disks.
type RoomOptions struct {
	Rooms *space.Rooms
	// Kept finds the reused disks that are made, and what they take.
	Kept func(context.Context) (volume.Kept, error)
	// ImagesPath is the folder of images, and Reserved how many bytes downloads
	// to it will still take.
	ImagesPath string
	Reserved   func() int64
}

// Room is what there is for the disks of environments. It implements
// drivers.DiskHolder.
type Room struct {
	disks, images *space.Membership
}

var _ drivers.DiskHolder = (*Room)(nil)

// Join has what the owner's environments have written and what downloads will
// take counted, each where it is.
func (w *Workspace) Join(o RoomOptions) (*Room, error) {
	rooms := cmp.Or(o.Rooms, &space.Rooms{}) // both on one file system are one sum also for an instance alone
	disks, err := rooms.Join(space.Member{
		Dir:   w.opts.Path,
		Count: func(ctx context.Context) (space.Count, error) { return w.count(ctx, o.Kept) },
	})
	if err != nil {
		return nil, err
	}
	images, err := rooms.Join(space.Member{
		Dir:   o.ImagesPath,
		Count: func(context.Context) (space.Count, error) { return space.Count{Reserved: o.Reserved()}, nil },
	})
	if err != nil {
		disks.Leave()
		return nil, err
	}
	return &Room{disks, images}, nil
}

// DiskNeed implements drivers.DiskHolder: the disks that are made for an
// environment, and what a reused one may still grow.
func (r *Room) DiskNeed(def model.LabelDefinition) (gb uint, fileSystem string) {
	found, _ := r.disks.Read() // where it is not known, all are counted
	return volume.Need(def.Resources.Disks, found.Kept), r.disks.FileSystem()
}

// DiskRoom implements drivers.DiskHolder.
func (r *Room) DiskRoom() (drivers.DiskRoom, error) {
	found, err := r.disks.Read()
	return drivers.DiskRoom{Total: found.Total, Free: found.Free}, err
}

// Leave ends the counting.
func (r *Room) Leave() {
	r.disks.Leave()
	r.images.Leave()
}

// count is what the owner's environments have written, and which reused disks
// there are.
func (w *Workspace) count(ctx context.Context, kept func(context.Context) (volume.Kept, error)) (c space.Count, err error) {
	if err := w.Make(); err != nil {
		return space.Count{}, err
	}
	if c.Kept, err = kept(ctx); err != nil {
		return space.Count{}, err
	}
	c.Written, err = w.written(ctx)
	return c, err
}

// written is what the owner's environments have written to the disks that go
// with them, in bytes: of each at most what it was promised. What may not be
// read is not counted.
func (w *Workspace) written(ctx context.Context) (bytes int64, err error) {
	found, err := os.ReadDir(w.opts.Path)
	if err != nil {
		return 0, err
	}
	for _, f := range found {
		c, ok, err := w.Read(f.Name())
		if err != nil || !ok || c.DiskGB == 0 {
			continue // another's, without disks, or just being removed
		}
		bytes += volume.Used(ctx, volume.DisksOf(w.Folder(c.Name)), int64(min(c.DiskGB, 1<<32))<<30) //nolint:gosec // bounded
	}
	return bytes, nil
}
