// Package procs lists the processes of a Linux machine. What there is to know
// of one is read by who asks: the keeper wants its parent and start, the
// accounts want its users.
package procs

import (
	"os"
	"strconv"
)

// PIDs returns the process ids that /proc shows, in no order. Any of them may
// have ended by now.
func PIDs() ([]int, error) {
	folder, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	names, err := folder.Readdirnames(-1) // ReadDir would look at each
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}
