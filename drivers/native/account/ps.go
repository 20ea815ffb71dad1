package account

import (
	"strconv"
	"strings"
)

// parsePs reads "pid ruid uid state" lines: the live processes of the uid.
func parsePs(output string, uid int) []int {
	var pids []int
	id := strconv.Itoa(uid)
	for line := range strings.Lines(output) {
		fields := strings.Fields(line)
		if len(fields) < 4 || strings.HasPrefix(fields[3], "Z") || (fields[1] != id && fields[2] != id) {
			continue
		}
		if pid, err := strconv.Atoi(fields[0]); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}
