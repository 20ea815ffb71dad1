package native

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/claims"
	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
	"github.com/aquarium-fish/aquarium-fish/drivers/volume"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

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
	log, _ := os.ReadFile(filepath.Join(d.workspace.Folder(identifier), "log"))
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
	if diff := cmp.Diff([]string{"disk cache in " + s.workspace()}, d.Exclusive(def)); diff != "" {
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
	if reason := d.tools.Missing()[volume.Ext4]; reason != "" {
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
	folder := d.workspace.Folder(name)
	if mounts, err := volume.MountsBelow(folder); err != nil || len(mounts) != 1 {
		t.Errorf("volume.MountsBelow() = %v, %v, want one", mounts, err)
	}
	if err := d.Deallocate(t.Context(), drivers.Ref{Token: req.Token}); err != nil {
		t.Fatal(err)
	}
	if mounts, err := volume.MountsBelow(folder); err != nil || len(mounts) != 0 {
		t.Errorf("volume.MountsBelow() after Deallocate = %v, %v, want none", mounts, err)
	}
}

func TestDiskThatCanNotBeMade(t *testing.T) {
	s := newSite(t, process)
	d := s.start(t)
	def := withDisks("true", map[string]model.Disk{"work": {Type: "raw", Size: 1}})
	req := drivers.Request{ApplicationUID: uuid.New(), Token: strings.Repeat("cd", 16), Definition: def}
	c, err := d.workspace.Claim(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	blocked := filepath.Join(d.workspace.Folder(c.Name), "disks")
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
	c, err := d.workspace.Claim(t.Context(), req)
	if err == nil {
		err = d.workspace.Stop(c)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Allocate(t.Context(), req); !errors.Is(err, claims.ErrStopping) {
		t.Errorf("Allocate() of what is being removed = %v, want ErrStopping", err)
	}
	if r, err := d.Inspect(t.Context(), drivers.Ref{Token: req.Token}); err != nil || r.Presence != drivers.Partial {
		t.Errorf("Inspect() = %+v, %v, want Partial", r, err)
	}
	if err := d.Deallocate(t.Context(), drivers.Ref{Token: req.Token}); err != nil {
		t.Error(err)
	}
}
