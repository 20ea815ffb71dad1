package vmx

import (
	"os"
	"path/filepath"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/space"
	"github.com/aquarium-fish/aquarium-fish/drivers/volume"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// newGauge reads the room of the driver's workspace.
func newGauge(d *driver) *space.Gauge { return space.New(d.workspace.path, d.measure) }

// DiskNeed implements drivers.DiskHolder: the disks that are made for an
// environment. A reused one that is there is not made. How far the clone's own
// disk grows nobody says; what live ones have grown is missing from what is free.
func (d *driver) DiskNeed(def model.LabelDefinition) (gb uint, fileSystem string) {
	made := ownDisks(def.Resources.Disks)
	if len(made) < len(def.Resources.Disks) {
		r, _ := d.room.Read() // where it is not known, all are counted
		for name, k := range def.Resources.Disks {
			if k.Reuse && !volume.Kept(r.Kept).Has(volume.LabelOf(name, k)) {
				made[name] = k
			}
		}
	}
	return drivers.SizeOf(made), d.disksOn
}

// DiskRoom implements drivers.DiskHolder.
func (d *driver) DiskRoom() (drivers.DiskRoom, error) {
	r, err := d.room.Read()
	return r.Room, err
}

var _ drivers.DiskHolder = (*driver)(nil)

// ownDisks are the disks that go with their environment.
func ownDisks(disks map[string]model.Disk) map[string]model.Disk {
	own := map[string]model.Disk{}
	for name, k := range disks {
		if !k.Reuse {
			own[name] = k
		}
	}
	return own
}

// measure reads the room for disks, and which reused ones there are. What is
// written is counted first: written meanwhile, it is missed and not counted
// twice.
func (d *driver) measure() (space.Reading, error) {
	if err := os.MkdirAll(d.workspace.path, 0o700); err != nil { // somebody may have cleaned up
		return space.Reading{}, err
	}
	written, err := d.workspace.written()
	if err != nil {
		return space.Reading{}, err
	}
	kept, err := keptDisks(d.shelf)
	if err != nil {
		return space.Reading{}, err
	}
	total, free, err := space.Of(d.workspace.path)
	if d.imagesOn == d.disksOn {
		free -= d.images.Reserved() // what downloads are about to take
	}
	return space.Reading{
		Room: drivers.DiskRoom{Total: space.ToGB(total), Free: space.ToGB(free + written)}, Kept: kept,
	}, err
}

// keptDisks are the reused disks that are made, by the names of their folders.
func keptDisks(shelf volume.Shelf) (volume.Kept, error) {
	made, err := filepath.Glob(filepath.Join(shelf.Path(), "*", diskFolder, diskFile))
	kept := volume.Kept{}
	for _, path := range made {
		kept[filepath.Base(filepath.Dir(filepath.Dir(path)))] = true
	}
	return kept, err
}

// written is what the environments of this node have written to the disks that
// go with them, in bytes: of each at most what it was promised. What may not
// be read is not counted.
func (w *workspace) written() (bytes int64, err error) {
	found, err := os.ReadDir(w.path)
	if err != nil {
		return 0, err
	}
	for _, f := range found {
		if !w.names.MatchString(f.Name()) {
			continue
		}
		c, ok, err := readClaim(filepath.Join(w.folder(f.Name()), specFile))
		if err != nil || !ok || c.Node != w.owner.Node || c.DiskGB == 0 {
			continue // another's, without disks, or just being removed
		}
		bytes += volume.Used(volume.DisksOf(w.folder(f.Name())), int64(min(c.DiskGB, 1<<32))<<30) //nolint:gosec // bounded
	}
	return bytes, nil
}
