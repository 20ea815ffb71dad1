//go:build unix

package volume

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
)

func TestRemove(t *testing.T) {
	dir := t.TempDir()
	outside := filepath.Join(dir, "outside")
	write(t, filepath.Join(outside, "precious"), 1)
	tree := filepath.Join(dir, "tree")
	for i := range 1500 { // more than are read at once
		write(t, filepath.Join(tree, "wide", "f"+string(rune(0x4e00+i))), 1)
	}
	write(t, filepath.Join(tree, "closed", "inner", "f"), 1)
	for _, link := range []string{"link", "wide/link"} {
		if err := os.Symlink(outside, filepath.Join(tree, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mkfifo(filepath.Join(tree, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, mode := range map[string]os.FileMode{"closed/inner": 0o500, "closed": 0o000} {
		if err := os.Chmod(filepath.Join(tree, path), mode); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "file")
	write(t, file, 1)
	link := filepath.Join(dir, "link")
	if err := os.Symlink(outside, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{tree + "/", file, link, tree} {
		if err := Remove(t.Context(), path); err != nil || there(t, filepath.Clean(path)) {
			t.Errorf("Remove(%s) = %v", path, err)
		}
	}
	if !there(t, filepath.Join(outside, "precious")) {
		t.Error("a link was followed")
	}
	for _, path := range []string{"/", ".", ".."} {
		if err := removeTree(t.Context(), path); err == nil {
			t.Errorf("removeTree(%s) = nil", path)
		}
	}
}

// TestRemoveIsCancelled: and what is left is removed by the next call.
func TestRemoveIsCancelled(t *testing.T) {
	tree := filepath.Join(t.TempDir(), "tree")
	write(t, filepath.Join(tree, "f"), 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Remove(ctx, tree); !errors.Is(err, context.Canceled) {
		t.Errorf("Remove() = %v, want that it was cancelled", err)
	}
	if err := Remove(t.Context(), tree); err != nil || there(t, tree) {
		t.Errorf("Remove() = %v", err)
	}
}

// TestRemoveOfTheDeepest: a build that makes folders in folders must not be able
// to make its remains irremovable. Its paths are longer than any system call
// takes, and there are more folders than open files.
func TestRemoveOfTheDeepest(t *testing.T) {
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	few := was
	few.Cur = 200
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
			t.Error(err)
		}
	})
	tree := filepath.Join(t.TempDir(), "tree")
	if err := os.Mkdir(tree, 0o700); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(tree, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for range 3000 {
		err := unix.Mkdirat(fd, "a-folder", 0o700)
		next, err2 := unix.Openat(fd, "a-folder", unix.O_RDONLY|unix.O_DIRECTORY, 0)
		if err := errors.Join(err, err2, unix.Close(fd)); err != nil {
			t.Fatal(err)
		}
		fd = next
	}
	if err := unix.Close(fd); err != nil {
		t.Fatal(err)
	}
	if err := Remove(t.Context(), tree); err != nil || there(t, tree) {
		t.Errorf("Remove() = %v", err)
	}
}

// TestRemoveStopsAtABindMount: the same file system at another place.
func TestRemoveStopsAtABindMount(t *testing.T) {
	needs.Root(t, "to mount")
	dir := t.TempDir()
	precious := filepath.Join(dir, "outside", "precious")
	write(t, precious, 1)
	at := filepath.Join(dir, "tree", "at")
	if err := os.MkdirAll(at, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Run(t.Context(), "mount", "--bind", filepath.Dir(precious), at); err != nil {
		needs.Lacking(t, "needs bind mounts:", err.Error())
	}
	t.Cleanup(func() {
		if err := Find(Options{}).Unmount(context.Background(), dir); err != nil {
			t.Error(err)
		}
	})
	if err := removeTree(t.Context(), filepath.Join(dir, "tree")); !errors.Is(err, errMounted) {
		t.Errorf("removeTree() = %v, want %v", err, errMounted)
	}
	if !there(t, precious) {
		t.Error("the removal went into the mount")
	}
}

func TestUsed(t *testing.T) {
	dir := t.TempDir()
	const mb = 1 << 20
	write(t, filepath.Join(dir, "a", "f"), 8*mb)
	write(t, filepath.Join(dir, "b"), 8*mb)
	if n := Used(t.Context(), dir, 1<<40); n < 16*mb || n > 17*mb {
		t.Errorf("Used() = %d, want two times 8 MB and some folders", n)
	}
	for _, name := range []string{"c", "d", "e"} { // what is written once may not count more often as written
		if err := os.Link(filepath.Join(dir, "b"), filepath.Join(dir, "a", name)); err != nil {
			t.Fatal(err)
		}
	}
	if n := Used(t.Context(), dir, 1<<40); n < 16*mb || n > 17*mb {
		t.Errorf("Used() = %d with a file of four names, want it counted once", n)
	}
	if n := Used(t.Context(), dir, 3*mb); n != 3*mb {
		t.Errorf("Used() = %d, want what was promised", n)
	}
	if n := Used(t.Context(), filepath.Join(dir, "absent"), mb); n != 0 {
		t.Errorf("Used() of what is not there = %d", n)
	}
}
