package volume

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
)

// TestReleaseOnAFullDisk: it writes nothing, also where a disk could not be taken
// for want of room.
func TestReleaseOnAFullDisk(t *testing.T) {
	needs.Root(t, "to mount a small disk")
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "nr_inodes=10"); err != nil {
		needs.Lacking(t, "needs to mount a small disk:", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	h := Holder{"fish-a", strings.Repeat("a", 32)}
	nobody := func(Holder) bool { return false }
	fill := func() {
		for i, err := 0, error(nil); err == nil; i++ {
			err = os.WriteFile(filepath.Join(dir, "full-"+strings.Repeat("x", i)), nil, 0o600)
		}
	}
	s := ShelfIn(dir)
	if err := os.MkdirAll(s.Folder("cache"), 0o700); err != nil { // all that Take came to
		t.Fatal(err)
	}
	fill()
	if err := s.Take("cache", h, nobody); !Full(err) {
		t.Fatalf("Take() = %v, want that the disk is full", err)
	}
	if err := s.Release(h.Token); err != nil {
		t.Errorf("Release() of what could not be taken = %v", err)
	}
	full, _ := filepath.Glob(filepath.Join(dir, "full-*"))
	for _, file := range full {
		_ = os.Remove(file)
	}
	if err := s.Take("cache", h, nobody); err != nil {
		t.Fatal(err)
	}
	fill()
	if err := s.Release(h.Token); err != nil {
		t.Errorf("Release() = %v", err)
	}
	if holder, err := readHolder(s.Folder("cache")); err != nil || holder.Token != "" {
		t.Errorf("the disk is still of %+v, %v", holder, err)
	}
}
