package volume

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// MountsBelow lists what is mounted at or below a folder, the innermost first.
func MountsBelow(folder string) ([]string, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	defer func() { _ = f.Close() }() // read only
	if resolved, err := filepath.EvalSymlinks(folder); err == nil {
		folder = resolved // as the kernel writes it
	}
	return parseMounts(f, folder)
}

// parseMounts reads the fifth field of each line, in which blanks are octal.
func parseMounts(r io.Reader, folder string) ([]string, error) {
	var found []string
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20) // overlays have lines of many kilobytes
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 5 {
			continue
		}
		path := unescapeOctal(fields[4])
		if path == folder || strings.HasPrefix(path, folder+"/") {
			found = append(found, path)
		}
	}
	slices.Reverse(found)
	return found, lines.Err()
}

func unescapeOctal(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
