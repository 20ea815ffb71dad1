//go:build linux

package openssh

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// killTree ends a process and all that come from it. It stops each before it
// looks for its children, so that none is made meanwhile.
func killTree(pid int) {
	_ = syscall.Kill(pid, syscall.SIGSTOP) // gone already is good
	for _, child := range children(pid) {
		killTree(child)
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
}

// stopTree stops a process and all that come from it.
func stopTree(pid int) {
	_ = syscall.Kill(pid, syscall.SIGSTOP) // gone already is good
	for _, child := range children(pid) {
		stopTree(child)
	}
}

// children are the processes whose parent this is.
func children(pid int) (found []int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is good
	for _, stat := range stats {
		text, err := os.ReadFile(stat)
		if err != nil { // gone
			continue
		}
		// The name in brackets may hold anything; the parent is the second field behind it.
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		if len(fields) < 2 || fields[1] != fmt.Sprint(pid) {
			continue
		}
		if child, err := strconv.Atoi(filepath.Base(filepath.Dir(stat))); err == nil {
			found = append(found, child)
		}
	}
	return found
}
