package volume

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

func write(t *testing.T, path string, bytes int) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, make([]byte, bytes), 0o600); err != nil {
		t.Fatal(err)
	}
}

func there(t *testing.T, path string) bool {
	t.Helper()
	is, err := exists(path)
	if err != nil {
		t.Fatal(err)
	}
	return is
}

// TestMakeImage: what is there is whole, whenever the making was cut short.
func TestMakeImage(t *testing.T) {
	var formatted []string
	fail := errors.New("disk full")
	tools := Find(Options{GOOS: "linux", LookPath: found, Run: func(_ context.Context, argv ...string) error {
		formatted = append(formatted, argv[0])
		return fail
	}})
	k := Plan(map[string]model.Disk{"d": {Type: "ext4", Size: 1}}, Shelf{}, t.TempDir())[0]
	write(t, filepath.Join(k.Store, makingFolder, "image"), 5) // a killed process left it
	if err := tools.MakeImage(t.Context(), k); !errors.Is(err, fail) {
		t.Fatalf("MakeImage() = %v, want %v", err, fail)
	}
	if left, err := os.ReadDir(k.Store); err != nil || len(left) != 0 {
		t.Errorf("after a failure %v, %v is left", left, err)
	}
	fail = nil
	for range 2 { // the second finds it
		if err := tools.MakeImage(t.Context(), k); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(k.Image())
	if err != nil || info.Size() != 1<<30 {
		t.Fatalf("the image is %v, %v, want 1 GB", info, err)
	}
	if _, bytes := usage(info); bytes > 1<<20 {
		t.Errorf("the image takes %d bytes, want a sparse one", bytes)
	}
	if len(formatted) != 2 {
		t.Errorf("it was formatted %d times, want once and once in vain", len(formatted))
	}
	if left, err := os.ReadDir(k.Store); err != nil || len(left) != 1 {
		t.Errorf("%v, %v is there, want the image alone", left, err)
	}
}

func TestMakeFolder(t *testing.T) {
	k := Plan(map[string]model.Disk{"d": {Type: "dir"}}, Shelf{}, t.TempDir())[0]
	for range 2 {
		if err := Find(Options{LookPath: found}).Make(t.Context(), k, Owner{}); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(k.Path); err != nil || !info.IsDir() || info.Mode().Perm() != 0o700 {
		t.Errorf("the disk is %v, %v, want a closed folder", info, err)
	}
}

// mounts makes and mounts an ext4 disk of 1 GB.
func mounts(t *testing.T, disks map[string]model.Disk) (*Tools, Disk, string) {
	t.Helper()
	needs.Root(t, "to mount disks")
	tools := Find(Options{})
	if reason := tools.Missing()[Ext4]; reason != "" {
		needs.Lacking(t, "needs ext4 disks:", reason)
	}
	dir := t.TempDir()
	k := Plan(disks, ShelfIn(dir), filepath.Join(dir, "e"))[0]
	t.Cleanup(func() { // also where a test fails
		if err := tools.Unmount(context.Background(), dir); err != nil {
			t.Error(err)
		}
	})
	for range 2 { // the second finds it mounted
		if err := tools.Make(t.Context(), k, Owner{}); err != nil {
			t.Fatal(err)
		}
	}
	return tools, k, filepath.Join(dir, "e")
}

// awaitNoLoop waits until no loop device has a file of a folder: the kernel gives
// them back a moment after the last mount.
func awaitNoLoop(t *testing.T, folder string) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		left := ""
		loops, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
		for _, loop := range loops {
			if text, _ := os.ReadFile(loop); strings.Contains(string(text), folder) {
				left = loop
			}
		}
		if left == "" {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("%s is left", left)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// TestRealFileSystem: it is mounted once, its files take room in the image
// alone, no removal goes into it, and its unmounting gives the loop device back.
func TestRealFileSystem(t *testing.T) {
	tools, k, folder := mounts(t, map[string]model.Disk{"d": {Type: "ext4", Size: 1, Reuse: true}})
	if found, err := MountsBelow(folder); err != nil || len(found) != 1 || found[0] != k.Path {
		t.Fatalf("MountsBelow() = %v, %v, want %s", found, err, k.Path)
	}
	precious := filepath.Join(k.Path, "f")
	write(t, precious, 8<<20)
	if n := Used(t.Context(), folder, 1<<30); n > 1<<20 {
		t.Errorf("Used() of what has a mount in it = %d, want without the mount's files", n)
	}
	if err := Remove(t.Context(), folder); !errors.Is(err, errMounted) || !strings.Contains(err.Error(), k.Path) {
		t.Errorf("Remove() = %v, want that something is mounted and where", err)
	}
	if err := removeTree(t.Context(), folder); !errors.Is(err, errMounted) { // it was mounted after the look
		t.Errorf("removeTree() = %v, want %v", err, errMounted)
	}
	if !there(t, precious) {
		t.Error("the removal went into what is mounted")
	}
	for range 2 { // the second finds nothing
		if err := tools.Unmount(t.Context(), folder); err != nil {
			t.Fatal(err)
		}
	}
	awaitNoLoop(t, k.Store)
	if err := Remove(t.Context(), folder); err != nil || there(t, folder) {
		t.Errorf("Remove() of what is unmounted = %v", err)
	}
	if n := Used(t.Context(), k.Store, 1<<40); n < 8<<20 {
		t.Errorf("Used() of the image = %d, want what was written to the disk", n)
	}
}
