package keeper

import (
	"bytes"
	"os"
	"runtime/debug"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// shrink gives back the memory that only the beginning needed: freed heap, and
// the pages of the binary that the initialisation of all linked packages has
// touched. What is needed again is read again, mostly from the page cache.
func shrink() {
	debug.FreeOSMemory()
	maps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return
	}
	for _, m := range unmodified(maps) {
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, m.start, m.size, unix.MADV_DONTNEED) // it is only advice
	}
}

// mapping is a range of addresses.
type mapping struct{ start, size uintptr }

// unmodified picks from /proc/PID/smaps what is mapped from a file, is not
// writable, and has no page that differs from the file.
func unmodified(smaps []byte) []mapping {
	var list []mapping
	var current mapping
	eligible := false
	for line := range bytes.Lines(smaps) {
		fields := strings.Fields(string(line))
		if len(fields) == 0 {
			continue
		}
		if !strings.HasSuffix(fields[0], ":") {
			current, eligible = parseMapping(fields)
		} else if eligible && fields[0] == "Anonymous:" && len(fields) > 1 && fields[1] == "0" {
			list = append(list, current)
		}
	}
	return list
}

// parseMapping reads "START-END PERMISSIONS OFFSET DEVICE INODE PATH".
func parseMapping(fields []string) (m mapping, eligible bool) {
	from, to, ok := strings.Cut(fields[0], "-")
	start, err1 := strconv.ParseUint(from, 16, 64)
	end, err2 := strconv.ParseUint(to, 16, 64)
	if !ok || err1 != nil || err2 != nil || end < start || len(fields) < 6 {
		return mapping{}, false
	}
	readOnly := len(fields[1]) == 4 && fields[1][0] == 'r' && fields[1][1] == '-' && fields[1][3] == 'p'
	return mapping{uintptr(start), uintptr(end - start)}, readOnly && strings.HasPrefix(fields[5], "/")
}
