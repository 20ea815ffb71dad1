//go:build linux

package dockerd

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	// mostData bounds what an engine keeps in memory: what the largest test writes,
	// and the 1 GB that the driver leaves free on an engine's disk.
	mostData = 3 << 30
	// leftMemory is what the machine then still has for the tests themselves.
	leftMemory = 1 << 30
)

// affords reports whether a machine with so much memory to give may keep an
// engine's data in it. Engines beside each other write far less than they may.
func affords(available int64) bool { return available >= mostData+leftMemory }

// availableMemory reads what a file as /proc/meminfo says that programs can have; 0
// where it does not.
func availableMemory(meminfo string) (available int64) {
	for line := range strings.Lines(meminfo) {
		if n, _ := fmt.Sscanf(line, "MemAvailable: %d kB", &available); n == 1 {
			return available << 10
		}
	}
	return 0
}

// mountMemory makes a folder that lies in memory, which goes with its mount, or on
// the disk, where the machine has too little.
func mountMemory(dir string) error {
	meminfo, _ := os.ReadFile("/proc/meminfo") // what is not known is too little
	if !affords(availableMemory(string(meminfo))) {
		return nil // the engine makes it
	}
	if err := os.Mkdir(dir, 0o711); err != nil {
		return err
	}
	if err := unix.Mount("fish-dockerd", dir, "tmpfs", 0, fmt.Sprintf("mode=0711,size=%d", int64(mostData))); err != nil {
		return fmt.Errorf("mount memory at %s: %w", dir, err)
	}
	return nil
}
