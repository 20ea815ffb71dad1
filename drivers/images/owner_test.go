//go:build unix

package images

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
)

func TestOwner(t *testing.T) {
	needs.Root(t, "to give files to others")
	opts := ExtractOptions{UID: 12345, GID: 54321, MinFree: 1}
	into, err := extract(t, tarOf(t, member{name: "a/b/f", body: "x", mode: 0o4755}, member{name: "e/"}, link("l", "a"), hard("h", "a/b/f")), opts)
	if err != nil {
		t.Fatal(err)
	}
	for name := range tree(t, into) {
		info, err := os.Lstat(filepath.Join(into, name))
		if err != nil {
			t.Fatal(err)
		}
		if s := info.Sys().(*syscall.Stat_t); s.Uid != 12345 || s.Gid != 54321 || info.Mode()&fs.ModeSetuid != 0 {
			t.Errorf("%s belongs to %d:%d with %v", name, s.Uid, s.Gid, info.Mode())
		}
	}
	info, _ := os.Stat(into)
	if s := info.Sys().(*syscall.Stat_t); s.Uid != 0 {
		t.Errorf("the folder itself belongs to %d now", s.Uid)
	}
}
