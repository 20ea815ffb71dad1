package keeper

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/aquarium-fish/aquarium-fish/drivers/native/internal/procs"
)

// bootID names this run of the machine.
func bootID() (string, error) {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(data)), err
}

// processOf reads one process. Its error wraps fs.ErrNotExist if there is none.
func processOf(pid int) (process, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, unix.ESRCH) { // it ended between open and read
		err = fs.ErrNotExist
	}
	if err != nil {
		return process{}, err
	}
	return parseStat(data)
}

// parseStat reads /proc/PID/stat: "PID (NAME) STATE PPID PGRP ...", where NAME
// may hold anything, and field 22 is the start in clock ticks since boot.
func parseStat(data []byte) (process, error) {
	open, end := bytes.IndexByte(data, '('), bytes.LastIndexByte(data, ')')
	if open < 1 || end < open {
		return process{}, fmt.Errorf("parse process status %q", data)
	}
	fields := strings.Fields(string(data[end+1:]))
	if len(fields) < 20 {
		return process{}, fmt.Errorf("parse process status %q", data)
	}
	pid, err1 := strconv.Atoi(strings.TrimSpace(string(data[:open])))
	parent, err2 := strconv.Atoi(fields[1])
	group, err3 := strconv.Atoi(fields[2])
	start, err4 := strconv.ParseUint(fields[19], 10, 64)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return process{}, fmt.Errorf("parse process status: %w", err)
	}
	return process{PID: pid, Parent: parent, Group: group, Start: start, Name: string(data[open+1 : end]),
		Dead: strings.ContainsAny(fields[0], "ZXx")}, nil
}

// processes lists all that this process may see.
func processes() ([]process, error) {
	pids, err := procs.PIDs()
	if err != nil {
		return nil, err
	}
	var all []process
	for _, pid := range pids {
		if p, err := processOf(pid); err == nil { // else it has ended
			all = append(all, p)
		}
	}
	return all, nil
}

// environOf reads the environment that a process was started with: NAME=value,
// each ended by a zero byte.
func environOf(pid int) ([]byte, error) {
	return os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
}

// executable is this program's file as it is now loaded, even where another
// version has taken its name on disk.
func executable() (string, error) { return "/proc/self/exe", nil }

// adoptOrphans makes this process the parent of all its descendants whose own
// parents end: none can hide behind a double fork.
func adoptOrphans() error {
	return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
}

// dieWithParent has this process killed when the thread that made it ends.
func dieWithParent() error {
	return unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0)
}

// pipe returns the ends of a pipe that children do not inherit.
func pipe() (read, write int, err error) {
	fds := make([]int, 2)
	err = unix.Pipe2(fds, unix.O_CLOEXEC)
	return fds[0], fds[1], err
}
