package native

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

func TestCheckDisks(t *testing.T) {
	missing := abilities{diskHFS: "only macOS has it"}
	for _, tt := range []struct {
		name string
		disk model.Disk
		want string
	}{
		{"data", model.Disk{Type: "dir"}, ""},
		{"data", model.Disk{Type: "raw", Size: 1}, ""},
		{"data", model.Disk{Size: 10}, ""}, // exfat
		{"data", model.Disk{Type: "EXT4", Size: 10, Label: "work"}, ""},
		{"data", model.Disk{Type: "ext4"}, "size 0: want 1 or more GB"},
		{"data", model.Disk{Type: "raw", Size: 1<<20 + 1}, "size"},
		{"data", model.Disk{Type: "zfs", Size: 1}, `type "zfs" is not known; want one of dir, exfat`},
		{"data", model.Disk{Type: "hfs+", Size: 1}, "only macOS has it"},
		{"data", model.Disk{Type: "exfat", Size: 1, Label: "twelve-chars"}, "at most 11 characters"},
		{"data", model.Disk{Type: "dir", Label: "/mnt/x"}, "label"},
		{"data", model.Disk{Type: "dir", Clone: "x"}, "clone is not available"},
		{"../x", model.Disk{Type: "dir"}, "its name"},
		{"-x", model.Disk{Type: "dir"}, "its name"},
	} {
		err := checkDisks(map[string]model.Disk{tt.name: tt.disk}, missing)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("checkDisks(%s: %+v) = %v, want %q", tt.name, tt.disk, err, tt.want)
		}
	}
	twice := map[string]model.Disk{"a": {Type: "dir", Reuse: true, Label: "x"}, "x": {Type: "dir", Reuse: true}}
	if err := checkDisks(twice, nil); err == nil || !strings.Contains(err.Error(), "same reused disk") {
		t.Errorf("checkDisks of one disk twice = %v", err)
	}
}

// TestCommandsOfDisks: those of macOS can not be run here, but looked at.
func TestCommandsOfDisks(t *testing.T) {
	found := func(name string) (string, error) { return "/bin/" + filepath.Base(name), nil }
	none := func(name string) (string, error) { return "", &exec.Error{Name: name, Err: exec.ErrNotFound} }
	list := plan(map[string]model.Disk{"work": {Type: "hfs+", Size: 5}, "fat": {Type: "fat32", Size: 2, Label: "data", Reuse: true}}, "/w", "/w/e")
	mac, missing := disker{goos: "darwin"}.find(settings{}, found, "")
	if _, no := missing[diskExt4]; !no || len(missing) != 1 {
		t.Errorf("macOS misses %v, want ext4 alone", missing)
	}
	linux, _ := disker{goos: "linux", mkfs: map[string]string{}}.find(settings{UmountPath: "/opt/umount"}, found, "")
	who := identity{uid: 7, gid: 8}
	for _, tt := range []struct {
		got  []string
		want string
	}{
		{mac.format(list[1]), "/bin/hdiutil create -quiet -type SPARSE -size 5g -fs HFS+ -volname work /w/e/disks/work/image"},
		{mac.attach(list[1], who), "/bin/hdiutil attach -quiet -nobrowse -owners on -mountpoint /w/e/disks/work/mount /w/e/disks/work/image.sparseimage"},
		{mac.detach("/w/e/disks/work/mount"), "/bin/hdiutil detach -force /w/e/disks/work/mount"},
		{linux.format(list[0]), "/bin/mkfs.vfat -F 32 -n DATA /w/.disks/data/image"},
		{linux.attach(list[0], who), "/bin/mount -o loop,nosuid,nodev,uid=7,gid=8,umask=077 -- /w/.disks/data/image /w/e/disks/fat/mount"},
		{linux.detach("/w/x"), "/bin/umount -- /w/x"},
	} {
		if diff := cmp.Diff(tt.want, strings.Join(tt.got, " ")); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	if _, missing := (disker{goos: "linux", mkfs: map[string]string{}}).find(settings{}, none, ""); len(missing) != 4 {
		t.Errorf("a Linux without tools misses %v, want all four file systems", missing)
	}
	_, missing = disker{goos: "linux", mkfs: map[string]string{}}.find(settings{}, found, "no rights")
	if missing[diskExt4] != "no rights" {
		t.Errorf("without rights ext4 is missing because of %q", missing[diskExt4])
	}
}

// withDisks is a definition with disks and an entry that prints what is in them.
func withDisks(entry string, disks map[string]model.Disk) model.LabelDefinition {
	def := definition(`{"entry":"` + entry + `"}`)
	def.Resources.Disks = disks
	return def
}

func mustAllocate(t *testing.T, d *driver, def model.LabelDefinition) (drivers.Request, string) {
	t.Helper()
	req := drivers.Request{ApplicationUID: uuid.New(), Token: strings.ReplaceAll(uuid.NewString(), "-", ""), Definition: def}
	env, err := d.Allocate(t.Context(), req)
	if err != nil {
		t.Fatalf("Allocate() = %v", err)
	}
	ref := drivers.Ref{Token: req.Token}
	t.Cleanup(func() {
		if err := d.Deallocate(context.Background(), ref); err != nil {
			t.Errorf("Deallocate() = %v", err)
		}
	})
	return req, env.Identifier
}

// finish waits for the end of an entry and returns what it printed.
func finish(t *testing.T, d *driver, req drivers.Request, identifier string) string {
	t.Helper()
	ending, err := d.Watch(t.Context(), drivers.Ref{Token: req.Token})
	log, _ := os.ReadFile(filepath.Join(d.workspace.folder(identifier), "log"))
	if err != nil || ending != "exit code 0" {
		t.Fatalf("Watch() = %q, %v, printed %q", ending, err, log)
	}
	return string(log)
}

func TestReusedDisk(t *testing.T) {
	s := newSite(t, strongest()) // the second environment has another user
	d := s.start(t)
	def := withDisks("cat {{ .Disks.cache }}/f; mkdir -p {{ .Disks.cache }}/sub && echo mine >> {{ .Disks.cache }}/f",
		map[string]model.Disk{"cache": {Type: "dir", Reuse: true}})
	if diff := cmp.Diff([]string{"disk cache"}, d.Exclusive(def)); diff != "" {
		t.Errorf("Exclusive (-want +got):\n%s", diff)
	}
	first, name := mustAllocate(t, d, def)
	finish(t, d, first, name)

	// The node counts within one instance; another one sees who has the disk.
	other := s.open(t, "native/other", node)
	defer func() { _ = other.Close() }()
	taken := drivers.Request{ApplicationUID: uuid.New(), Token: strings.Repeat("ab", 16), Definition: def}
	if _, err := other.Allocate(t.Context(), taken); err == nil || !strings.Contains(err.Error(), "in use by environment "+name) {
		t.Errorf("Allocate() with a disk that is in use = %v", err)
	}
	if err := other.Deallocate(t.Context(), drivers.Ref{Token: taken.Token}); err != nil {
		t.Error(err)
	}
	if err := d.Deallocate(t.Context(), drivers.Ref{Token: first.Token}); err != nil {
		t.Fatal(err)
	}
	second, name := mustAllocate(t, d, def)
	if got := finish(t, d, second, name); !strings.HasSuffix(got, "mine\n") {
		t.Errorf("the second environment reads %q on the disk, want what the first wrote", got)
	}
}

// TestImageOnLitteredDisk: an earlier environment left links on a reused disk
// where the image of the next one has folders.
func TestImageOnLitteredDisk(t *testing.T) {
	s := newSite(t, strongest()) // the second environment has another user
	d := s.start(t)
	image := filepath.Join(s.dir, "images", "tools-1", "tools_1") // as an admin puts it there
	write(t, filepath.Join(image, "d", "f"), "of the image", 0o644)
	write(t, filepath.Join(image, "init.sh"), "#!/bin/sh\n", 0o755)
	outside := filepath.Join(s.dir, "outside")
	write(t, filepath.Join(outside, "f"), "precious", 0o600)

	disks := map[string]model.Disk{"cache": {Type: "dir", Reuse: true}}
	first, name := mustAllocate(t, d, withDisks("ln -s "+outside+" {{ .Disks.cache }}/d", disks))
	finish(t, d, first, name)
	if err := d.Deallocate(t.Context(), drivers.Ref{Token: first.Token}); err != nil {
		t.Fatal(err)
	}
	def := definition(`{"entry":"cat {{ .Disks.cache }}/d/f; test -x init.sh && echo x","images":[
		{"url":"https://host.invalid/tools-1.tar.gz","tag":"cache"},{"url":"https://host.invalid/tools-1.tar.gz"}]}`)
	def.Resources.Disks = disks
	second, name := mustAllocate(t, d, def)
	if got := finish(t, d, second, name); got != "of the imagex\n" {
		t.Errorf("the environment printed %q, want what the image holds", got)
	}
	if got := read(t, filepath.Join(outside, "f")); got != "precious" {
		t.Errorf("the file outside is now %q", got)
	}
}

func TestRealFileSystem(t *testing.T) {
	needs.Root(t, "to mount disks")
	d := newSite(t, "").start(t)
	if reason := d.missing[diskExt4]; reason != "" {
		needs.Lacking(t, "needs ext4 disks:", reason)
	}
	def := withDisks("touch {{ .Disks.work }}/f; df -PT {{ .Disks.work }}; wc -c {{ .Disks.raw }}",
		map[string]model.Disk{"work": {Type: "ext4", Size: 1}, "raw": {Type: "raw", Size: 1}})
	req, name := mustAllocate(t, d, def)
	got := finish(t, d, req, name)
	for _, want := range []string{"ext4", "1073741824 "} {
		if !strings.Contains(got, want) {
			t.Errorf("the environment sees %q, want %s in it", got, want)
		}
	}
	folder := d.workspace.folder(name)
	if mounts, err := mountsBelow(folder); err != nil || len(mounts) != 1 {
		t.Errorf("mountsBelow() = %v, %v, want one", mounts, err)
	}
	if err := d.Deallocate(t.Context(), drivers.Ref{Token: req.Token}); err != nil {
		t.Fatal(err)
	}
	if mounts, err := mountsBelow(folder); err != nil || len(mounts) != 0 {
		t.Errorf("mountsBelow() after Deallocate = %v, %v, want none", mounts, err)
	}
}

func TestDiskThatCanNotBeMade(t *testing.T) {
	s := newSite(t, process)
	d := s.start(t)
	def := withDisks("true", map[string]model.Disk{"work": {Type: "raw", Size: 1}})
	req := drivers.Request{ApplicationUID: uuid.New(), Token: strings.Repeat("cd", 16), Definition: def}
	c, err := d.claim(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	blocked := filepath.Join(d.workspace.folder(c.Identifier), "disks")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Allocate(t.Context(), req); err == nil || !strings.Contains(err.Error(), `make disk "work"`) {
		t.Errorf("Allocate() = %v, want an error that names the disk", err)
	}
	if err := d.Deallocate(t.Context(), drivers.Ref{Token: req.Token}); err != nil {
		t.Error(err)
	}
	if left := s.leftovers(t); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

func TestStoppingIsFinal(t *testing.T) {
	d := newSite(t, process).start(t)
	req := drivers.Request{ApplicationUID: uuid.New(), Token: strings.Repeat("ef", 16), Definition: definition(`{"entry":"sleep 100"}`)}
	c, err := d.claim(t.Context(), req)
	if err == nil {
		err = d.workspace.stop(c)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Allocate(t.Context(), req); !errors.Is(err, errStopping) {
		t.Errorf("Allocate() of what is being removed = %v, want errStopping", err)
	}
	if r, err := d.Inspect(t.Context(), drivers.Ref{Token: req.Token}); err != nil || r.Presence != drivers.Partial {
		t.Errorf("Inspect() = %+v, %v, want Partial", r, err)
	}
	if err := d.Deallocate(t.Context(), drivers.Ref{Token: req.Token}); err != nil {
		t.Error(err)
	}
}
