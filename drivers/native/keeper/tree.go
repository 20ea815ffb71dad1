//go:build linux || darwin

package keeper

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is one running process as the system lists it.
type process struct {
	PID, Parent, Group int
	Start              uint64 // as the system counts it; with PID it names the process for this boot
	Name               string
	Dead               bool // ended, and only waits to be reaped
}

func (p process) identity() identity { return identity{p.PID, p.Start} }

// familyOf returns the live processes of the list that a condition picks, and
// all their descendants, without self and what self descends from.
func familyOf(all []process, self int, picked func(process) bool) []process {
	children := make(map[int][]process, len(all))
	parents := make(map[int]int, len(all))
	for _, p := range all {
		children[p.Parent] = append(children[p.Parent], p)
		parents[p.PID] = p.Parent
	}
	seen := map[int]bool{0: true, 1: true}
	for pid := self; pid > 1 && !seen[pid]; pid = parents[pid] {
		seen[pid] = true
	}
	var family, queue []process
	for _, p := range all {
		if picked(p) {
			queue = append(queue, p)
		}
	}
	for len(queue) > 0 {
		p := queue[0]
		queue = queue[1:]
		if seen[p.PID] {
			continue // also where the list, which is not of one moment, goes round in a circle
		}
		seen[p.PID] = true
		queue = append(queue, children[p.PID]...)
		if !p.Dead {
			family = append(family, p)
		}
	}
	return family
}

// carriesToken reports whether an environment block holds the token.
func carriesToken(environ []byte, token string) bool {
	want := []byte(TokenVariable + "=" + token)
	for entry := range bytes.SplitSeq(environ, []byte{0}) {
		if bytes.Equal(entry, want) {
			return true
		}
	}
	return false
}

// members returns the process ids in the cgroups.
func members(join []string) map[int]bool {
	pids := map[int]bool{}
	for _, file := range join {
		data, err := os.ReadFile(file)
		if err != nil {
			continue // removed with its environment, or without a reader's right: the tree finds the same
		}
		for _, field := range strings.Fields(string(data)) {
			if pid, err := strconv.Atoi(field); err == nil && pid > 0 {
				pids[pid] = true
			}
		}
	}
	return pids
}

// survivors finds what an environment's keeper left alive when it was killed:
// its recorded entry, what is in its cgroups, what carries its token, and all
// that descends from these. A keeper that asks for itself gives its own process
// id as parent; others give 0.
func survivors(r record, token string, parent int) ([]process, error) {
	all, err := processes()
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	boot, err := bootID()
	if err != nil {
		return nil, err
	}
	grouped := members(r.Join)
	return familyOf(all, os.Getpid(), func(p process) bool {
		ours := parent != 0 && p.Parent == parent
		if ours || grouped[p.PID] || r.BootID == boot && p.identity() == r.Entry {
			return true
		}
		environ, err := environOf(p.PID)
		return err == nil && carriesToken(environ, token)
	}), nil
}

// signalGroup sends a signal to a process group.
func signalGroup(ctx context.Context, group int, signal syscall.Signal, command []string) error {
	return orCommand(ctx, unix.Kill(-group, signal), signal, command, []int{-group})
}

// killProcesses kills the processes if they still are who they were. Those that
// this user may not signal are left to the command.
func killProcesses(ctx context.Context, victims []process, command []string) error {
	var foreign []int
	var failed error
	for _, p := range victims {
		switch err := killProcess(p); {
		case errors.Is(err, unix.EPERM):
			foreign = append(foreign, p.PID)
		case err != nil:
			failed = errors.Join(failed, err)
		}
	}
	if len(foreign) == 0 {
		return failed
	}
	return errors.Join(failed, orCommand(ctx, unix.EPERM, unix.SIGKILL, command, foreign))
}

// killProcess holds the process (on Linux by a descriptor), makes sure that it
// is the one, and only then signals it.
func killProcess(p process) error {
	handle, err := os.FindProcess(p.PID)
	if err != nil {
		return fmt.Errorf("hold process %d: %w", p.PID, err)
	}
	defer func() { _ = handle.Release() }() // only frees
	if now, err := processOf(p.PID); err != nil || now.identity() != p.identity() {
		return nil // who it was has ended
	}
	if err := handle.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill process %d: %w", p.PID, err)
	}
	return nil
}

// commandTimeout bounds one call of the kill command.
const commandTimeout = 10 * time.Second

// runCommand runs the kill command. In the keeper its exit status may go to the
// reaper: then what it did shows in the list of processes only.
func runCommand(ctx context.Context, argv []string) error {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	output, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput()
	if err != nil && !errors.Is(err, unix.ECHILD) {
		return fmt.Errorf("run %s: %w: %s", argv[0], err, bytes.TrimSpace(output))
	}
	return nil
}

// orCommand runs the command where a signal was refused for lack of rights.
func orCommand(ctx context.Context, err error, signal syscall.Signal, command []string, pids []int) error {
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if !errors.Is(err, unix.EPERM) || len(command) == 0 {
		return err
	}
	argv := append(append([]string{}, command...), "-s", strings.TrimPrefix(unix.SignalName(signal), "SIG"), "--")
	for _, pid := range pids {
		argv = append(argv, strconv.Itoa(pid))
	}
	return runCommand(ctx, argv)
}

// describe names processes for an error.
func describe(list []process) string {
	const most = 5
	var names []string
	for i, p := range list {
		if i == most {
			names = append(names, fmt.Sprintf("and %d more", len(list)-most))
			break
		}
		names = append(names, fmt.Sprintf("%d (%s)", p.PID, p.Name))
	}
	return strings.Join(names, ", ")
}

// outOfMemory reports whether the system killed a process of the cgroups for
// their memory limit.
func outOfMemory(join []string) bool {
	for _, file := range join {
		for _, name := range []string{"memory.events", "memory.oom_control"} { // version 2, version 1
			data, err := os.ReadFile(filepath.Join(filepath.Dir(file), name))
			if err == nil && oomKills(string(data)) > 0 {
				return true
			}
		}
	}
	return false
}

// oomKills reads the counter oom_kill.
func oomKills(events string) int {
	for line := range strings.Lines(events) {
		if text, ok := strings.CutPrefix(line, "oom_kill "); ok {
			count, _ := strconv.Atoi(strings.TrimSpace(text)) // 0 if it is none
			return count
		}
	}
	return 0
}
