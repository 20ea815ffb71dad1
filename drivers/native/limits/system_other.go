//go:build !linux

package limits

import "os"

// memoryRlimit says that there is none: macOS does not hold a process to
// RLIMIT_DATA, and to live under a bound RLIMIT_AS its libraries map too much.
const memoryRlimit = -1

func killProcess(pid int) error {
	process, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	return process.Kill()
}

// isBusy and isNoDevice tell errors of cgroups apart, which only Linux has.
func isBusy(error) bool     { return false }
func isNoDevice(error) bool { return false }
