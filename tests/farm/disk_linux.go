package farm

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
)

// newDisk mounts a disk of so many MB over the folder, and takes it away when
// the test ends.
func newDisk(t testing.TB, path string, megabytes int) *Disk {
	t.Helper()
	needs.Machine(t, "to mount a small disk")
	if err := sweepDisks(); err != nil {
		t.Fatal(err)
	}
	err := unix.Mount(ownName(), path, "tmpfs", 0, fmt.Sprintf("size=%dm,mode=0700", megabytes))
	if err != nil {
		t.Fatalf("mount a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
			t.Errorf("take the small disk away: %v", err)
		}
	})
	return &Disk{t, path}
}

// sweepDisks takes away what farms left whose process was killed.
func sweepDisks() error {
	f, err := os.Open("/proc/self/mounts")
	if err != nil {
		return fmt.Errorf("look for disks: %w", err)
	}
	defer func() { _ = f.Close() }() // only read
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		field := strings.Fields(lines.Text())
		if len(field) > 2 && field[2] == "tmpfs" && leftOver(field[0]) {
			err = errors.Join(err, unix.Unmount(strings.ReplaceAll(field[1], `\040`, " "), unix.MNT_DETACH))
		}
	}
	return errors.Join(err, lines.Err())
}

func (d *Disk) ballast() string { return filepath.Join(d.path, "ballast") }

// Fill leaves no byte free.
func (d *Disk) Fill() {
	d.t.Helper()
	f, err := os.OpenFile(d.ballast(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() { _ = f.Close() }() // that it is full is what counts
	for _, size := range []int{1 << 20, 1 << 12, 1} {
		block := make([]byte, size)
		for err = nil; err == nil; {
			_, err = f.Write(block)
		}
		if !errors.Is(err, unix.ENOSPC) {
			d.t.Fatal(err)
		}
	}
}

// Free takes the ballast away.
func (d *Disk) Free() {
	d.t.Helper()
	if err := os.Remove(d.ballast()); err != nil {
		d.t.Fatal(err)
	}
}
