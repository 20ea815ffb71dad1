//go:build !windows

package store

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
)

// TestRestoreByRoot: an operator puts a copy back as root, and the node runs as
// another user, who has to be able to use what is there then.
func TestRestoreByRoot(t *testing.T) {
	needs.Root(t, "to give files to another user")
	const user = 12345
	from := openStore(t, testOptions(t))
	nodeNamed(t, from, "fish", []byte("key"))
	file := backup(t, from, time.Now())
	folder := filepath.Join(t.TempDir(), "n:1")
	if err := os.Chown(filepath.Dir(folder), user, user); err != nil {
		t.Fatal(err)
	}
	for range 2 { // into an absent folder, and over a database
		_, _, err := Restore(t.Context(), RestoreOptions{Folder: folder, File: file, NodeName: "fish", NodeKeyDER: []byte("key"), Now: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
	}
	s := openStore(t, Options{Folder: folder, Node: testNode, Logger: quiet()}) // as `user reset` does
	newLabel(t, s)
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) < 4 {
		t.Fatalf("found %v, %v, want the database, its log, its index and what was kept", entries, err)
	}
	for _, path := range entries {
		info, err := path.Info()
		if err != nil {
			t.Fatal(err)
		}
		if owner := info.Sys().(*syscall.Stat_t).Uid; owner != user {
			t.Errorf("%s belongs to %d, want %d", path.Name(), owner, user)
		}
	}
}
