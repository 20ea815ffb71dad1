package volume

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

func found(name string) (string, error) { return "/bin/" + filepath.Base(name), nil }

// TestCommands: those of macOS can not be run here, but looked at.
func TestCommands(t *testing.T) {
	list := Plan(map[string]model.Disk{
		"work": {Type: "hfs+", Size: 5}, "fat": {Type: "fat32", Size: 2, Label: "data", Reuse: true},
	}, ShelfIn("/w"), "/w/e")
	mac := Find(Options{GOOS: "darwin", LookPath: found})
	linux := Find(Options{GOOS: "linux", Umount: "/opt/umount", LookPath: found})
	who := Owner{UID: 7, GID: 8}
	for _, tt := range []struct {
		got  []string
		want string
	}{
		{mac.format(list[1]), "/bin/hdiutil create -quiet -type SPARSE -size 5g -fs HFS+ -volname work /w/e/disks/work/image"},
		{mac.attach(list[1], who), "/bin/hdiutil attach -quiet -nobrowse -owners on -mountpoint /w/e/disks/work/mount /w/e/disks/work/image.sparseimage"},
		{mac.detach("/w/e/disks/work/mount"), "/bin/hdiutil detach -force /w/e/disks/work/mount"},
		{linux.format(list[0]), "/bin/mkfs.vfat -F 32 -n DATA /w/.disks/data/image"},
		{linux.attach(list[0], who), "/bin/mount -o loop,nosuid,nodev,uid=7,gid=8,umask=077 -- /w/.disks/data/image /w/e/disks/fat/mount"},
		{linux.attach(list[0], Owner{Everyone: true}), "/bin/mount -o loop,nosuid,nodev,uid=0,gid=0,umask=000 -- /w/.disks/data/image /w/e/disks/fat/mount"},
		{linux.attach(Disk{Type: Ext4, Store: "/s", Path: "/p"}, who), "/bin/mount -o loop,nosuid,nodev -- /s/image /p"},
		{linux.detach("/w/x"), "/bin/umount -- /w/x"},
	} {
		if diff := cmp.Diff(tt.want, strings.Join(tt.got, " ")); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

func TestMissing(t *testing.T) {
	none := func(name string) (string, error) { return "", &exec.Error{Name: name, Err: exec.ErrNotFound} }
	noMount := func(name string) (string, error) {
		if name == "mount" {
			return none(name)
		}
		return found(name)
	}
	for _, tt := range []struct {
		name          string
		options       Options
		disks, images string // types that can not be mounted, and not even be made
		reason        string // of the first type
	}{
		{"macOS", Options{GOOS: "darwin", LookPath: found}, "ext4", "ext4", "macOS does not have it"},
		{"macOS without hdiutil", Options{GOOS: "darwin", LookPath: none}, "exfat ext4 fat32 hfs+", "exfat ext4 fat32 hfs+", "not found"},
		{"linux", Options{GOOS: "linux", LookPath: found}, "hfs+", "hfs+", "only macOS has it"},
		{"linux without tools", Options{GOOS: "linux", LookPath: none}, "exfat ext4 fat32 hfs+", "exfat ext4 fat32 hfs+", `"mkfs.exfat": executable file not found`},
		{"linux without mount", Options{GOOS: "linux", LookPath: noMount}, "exfat ext4 fat32 hfs+", "hfs+", `"mount": executable file not found`},
		{"linux without rights", Options{GOOS: "linux", LookPath: found, Rights: "no rights"}, "exfat ext4 fat32 hfs+", "hfs+", "no rights"},
	} {
		tools := Find(tt.options)
		var disks, images []string
		reason := ""
		for _, kind := range []string{Dir, ExFAT, Ext4, FAT32, HFS, Raw} {
			if why, missing := tools.Missing()[kind]; missing {
				disks = append(disks, kind)
				if reason == "" {
					reason = why
				}
			}
			if _, missing := tools.MissingImages()[kind]; missing {
				images = append(images, kind)
			}
		}
		if strings.Join(disks, " ") != tt.disks || strings.Join(images, " ") != tt.images || !strings.Contains(reason, tt.reason) {
			t.Errorf("%s: misses disks %q because %q and images %q, want %q, %q and %q", tt.name, disks, reason, images, tt.disks, tt.reason, tt.images)
		}
	}
}

func TestRun(t *testing.T) {
	if err := Run(t.Context(), "sh", "-c", "exit 0"); err != nil {
		t.Error(err)
	}
	if err := Run(t.Context(), "sh", "-c", "echo because >&2; exit 3"); err == nil || !strings.Contains(err.Error(), "exit status 3: because") {
		t.Errorf("Run() = %v, want what it said", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Run(ctx, "sh", "-c", "exit 0"); err == nil || !strings.Contains(err.Error(), "context canceled") {
		t.Errorf("Run() when it is over = %v", err)
	}
}
