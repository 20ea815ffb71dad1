package native

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// The types of disks (contract 30).
const (
	diskDir   = "dir"   // a folder, without a bound of its size
	diskRaw   = "raw"   // a file of the given size
	diskExt4  = "ext4"  // these are files with a file system in them, mounted
	diskExFAT = "exfat" // the default
	diskFAT32 = "fat32"
	diskHFS   = "hfs+"
)

// disk is one disk of an environment, planned.
type disk struct {
	name  string // in the definition
	kind  string
	label string // volume name
	size  uint   // GB
	reuse bool
	// store holds what lives on: the environment's own folder or, reused, a
	// folder beside those of environments.
	store string
	// path is what {{ .Disks.name }} stands for.
	path string
}

// image is the file of a file-backed disk.
func (d disk) image() string { return filepath.Join(d.store, "image") }

// mounted reports whether the disk is a file system of its own.
func (d disk) mounted() bool { return d.kind != diskDir && d.kind != diskRaw }

// reusedFolder holds the disks that live longer than their environments.
const reusedFolder = ".disks"

// Names in the folders of environments and of disks.
const (
	disksFolder = "disks"
	dataFolder  = "data"
	mountFolder = "mount"
)

// plan says where the disks of an environment are, sorted by name.
func plan(disks map[string]model.Disk, workspace, folder string) []disk {
	list := make([]disk, 0, len(disks))
	for _, name := range slices.Sorted(maps.Keys(disks)) {
		d := disks[name]
		p := disk{name: name, kind: kindOf(d), label: cmp.Or(d.Label, name), size: d.Size, reuse: d.Reuse}
		p.store = filepath.Join(folder, disksFolder, name)
		if d.Reuse {
			p.store = filepath.Join(workspace, reusedFolder, p.label)
		}
		switch p.kind {
		case diskDir:
			p.path = filepath.Join(p.store, dataFolder)
		case diskRaw:
			p.path = p.image()
		default: // every environment mounts at a place of its own
			p.path = filepath.Join(folder, disksFolder, name, mountFolder)
		}
		list = append(list, p)
	}
	return list
}

func kindOf(d model.Disk) string { return cmp.Or(strings.ToLower(d.Type), diskExFAT) }

// abilities are what this machine can do with disks: for each type that it
// can not do, the reason.
type abilities map[string]string

// checkDisks says what is wrong with the disks of a definition, or can not be
// done here.
func checkDisks(disks map[string]model.Disk, missing abilities) error {
	word := regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$`)
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(disks)) {
		d := disks[name]
		refuse := func(format string, args ...any) {
			errs = append(errs, fmt.Errorf("disk %.64q: %s", name, fmt.Sprintf(format, args...)))
		}
		kind := kindOf(d)
		if !word.MatchString(name) {
			refuse("its name must be at most 64 letters, digits and any of _ . -")
		}
		if d.Label != "" && !word.MatchString(d.Label) {
			refuse("label %.64q: want a volume name of letters, digits and any of _ . -", d.Label)
		}
		if reason, no := missing[kind]; no {
			refuse("type %s can not be used here: %s", kind, reason)
		} else if longest, known := labelSizes()[kind]; !known {
			refuse("type %.20q is not known; want one of %s", d.Type, strings.Join(slices.Sorted(maps.Keys(labelSizes())), ", "))
		} else if len(d.Label) > longest {
			refuse("label %q: a volume name of type %s has at most %d characters", d.Label, kind, longest)
		}
		if kind != diskDir && (d.Size < 1 || d.Size > 1<<20) {
			refuse("size %d: want 1 or more GB", d.Size)
		}
		if d.Clone != "" {
			refuse("clone is not available for native environments; lay an image out on the disk by its tag")
		}
	}
	return errors.Join(append(errs, checkReused(disks))...)
}

// checkReused: one environment can not have the same disk twice.
func checkReused(disks map[string]model.Disk) error {
	seen := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(disks)) {
		if !disks[name].Reuse {
			continue
		}
		label := cmp.Or(disks[name].Label, name)
		if other, twice := seen[label]; twice {
			return fmt.Errorf("disks %q and %q are the same reused disk %q", other, name, label)
		}
		seen[label] = name
	}
	return nil
}

// labelSizes are the known types, and the longest volume name of each.
func labelSizes() map[string]int {
	return map[string]int{diskDir: 64, diskRaw: 64, diskExt4: 16, diskExFAT: 11, diskFAT32: 11, diskHFS: 27}
}

// volume is what a file system can be named: what names the disk, cut.
func (d disk) volume() string {
	longest := labelSizes()[d.kind]
	return d.label[:min(len(d.label), longest)]
}

// disker knows the commands that make, mount and unmount file systems.
type disker struct {
	goos          string
	mkfs          map[string]string // type -> path of its tool; Linux
	mount, umount string
	hdiutil       string // macOS
}

// findDisker finds the system's tools. lookup is exec.LookPath outside of
// tests; rights is why the node could not mount, empty if it can.
func findDisker(s settings, lookup func(string) (string, error), rights string) (disker, abilities) {
	d := disker{goos: runtime.GOOS, mkfs: map[string]string{}}
	return d.find(s, lookup, rights)
}

func (d disker) find(s settings, lookup func(string) (string, error), rights string) (disker, abilities) {
	missing := abilities{}
	tools := map[string]string{diskExt4: "mkfs.ext4", diskExFAT: "mkfs.exfat", diskFAT32: "mkfs.vfat"}
	if d.goos == "darwin" {
		path, err := lookup(cmp.Or(s.HdiutilPath, "hdiutil"))
		d.hdiutil = path
		for _, kind := range []string{diskExFAT, diskFAT32, diskHFS} {
			if err != nil {
				missing[kind] = err.Error()
			}
		}
		missing[diskExt4] = "macOS does not have it"
		return d, missing
	}
	missing[diskHFS] = "only macOS has it"
	var err1, err2 error
	d.mount, err1 = lookup(cmp.Or(s.MountPath, "mount"))
	d.umount, err2 = lookup(cmp.Or(s.UmountPath, "umount"))
	for kind, tool := range tools {
		path, err := lookup(tool)
		d.mkfs[kind] = path
		if err = errors.Join(err, err1, err2); err != nil {
			missing[kind] = strings.ReplaceAll(err.Error(), "\n", "; ")
		} else if rights != "" {
			missing[kind] = rights
		}
	}
	return d, missing
}

// format is the command that makes the file system in the disk's image file;
// on macOS it makes the file as well.
func (d disker) format(k disk) []string {
	if d.goos == "darwin" {
		kinds := map[string]string{diskExFAT: "ExFAT", diskFAT32: "MS-DOS FAT32", diskHFS: "HFS+"}
		return []string{d.hdiutil, "create", "-quiet", "-type", "SPARSE", "-size", fmt.Sprintf("%dg", k.size),
			"-fs", kinds[k.kind], "-volname", k.volume(), k.image()}
	}
	switch k.kind {
	case diskExt4:
		// The journal only costs here: a disk is not used again after a crash of
		// the machine, unless it is reused.
		return []string{d.mkfs[k.kind], "-q", "-F", "-m", "0", "-L", k.volume(), k.image()}
	case diskFAT32:
		return []string{d.mkfs[k.kind], "-F", "32", "-n", strings.ToUpper(k.volume()), k.image()}
	}
	return []string{d.mkfs[k.kind], "-L", k.volume(), k.image()}
}

// attach is the command that mounts the disk, for a user.
func (d disker) attach(k disk, p identity) []string {
	if d.goos == "darwin" {
		return []string{d.hdiutil, "attach", "-quiet", "-nobrowse", "-owners", "on", "-mountpoint", k.path, k.image() + ".sparseimage"}
	}
	options := "loop,nosuid,nodev"
	if k.kind != diskExt4 { // no owners in it: the mount says whose all is
		options += fmt.Sprintf(",uid=%d,gid=%d,umask=077", p.uid, p.gid)
	}
	return []string{d.mount, "-o", options, "--", k.image(), k.path}
}

// detach is the command that unmounts what is at a path.
func (d disker) detach(path string) []string {
	if d.goos == "darwin" {
		return []string{d.hdiutil, "detach", "-force", path}
	}
	return []string{d.umount, "--", path}
}
