package native

import (
	"cmp"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/space"
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
			if k.Reuse && !r.Kept[cmp.Or(k.Label, name)] {
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
	kept, err := keptDisks(filepath.Join(d.workspace.path, reusedFolder))
	if err != nil {
		return space.Reading{}, err
	}
	total, free, err := space.Of(d.workspace.path)
	return space.Reading{
		Room: drivers.DiskRoom{Total: space.ToGB(total), Free: space.ToGB(free + written)}, Kept: kept,
	}, err
}

// keptDisks are the reused disks that are made, by their folders' names.
func keptDisks(shelf string) (map[string]bool, error) {
	found, err := os.ReadDir(shelf)
	if ignoreMissing(err) != nil {
		return nil, err
	}
	kept := map[string]bool{}
	for _, f := range found {
		store := filepath.Join(shelf, f.Name())
		for _, path := range []string{disk{store: store}.image(), disk{store: store}.image() + ".sparseimage", filepath.Join(store, dataFolder)} {
			if there, err := exists(path); err == nil && there {
				kept[f.Name()] = true
			}
		}
	}
	return kept, nil
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
		bytes += usedBelow(filepath.Join(w.folder(f.Name()), disksFolder), int64(min(c.DiskGB, 1<<32))<<30) //nolint:gosec // bounded
	}
	return bytes, nil
}

// usedBelow is what the files below a folder take, at most most; mounted file
// systems are not looked into, as their files are.
func usedBelow(folder string, most int64) (bytes int64) {
	_ = filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // what can not be read is passed over
		}
		if rel, _ := filepath.Rel(folder, path); e.IsDir() && filepath.Base(rel) == mountFolder && strings.Count(rel, string(filepath.Separator)) == 1 {
			return fs.SkipDir
		}
		if info, err := e.Info(); err == nil {
			bytes += allocated(info)
		}
		if bytes >= most {
			return fs.SkipAll
		}
		return nil
	})
	return min(bytes, most)
}
