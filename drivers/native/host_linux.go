package native

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// hostRAM is the memory of this machine in bytes.
func hostRAM() (uint64, error) {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0, fmt.Errorf("read memory size: %w", err)
	}
	defer func() { _ = f.Close() }() // read only
	return parseMeminfo(f)
}

// parseMeminfo finds the line "MemTotal:       16384256 kB".
func parseMeminfo(r io.Reader) (uint64, error) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		rest, ok := strings.CutPrefix(lines.Text(), "MemTotal:")
		if !ok {
			continue
		}
		kb, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 54)
		if err != nil {
			return 0, fmt.Errorf("read memory size: %w", err)
		}
		return kb << 10, nil
	}
	return 0, errors.Join(errors.New("read memory size: no MemTotal in /proc/meminfo"), lines.Err())
}
