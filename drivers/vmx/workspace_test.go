//go:build unix

package vmx

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/claims"
	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
)

// TestUnsweepable: what can not be removed at the start keeps nobody from work.
func TestUnsweepable(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	held := filepath.Join(s.workspace(), ".gone-005056000001", "held")
	if err := os.MkdirAll(held, 0o700); err != nil {
		t.Fatal(err)
	}
	release := hold(t, held)
	s.start(t)
	if left := s.leftovers(t); len(left) != 1 {
		t.Errorf("there are %v, want what is held: nothing was tested", left)
	}
	release()
	s.start(t)
	s.wantNothing(t)
}

// hold keeps a folder from being removed.
func hold(t *testing.T, folder string) (release func()) {
	t.Helper()
	hold, let := func() error { return os.Chmod(filepath.Dir(folder), 0o500) }, func() error { return os.Chmod(filepath.Dir(folder), 0o700) }
	if os.Geteuid() == 0 { // whom no mode stops
		hold, let = func() error { return exec.Command("mount", "-t", "tmpfs", "none", folder).Run() },
			func() error { return exec.Command("umount", folder).Run() }
	}
	if err := hold(); err != nil {
		needs.Lacking(t, "can not hold a folder here:", err)
	}
	release = sync.OnceFunc(func() {
		if err := let(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(release)
	return release
}

// TestFullDisk: what fills a disk can be removed though nothing can be written
// there any more.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	if err := os.Mkdir(s.workspace(), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := exec.Command("mount", "-t", "tmpfs", "-o", "nr_inodes=200", "none", s.workspace()).Run(); err != nil {
		needs.Lacking(t, "can not mount a small file system here:", err)
	}
	t.Cleanup(func() {
		if err := exec.Command("umount", "-l", s.workspace()).Run(); err != nil {
			t.Error(err)
		}
	})
	d := s.start(t)
	req := request()
	if _, err := d.Allocate(within(t, time.Minute), req); err != nil {
		t.Fatal(err)
	}
	full := filepath.Join(s.workspace(), "full")
	if err := os.Mkdir(full, 0o700); err != nil {
		t.Fatal(err)
	}
	for err := error(nil); err == nil; {
		var f *os.File
		if f, err = os.CreateTemp(full, ""); err == nil {
			err = f.Close()
		}
	}
	d = s.start(t) // the node can be restarted as well
	c, _, err := d.workspace.Find(reference(req))
	if err == nil {
		err = d.workspace.Stop(c)
	}
	if err != nil {
		t.Fatal(err)
	}
	if report, err := d.Inspect(within(t, time.Minute), reference(req)); err != nil || report.Presence != drivers.Partial {
		t.Errorf("Inspect() of what is being removed = %+v, %v, want Partial", report, err)
	}
	if _, err := d.Allocate(within(t, time.Minute), req); !errors.Is(err, claims.ErrStopping) {
		t.Errorf("Allocate() of what is being removed = %v, want %v", err, claims.ErrStopping)
	}
	if err := d.Deallocate(within(t, time.Minute), reference(req)); err != nil {
		t.Errorf("Deallocate() = %v", err)
	}
	if err := os.RemoveAll(full); err != nil {
		t.Error(err)
	}
	s.wantNothing(t)
}
