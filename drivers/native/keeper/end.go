//go:build linux || darwin

package keeper

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// killPause is the time between two rounds of killing what is left. Only
// processes that multiply or are stuck in the system need a second one.
const killPause = 50 * time.Millisecond

// serve waits until the entry ends or a stop is asked for, leaves nothing alive
// and records the ending.
func (k *keeper) serve(stops <-chan os.Signal) error {
	var end *ended
	reason := ""
	select {
	case e := <-k.endOf:
		end = &e
	case <-stops:
		if _, err := os.Lstat(filepath.Join(k.spec.Folder, StopFile)); err != nil {
			reason = "its keeper was told to end" // not by Stop: the machine is shut down, or somebody killed it
		}
		k.interrupt()
	}
	if err := k.killAll(); err != nil {
		return err
	}
	if end == nil {
		e := <-k.endOf
		end = &e
	}
	k.output.finish()
	e := exitOf(*end)
	e.Token, e.Reason = k.spec.Token, reason
	if e.Number == int(unix.SIGKILL) && outOfMemory(k.spec.Join) {
		e.Reason = "out of memory"
	}
	return writeExit(k.spec.Folder, e)
}

// exitOf describes how a process ended.
func exitOf(end ended) exit {
	e := exit{Code: end.status.ExitStatus(), Time: end.at}
	if end.status.Signaled() {
		number := end.status.Signal()
		e.Code, e.Number = -1, int(number)
		e.Signal = number.String()
	}
	return e
}

// interrupt asks the entry's process group to end, and waits until it has, or
// the grace is over.
func (k *keeper) interrupt() {
	pid := k.record.Entry.PID
	if err := signalGroup(context.Background(), pid, syscall.SIGINT, k.spec.KillCommand); err != nil {
		fmt.Fprintln(os.Stderr, "interrupt:", err) // the kill follows
	}
	over := time.After(readGrace(k.spec.Folder, k.spec.StopGrace))
	for {
		if errors.Is(unix.Kill(-pid, 0), unix.ESRCH) {
			return
		}
		select {
		case <-k.tick:
		case <-k.empty:
			return
		case <-over:
			return
		}
	}
}

// readGrace reads what Stop wrote.
func readGrace(folder string, otherwise time.Duration) time.Duration {
	text, err := os.ReadFile(filepath.Join(folder, StopFile))
	if err != nil {
		return otherwise
	}
	millis, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil || millis < 0 {
		return otherwise
	}
	return time.Duration(millis) * time.Millisecond
}

// killAll kills until nothing lives. It gives up only where processes can not
// be listed: then the lock is released, and Stop tells what survives.
func (k *keeper) killAll() error {
	var last string
	for {
		left, err := survivors(k.record, k.spec.Token, os.Getpid())
		if err != nil {
			return err
		}
		if len(left) == 0 && (runtime.GOOS != "linux" || isClosed(k.empty)) {
			return nil
		}
		if err := killProcesses(context.Background(), left, k.spec.KillCommand); err != nil && err.Error() != last {
			last = err.Error()
			fmt.Fprintln(os.Stderr, "kill:", last)
		}
		select {
		case <-k.empty:
		case <-time.After(killPause):
		}
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
