package vmx

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/claims"
	"github.com/aquarium-fish/aquarium-fish/drivers/vmx/vmxfile"
	"github.com/aquarium-fish/aquarium-fish/drivers/volume"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// mostFormatted is how many GB a disk with a file system may have: what its
// partition table can tell.
const mostFormatted = 2047

// rules say what can be done with disks here. missing are types of which images
// can not be made.
func rules(missing map[string]string, hasManager bool) volume.Rules {
	all := maps.Clone(missing)
	all[volume.Dir] = "a virtual machine sees no folder of the host; want a disk with a file system"
	if !hasManager {
		all[volume.Raw] = "vmware-vdiskmanager was not found: set vdiskmanager_path"
	}
	return volume.Rules{Missing: all, Clone: checkClone}
}

// checkClone: a disk may be a copy of one in an image.
func checkClone(d model.Disk) error {
	if !filepath.IsLocal(filepath.FromSlash(d.Clone)) || filepath.Ext(d.Clone) != ".vmdk" || strings.Contains(d.Clone, `\`) {
		return fmt.Errorf("clone %.64q: want the name of a .vmdk in one of the label's images", d.Clone)
	}
	return nil
}

// checkDisks says what is wrong with the disks of a definition, or can not be
// done here.
func (d *driver) checkDisks(disks map[string]model.Disk) error {
	errs := []error{volume.Check(disks, d.rules)}
	for _, name := range slices.Sorted(maps.Keys(disks)) {
		if k := disks[name]; k.Size > mostFormatted && volume.TypeOf(k) != volume.Raw && k.Clone == "" {
			errs = append(errs, fmt.Errorf("disk %.64q: size %d: a disk with a file system has at most %d GB", name, k.Size, mostFormatted))
		}
	}
	return errors.Join(errs...)
}

// disk is one disk of an environment, planned.
type disk struct {
	volume.Disk
	clone string
}

// file is the name of the file that VMware is told of. No two disks of a
// machine have the same: a snapshot puts what comes after it in the machine's
// folder, under names made of theirs.
func (k disk) file() string {
	kind := "disk-"
	if k.Reuse {
		kind = "kept-"
	}
	return kind + filepath.Base(k.Store) + ".vmdk"
}

func (k disk) path() string { return filepath.Join(k.Store, diskFolder, k.file()) }

// plan says where the disks of an environment are, sorted by name.
func (d *driver) plan(disks map[string]model.Disk, folder string) []disk {
	var list []disk
	for _, k := range volume.Plan(disks, d.shelf, folder) {
		list = append(list, disk{k, disks[k.Name].Clone})
	}
	return list
}

// makeDisks makes what is missing of the disks.
func (b build) makeDisks(ctx context.Context) error {
	for _, k := range b.plan(b.req.Definition.Resources.Disks, b.folder()) {
		if k.Reuse {
			holder := volume.Holder{Identifier: b.claim.Name, Token: b.claim.Token}
			if err := b.shelf.Take(k.Label, holder, b.workspace.Lives); err != nil {
				return fmt.Errorf("disk %q: %w", k.Name, err)
			}
		}
		if err := b.makeDisk(ctx, k); err != nil {
			return fmt.Errorf("make disk %q: %w", k.Name, err)
		}
	}
	return nil
}

// releaseDisks lets the next environment have the reused disks.
func (d *driver) releaseDisks(c claims.Claim) error { return d.shelf.Release(c.Token) }

// attachDisks puts the disks in free places of the machine. A reused one takes
// no part in snapshots: what is written to it stays.
func (b build) attachDisks(f *vmxfile.File) error {
	for _, k := range b.plan(b.req.Definition.Resources.Disks, b.folder()) {
		slot, err := freeSlot(f)
		if err != nil {
			return fmt.Errorf("attach disk %q: %w", k.Name, err)
		}
		f.Set(slot+".present", "TRUE")
		f.Set(slot+".fileName", k.path())
		if k.Reuse {
			f.Set(slot+".mode", "independent-persistent")
		}
	}
	return nil
}

// units are how many disks fit on one controller of a kind; that of SCSI is
// itself at unit 7.
func units() map[string]int { return map[string]int{"scsi": 16, "sata": 30, "nvme": 15} }

// freeSlot finds a place for a disk: on a controller that holds one already, as
// the guest surely has a driver for it, else on a new one.
func freeSlot(f *vmxfile.File) (string, error) {
	place := regexp.MustCompile(`^(scsi|sata|nvme)([0-9]):([0-9]{1,2})\.([a-z]+)$`)
	var controllers []string
	used := map[string]bool{}
	for _, key := range f.Keys() {
		m := place.FindStringSubmatch(key)
		if m == nil {
			continue
		}
		used[m[1]+m[2]+":"+m[3]] = true
		file, _ := f.Get(key)
		if m[4] == "filename" && strings.EqualFold(filepath.Ext(file), ".vmdk") && f.True(m[1]+m[2]+":"+m[3]+".present") {
			controllers = append(controllers, m[1]+m[2])
		}
	}
	for n := range 4 {
		if name := "sata" + strconv.Itoa(n); !slices.Contains(controllers, name) && !f.True(name+".present") {
			controllers = append(controllers, name) // a new one, if nothing else is free
			break
		}
	}
	for _, c := range controllers {
		kind := strings.TrimRight(c, "0123456789")
		for unit := range units()[kind] {
			slot := c + ":" + strconv.Itoa(unit)
			if used[slot] || kind == "scsi" && unit == 7 {
				continue
			}
			f.Set(c+".present", "TRUE")
			return slot, nil
		}
	}
	return "", errors.New("no controller of the image has a free place")
}

// detachKept takes the reused disks out of a machine that is off, so that its
// removal is none of theirs.
func (d *driver) detachKept(vmx string) error {
	f, err := vmxfile.Read(vmx)
	if err != nil {
		return err
	}
	var slots []string
	for _, key := range f.Keys() {
		slot, is := strings.CutSuffix(key, ".filename")
		file, _ := f.Get(key)
		if !filepath.IsAbs(file) { // VMware may write it so
			file = filepath.Join(filepath.Dir(vmx), file)
		}
		if is && strings.HasPrefix(filepath.Clean(file), d.shelf.Path()+string(filepath.Separator)) {
			slots = append(slots, slot+".")
		}
	}
	if len(slots) == 0 {
		return nil
	}
	f.Remove(func(key string) bool {
		return slices.ContainsFunc(slots, func(slot string) bool { return strings.HasPrefix(key, slot) })
	})
	return f.Write(vmx)
}

// Exclusive implements drivers.Excluder: the reused disks.
func (d *driver) Exclusive(def model.LabelDefinition) []string {
	return d.shelf.Exclusive(def.Resources.Disks)
}

var _ drivers.Excluder = (*driver)(nil)
