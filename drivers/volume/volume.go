// Package volume makes the disks of environments on this machine: folders,
// plain files, and file systems in sparse files that are mounted by a loop
// device (on macOS by hdiutil). Drivers decide where disks are and who may use
// them; how they come to be and go is the same for all.
//
// DESIGN.md tells in which order things are made and removed, and what is
// found after a kill.
package volume

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// The types of disks (contract 30).
const (
	Dir   = "dir"   // a folder, without a bound of its size
	Raw   = "raw"   // a file of the given size
	Ext4  = "ext4"  // these are files with a file system in them
	ExFAT = "exfat" // the default
	FAT32 = "fat32"
	HFS   = "hfs+"
)

// TypeOf is the type of a disk, which the definition may leave out.
func TypeOf(d model.Disk) string { return cmp.Or(strings.ToLower(d.Type), ExFAT) }

// LabelOf is what a disk is known by: a reused one by all that take it.
func LabelOf(name string, d model.Disk) string { return cmp.Or(d.Label, name) }

// longestNames are the known types, and the longest volume name of each.
func longestNames() map[string]int {
	return map[string]int{Dir: 64, Raw: 64, Ext4: 16, ExFAT: 11, FAT32: 11, HFS: 27}
}

// Names in the folders of environments and of disks.
const (
	disksFolder  = "disks"
	dataFolder   = "data"
	mountFolder  = "mount"
	imageFile    = "image"
	makingFolder = "making"
)

// Disk is one disk of an environment, planned.
type Disk struct {
	Name  string // in the definition
	Type  string
	Label string
	Size  uint // GB
	Reuse bool
	// Store is the folder that holds what lives on: the environment's own or,
	// reused, one on the shelf.
	Store string
	// Path is the disk: a folder with its files or, of type raw, the image.
	Path string
}

// Plan says where the disks of an environment are, sorted by name. All that
// goes with the environment is in DisksOf(folder).
func Plan(disks map[string]model.Disk, shelf Shelf, folder string) []Disk {
	list := make([]Disk, 0, len(disks))
	for _, name := range slices.Sorted(maps.Keys(disks)) {
		d := disks[name]
		p := Disk{Name: name, Type: TypeOf(d), Label: LabelOf(name, d), Size: d.Size, Reuse: d.Reuse}
		p.Store = filepath.Join(DisksOf(folder), name)
		if d.Reuse {
			p.Store = shelf.Folder(p.Label)
		}
		switch p.Type {
		case Dir:
			p.Path = filepath.Join(p.Store, dataFolder)
		case Raw:
			p.Path = p.Image()
		default: // every environment mounts at a place of its own
			p.Path = filepath.Join(DisksOf(folder), name, mountFolder)
		}
		list = append(list, p)
	}
	return list
}

// DisksOf is where the disks are that go with the environment of a folder.
func DisksOf(folder string) string { return filepath.Join(folder, disksFolder) }

// Image is the file of a file-backed disk; for a file system on macOS hdiutil
// adds to its name, see Tools.Image.
func (d Disk) Image() string { return filepath.Join(d.Store, imageFile) }

// HasFileSystem reports whether the disk is a file system of its own.
func (d Disk) HasFileSystem() bool { return d.Type != Dir && d.Type != Raw }

// KnowsOwners reports whether files on the disk can belong to somebody; of
// others the mount says whose all is.
func (d Disk) KnowsOwners() bool { return d.Type != ExFAT && d.Type != FAT32 }

// volumeName is what the file system is named: what names the disk, or the
// last part of a path that does, made of letters that every file system takes.
func (d Disk) volumeName() string {
	name := regexp.MustCompile(`[^A-Za-z0-9_.-]`).ReplaceAllString(filepath.Base(d.Label), "_")
	return name[:min(len(name), longestNames()[d.Type])]
}

// Rules say what a driver can do with disks.
type Rules struct {
	// Missing are the types that can not be used, with the reason; see
	// Tools.Missing.
	Missing map[string]string
	// Label checks a label that is given. Nil: it is a volume name.
	Label func(d model.Disk) error
	// Clone checks what a disk is to be a copy of. Nil: nothing can be.
	Clone func(d model.Disk) error
}

// Check says everything that is wrong with the disks of a definition, or can
// not be done here.
func Check(disks map[string]model.Disk, r Rules) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(disks)) {
		for _, err := range r.check(name, disks[name]) {
			errs = append(errs, fmt.Errorf("disk %.64q: %w", name, err))
		}
	}
	return errors.Join(append(errs, checkReused(disks))...)
}

func (r Rules) check(name string, d model.Disk) (errs []error) {
	refuse := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	kind := TypeOf(d)
	if !isWord(name) {
		refuse("its name must be at most 64 letters, digits and any of _ . -")
	}
	if reason, no := r.Missing[kind]; no {
		refuse("type %s can not be used here: %s", kind, reason)
	} else if _, known := longestNames()[kind]; !known {
		refuse("type %.20q is not known; want one of %s", d.Type, strings.Join(slices.Sorted(maps.Keys(longestNames())), ", "))
	}
	if d.Label != "" {
		check := r.Label
		if check == nil {
			check = IsVolumeName
		}
		if err := check(d); err != nil {
			errs = append(errs, err)
		}
	}
	if kind != Dir && (d.Size < 1 || d.Size > 1<<20) {
		refuse("size %d: want 1 or more GB", d.Size)
	}
	if d.Clone != "" && r.Clone == nil {
		refuse("clone is not available here; lay an image out on the disk by its tag")
	} else if d.Clone != "" {
		if err := r.Clone(d); err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// IsVolumeName checks a label that names a file system.
func IsVolumeName(d model.Disk) error {
	if !isWord(d.Label) {
		return fmt.Errorf("label %.64q: want a volume name of letters, digits and any of _ . -", d.Label)
	}
	if longest, known := longestNames()[TypeOf(d)]; known && len(d.Label) > longest {
		return fmt.Errorf("label %q: a volume name of type %s has at most %d characters", d.Label, TypeOf(d), longest)
	}
	return nil
}

func isWord(s string) bool {
	return regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$`).MatchString(s)
}

// checkReused: one environment can not have the same disk twice.
func checkReused(disks map[string]model.Disk) error {
	seen := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(disks)) {
		if !disks[name].Reuse {
			continue
		}
		label := LabelOf(name, disks[name])
		if other, twice := seen[label]; twice {
			return fmt.Errorf("disks %q and %q are the same reused disk %q", other, name, label)
		}
		seen[label] = name
	}
	return nil
}
