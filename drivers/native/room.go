package native

import (
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/space"
	"github.com/aquarium-fish/aquarium-fish/drivers/volume"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// newGauge reads the room of the driver's workspace.
func newGauge(d *driver) *space.Gauge { return space.New(d.settings.WorkspacePath, d.look) }

// DiskNeed implements drivers.DiskHolder: the disks that are made for an
// environment. A reused one that is there is not made.
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

// look reads the room for disks, and which reused ones there are. What is
// written is counted first: written meanwhile, it is missed and not counted
// twice.
func (d *driver) look() (space.Reading, error) {
	if err := makeFolder(d.workspace.path); err != nil { // somebody may have cleaned up
		return space.Reading{}, err
	}
	written, err := d.workspace.written()
	if err != nil {
		return space.Reading{}, err
	}
	kept, err := d.shelf.Kept()
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
		var c claim
		text, err := os.ReadFile(filepath.Join(w.folder(f.Name()), specFile))
		if err != nil || json.Unmarshal(text, &c) != nil || c.Node != w.owner.Node || c.DiskGB == 0 {
			continue // another's, without disks, or just being removed
		}
		bytes += volume.Used(volume.DisksOf(w.folder(f.Name())), int64(min(c.DiskGB, 1<<32))<<30) //nolint:gosec // bounded
	}
	return bytes, nil
}
