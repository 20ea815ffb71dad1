//go:build linux

package dockerd

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMemory: what an engine keeps in memory is bounded, and is on the disk where
// there is too little.
func TestMemory(t *testing.T) {
	t.Parallel()
	for meminfo, want := range map[string]bool{
		"MemTotal:       16000000 kB\nMemAvailable:    5000000 kB\n": true,
		"MemTotal:       16000000 kB\nMemAvailable:    3500000 kB\n": false,
		"MemTotal:       16000000 kB\n":                              false,
		"":                                                           false,
	} {
		if got := affords(availableMemory(meminfo)); got != want {
			t.Errorf("affords(%q) = %v, want %v", meminfo, got, want)
		}
	}
	e := Start(t, Options{Bare: true})
	var fs unix.Statfs_t
	if err := unix.Statfs(e.data(), &fs); err != nil {
		t.Fatal(err)
	}
	meminfo, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		t.Fatal(err)
	}
	if fs.Type != unix.TMPFS_MAGIC && affords(availableMemory(string(meminfo))/2) {
		t.Error("the engine's data are on the disk of a machine with memory enough")
	}
	if size := int64(fs.Blocks) * fs.Bsize; fs.Type == unix.TMPFS_MAGIC && size != mostData { //nolint:gosec // of a file system
		t.Errorf("the engine may fill %d bytes of memory, want %d", size, int64(mostData))
	}
}
