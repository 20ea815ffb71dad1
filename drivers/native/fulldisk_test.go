package native

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/claims"
	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
	"github.com/aquarium-fish/aquarium-fish/drivers/native/keeper"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// TestFullDisk: what fills a disk can be removed though nothing can be written
// there any more, and nothing starts in it meanwhile.
func TestFullDisk(t *testing.T) {
	needs.Root(t, "to mount a small disk")
	for _, disk := range []struct{ name, limit string }{
		{"no inodes", "nr_inodes=200"},
		{"no space", "size=4m"},
	} {
		for _, tt := range []struct {
			name string
			make func(t *testing.T, s site, d *driver, req drivers.Request)
		}{
			{"running", func(t *testing.T, _ site, d *driver, req drivers.Request) { allocated(t, d, req) }},
			{"half made", func(t *testing.T, s site, _ *driver, req drivers.Request) { s.allocatePart(t, req, 2) }},
			{"claimed", func(t *testing.T, s site, _ *driver, req drivers.Request) { s.allocatePart(t, req, 0) }},
			{"running, of a version that reserved nothing", func(t *testing.T, _ site, d *driver, req drivers.Request) {
				allocated(t, d, req)
				unreserve(t, d, req)
			}},
			{"claimed, of a version that reserved nothing", func(t *testing.T, s site, d *driver, req drivers.Request) {
				s.allocatePart(t, req, 0)
				unreserve(t, d, req)
			}},
		} {
			t.Run(disk.name+"/"+tt.name, func(t *testing.T) {
				s := newSite(t, "")
				mountSmall(t, s.dir, disk.limit)
				d := s.start(t)
				req := drivers.Request{ApplicationUID: uuid.New(), Token: strings.ReplaceAll(uuid.NewString(), "-", ""),
					Definition: withDisks("exec sleep 1000", map[string]model.Disk{"cache": {Type: "dir", Reuse: true}})}
				tt.make(t, s, d, req)
				first := d
				t.Cleanup(func() { _ = first.Deallocate(context.Background(), drivers.Ref{Token: req.Token}) }) // where the test failed
				full := fill(t, s.dir)
				d = s.start(t) // the node can be restarted as well
				if err := d.Deallocate(t.Context(), drivers.Ref{Token: req.Token}); err != nil {
					t.Errorf("Deallocate() = %v", err)
				}
				if taken, _ := filepath.Glob(filepath.Join(d.shelf.Path(), "*", "taken.json")); len(taken) > 0 {
					t.Errorf("a reused disk is still taken: %q", taken)
				}
				if err := errors.Join(os.RemoveAll(full), os.RemoveAll(d.shelf.Path())); err != nil {
					t.Error(err)
				}
				if left := s.leftovers(t); len(left) > 0 {
					t.Errorf("left: %q", left)
				}
			})
		}
	}
}

// TestStopOnAFullDisk: it holds there as well.
func TestStopOnAFullDisk(t *testing.T) {
	needs.Root(t, "to mount a small disk")
	s := newSite(t, "")
	mountSmall(t, s.dir, "nr_inodes=200")
	d := s.start(t)
	req := drivers.Request{ApplicationUID: uuid.New(), Token: strings.Repeat("7e", 16), Definition: definition(`{"entry":"exec sleep 1000"}`)}
	s.allocatePart(t, req, 5)
	t.Cleanup(func() { _ = d.Deallocate(context.Background(), drivers.Ref{Token: req.Token}) }) // where the test failed
	c, _, err := d.workspace.Find(drivers.Ref{Token: req.Token})
	if err != nil {
		t.Fatal(err)
	}
	full := fill(t, s.dir)
	for range 2 { // a release is repeated
		if err := d.workspace.Stop(c); err != nil {
			t.Fatalf("Stop() = %v", err)
		}
	}
	if err := os.RemoveAll(full); err != nil { // a start is not kept off by the disk
		t.Fatal(err)
	}
	if _, err := d.Allocate(t.Context(), req); !errors.Is(err, claims.ErrStopping) {
		t.Errorf("Allocate() = %v, want %v", err, claims.ErrStopping)
	}
	folder := d.workspace.Folder(c.Name)
	err = keeper.Start(t.Context(), keeper.Spec{Folder: folder, Token: req.Token, Argv: []string{"/bin/true"}, Dir: "/", LogMax: 1 << 20})
	if !errors.Is(err, keeper.ErrStopped) {
		t.Errorf("keeper.Start() = %v, want %v", err, keeper.ErrStopped)
	}
	if r, err := d.Inspect(t.Context(), drivers.Ref{Token: req.Token}); err != nil || r.Presence != drivers.Partial {
		t.Errorf("Inspect() = %+v, %v, want Partial", r, err)
	}
	if err := d.Deallocate(t.Context(), drivers.Ref{Token: req.Token}); err != nil {
		t.Error(err)
	}
}

func allocated(t *testing.T, d *driver, req drivers.Request) {
	t.Helper()
	if _, err := d.Allocate(t.Context(), req); err != nil {
		t.Fatal(err)
	}
}

// unreserve makes an environment's folder what an earlier version made.
func unreserve(t *testing.T, d *driver, req drivers.Request) {
	t.Helper()
	c, _, err := d.workspace.Find(drivers.Ref{Token: req.Token})
	if err == nil {
		err = os.Remove(filepath.Join(d.workspace.Folder(c.Name), "stop.reserve"))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// mountSmall mounts a file system that is soon full.
func mountSmall(t *testing.T, at, limit string) {
	t.Helper()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "mode=0755,"+limit, "none", at).CombinedOutput(); err != nil {
		needs.Lacking(t, "needs to mount a small disk:", string(out))
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "-l", at).CombinedOutput(); err != nil {
			t.Errorf("umount: %v %s", err, out)
		}
	})
}

// fill makes files in a new folder until there is no room for more.
func fill(t *testing.T, disk string) (folder string) {
	t.Helper()
	folder, err := os.MkdirTemp(disk, "full-")
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 64<<10)
	for size := len(block); size > 0; size /= 2 { // to the last byte
		for err = nil; err == nil; {
			var f *os.File
			if f, err = os.CreateTemp(folder, ""); err == nil {
				_, err = f.Write(block[:size])
				err = errors.Join(err, f.Close())
			}
		}
	}
	return folder
}
