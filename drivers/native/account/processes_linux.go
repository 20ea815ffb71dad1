package account

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/aquarium-fish/aquarium-fish/drivers/native/internal/procs"
)

// userProcesses lists the processes that have the uid as any of their uids,
// without the dead that nobody reaped.
func (*Accounts) userProcesses(_ context.Context, uid int) ([]int, error) {
	all, err := procs.PIDs()
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, pid := range all {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err == nil && belongs(string(status), uid) { // an error: it ended
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// belongs reads the status of a process: is it alive and of this uid?
func belongs(status string, uid int) bool {
	found := false
	for line := range strings.Lines(status) {
		fields := strings.Fields(line)
		switch {
		case len(fields) > 1 && fields[0] == "State:" && (fields[1] == "Z" || fields[1] == "X"):
			return false
		case len(fields) > 1 && fields[0] == "Uid:": // real, effective, saved, file system
			for _, field := range fields[1:] {
				found = found || field == strconv.Itoa(uid)
			}
			return found
		}
	}
	return false
}

// canSeeProcesses fails where /proc hides the processes of other users.
func canSeeProcesses() error {
	_, err := os.ReadFile("/proc/1/status")
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("see processes of other users: /proc hides them (mounted with hidepid): %w", err)
	}
	return err
}

// uidsMapped tells whether the chosen uids exist: a container may have fewer.
func uidsMapped() bool {
	data, err := os.ReadFile("/proc/self/uid_map")
	return err != nil || mapped(string(data))
}

// mapped reads a text like /proc/self/uid_map (first inside, first outside, count).
func mapped(text string) bool {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) != 3 {
			continue
		}
		first, err1 := strconv.ParseUint(fields[0], 10, 64)
		count, err2 := strconv.ParseUint(fields[2], 10, 64)
		if err1 == nil && err2 == nil && first <= firstUID && first+count > lastUID {
			return true
		}
	}
	return false
}
