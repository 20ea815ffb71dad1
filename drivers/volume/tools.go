package volume

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
)

// Options says where Find looks and how commands are run.
type Options struct {
	// Paths of tools; each is looked up in PATH where it is empty.
	Mount, Umount, Hdiutil string
	// Rights is why the node may not mount; empty if it may.
	Rights string
	// Run runs a command; nil: Run.
	Run func(ctx context.Context, argv ...string) error
	// LookPath is exec.LookPath if nil, GOOS the system if empty: tests have
	// others.
	LookPath func(string) (string, error)
	GOOS     string
}

// Tools make, mount and unmount file systems with the commands of this
// machine. They are constant: many goroutines may use them, for different
// disks.
type Tools struct {
	goos          string
	run           func(ctx context.Context, argv ...string) error
	mkfs          map[string]string // type -> path of its tool; Linux
	mount, umount string
	hdiutil       string            // macOS
	unmountable   map[string]string // type -> why it can not be used here
	unmakable     map[string]string // type -> why not even its image can be made
}

// Find finds the system's tools. What is missing is no error: Missing tells it.
func Find(o Options) *Tools {
	t := &Tools{
		goos: cmp.Or(o.GOOS, runtime.GOOS), run: o.Run, mkfs: map[string]string{},
		unmountable: map[string]string{}, unmakable: map[string]string{},
	}
	if t.run == nil {
		t.run = Run
	}
	if o.LookPath == nil {
		o.LookPath = exec.LookPath
	}
	if t.goos == "darwin" {
		t.findDarwin(o)
	} else {
		t.findLinux(o)
	}
	return t
}

func (t *Tools) findDarwin(o Options) {
	path, err := o.LookPath(cmp.Or(o.Hdiutil, "hdiutil"))
	t.hdiutil = path
	for _, kind := range []string{ExFAT, FAT32, HFS} {
		t.lacks(kind, err, nil)
	}
	t.lacks(Ext4, errors.New("macOS does not have it"), nil)
}

func (t *Tools) findLinux(o Options) {
	t.lacks(HFS, errors.New("only macOS has it"), nil)
	var err1, err2 error
	t.mount, err1 = o.LookPath(cmp.Or(o.Mount, "mount"))
	t.umount, err2 = o.LookPath(cmp.Or(o.Umount, "umount"))
	mounting := errors.Join(err1, err2)
	if mounting == nil && o.Rights != "" {
		mounting = errors.New(o.Rights)
	}
	for kind, tool := range map[string]string{Ext4: "mkfs.ext4", ExFAT: "mkfs.exfat", FAT32: "mkfs.vfat"} {
		path, err := o.LookPath(tool)
		t.mkfs[kind] = path
		t.lacks(kind, err, mounting)
	}
}

// lacks notes why the images of a type can not be made, or not be mounted.
func (t *Tools) lacks(kind string, making, mounting error) {
	if making != nil {
		t.unmakable[kind] = making.Error()
	}
	if err := errors.Join(making, mounting); err != nil {
		t.unmountable[kind] = strings.ReplaceAll(err.Error(), "\n", "; ")
	}
}

// Missing are the types of which this machine can not make and mount disks,
// each with the reason.
func (t *Tools) Missing() map[string]string { return t.unmountable }

// MissingImages are the types of which it can not even make the images, which
// is all that a virtual machine needs.
func (t *Tools) MissingImages() map[string]string { return t.unmakable }

// format is the command that makes the file system in the disk's image file;
// on macOS it makes the file as well.
func (t *Tools) format(k Disk) []string {
	if t.goos == "darwin" {
		kinds := map[string]string{ExFAT: "ExFAT", FAT32: "MS-DOS FAT32", HFS: "HFS+"}
		return []string{t.hdiutil, "create", "-quiet", "-type", "SPARSE", "-size", fmt.Sprintf("%dg", k.Size),
			"-fs", kinds[k.Type], "-volname", k.volumeName(), k.Image()}
	}
	switch k.Type {
	case Ext4:
		return []string{t.mkfs[k.Type], "-q", "-F", "-m", "0", "-L", k.volumeName(), k.Image()}
	case FAT32:
		return []string{t.mkfs[k.Type], "-F", "32", "-n", strings.ToUpper(k.volumeName()), k.Image()}
	}
	return []string{t.mkfs[k.Type], "-L", k.volumeName(), k.Image()}
}

// attach is the command that mounts the disk.
func (t *Tools) attach(k Disk, o Owner) []string {
	if t.goos == "darwin" {
		return []string{t.hdiutil, "attach", "-quiet", "-nobrowse", "-owners", "on", "-mountpoint", k.Path, t.Image(k)}
	}
	options := "loop,nosuid,nodev"
	if !k.KnowsOwners() {
		umask := "077"
		if o.Everyone {
			umask = "000"
		}
		options += fmt.Sprintf(",uid=%d,gid=%d,umask=%s", o.UID, o.GID, umask)
	}
	return []string{t.mount, "-o", options, "--", k.Image(), k.Path}
}

// detach is the command that unmounts what is at a path.
func (t *Tools) detach(path string) []string {
	if t.goos == "darwin" {
		return []string{t.hdiutil, "detach", "-force", path}
	}
	return []string{t.umount, "--", path}
}
