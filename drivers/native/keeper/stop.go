//go:build linux || darwin

package keeper

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aquarium-fish/aquarium-fish/lib/durable"
)

const (
	// stopSlack is what a keeper may need beyond the grace: to kill, drain the
	// log and record. One that takes longer hangs, and is killed.
	stopSlack = 10 * time.Second
	// lookPause is between looks where the system can not wake a waiter.
	lookPause = time.Second
)

// Wait blocks until the environment has ended and returns how, in words for the
// user. Where nothing was ever started it returns an error.
func Wait(ctx context.Context, folder, token string) (string, error) {
	for {
		state, err := Look(folder, token)
		if err != nil {
			return "", err
		}
		switch state.Presence {
		case Ended:
			return state.Ending, nil
		case None:
			return "", errors.New("wait for environment: nothing was started in its folder")
		}
		began := time.Now()
		if err := awaitKeeper(ctx, folder); err != nil {
			return "", fmt.Errorf("wait for environment: %w", err)
		}
		if time.Since(began) < killPause { // a keeper that just started or ends: do not spin
			if err := pause(ctx, killPause); err != nil {
				return "", fmt.Errorf("wait for environment: %w", err)
			}
		}
	}
}

// Stop ends the environment for good: it forbids any further start, interrupts
// the entry's process group, kills after the grace (0: what the spec said) all
// that it ever started, and returns nil when nothing of that lives. It stops
// also what a killed keeper left behind, as far as this user may see it. A
// folder that is not there has nothing to stop.
func Stop(ctx context.Context, folder, token string, grace time.Duration) error {
	var r record
	if _, err := readJSON(filepath.Join(folder, recordFile), &r); err != nil {
		return fmt.Errorf("stop environment: %w", err)
	}
	if r.Token != "" && r.Token != token {
		return errors.New("stop environment: folder belongs to another token")
	}
	if err := forbid(folder, grace); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("stop environment: %w", err)
	}
	if grace <= 0 {
		grace = DefaultStopGrace
	}
	if err := stopKeeper(ctx, folder, grace); err != nil {
		return fmt.Errorf("stop environment: %w", err)
	}
	reapKeeper(r.Keeper)
	return killLeft(ctx, folder, token)
}

// forbid writes the marker that no keeper passes any more. The keeper reads
// the grace from it.
func forbid(folder string, grace time.Duration) error {
	path := filepath.Join(folder, StopFile)
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return forbidFull(folder, path)
	}
	if err != nil {
		return err
	}
	if grace > 0 { // on a full disk the marker stays empty and the spec's grace holds
		_, _ = file.WriteString(strconv.FormatInt(grace.Milliseconds(), 10) + "\n")
	}
	_ = file.Sync() // the next call writes it again
	return file.Close()
}

// forbidFull is forbid where the disk has no room for a file more: the trace
// becomes the marker, and the spec's grace holds. Each keeper is started with a
// trace, so where there is none there is nothing to stop.
func forbidFull(folder, path string) error {
	err := durable.Rename(filepath.Join(folder, traceFile), path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// stopKeeper asks the living keeper to end and waits for it; one that does not
// is killed.
func stopKeeper(ctx context.Context, folder string, grace time.Duration) error {
	hung := time.Now().Add(grace + stopSlack)
	signal := syscall.SIGTERM
	for {
		if time.Now().After(hung) {
			signal = syscall.SIGKILL
		}
		held, err := signalKeeper(folder, signal)
		if err != nil || !held {
			return err
		}
		slice, cancel := context.WithDeadline(ctx, hung)
		if signal == syscall.SIGKILL {
			slice, cancel = context.WithTimeout(ctx, lookPause)
		}
		err = awaitKeeper(slice, folder)
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil { // the FIFO may end an instant before the lock, or not be there yet
			if err := pause(ctx, time.Millisecond); err != nil {
				return err
			}
		}
	}
}

// signalKeeper signals the living keeper, if there is one. The process is held
// before the lock is asked a second time, so that a process id that is used
// again is never signalled.
func signalKeeper(folder string, signal syscall.Signal) (held bool, err error) {
	pid, held, err := lockHolder(folder)
	if err != nil || !held {
		return held, err
	}
	handle, err := os.FindProcess(pid)
	if err != nil {
		return true, fmt.Errorf("hold keeper %d: %w", pid, err)
	}
	defer func() { _ = handle.Release() }() // only frees
	if again, stillHeld, err := lockHolder(folder); err != nil || !stillHeld || again != pid {
		return true, err // the caller looks again
	}
	if err := handle.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return true, fmt.Errorf("signal keeper %d: %w", pid, err)
	}
	return true, nil
}

// reapKeeper takes the status of a dead keeper that this very process started.
// The process id of a zombie is not used again, so its start time tells surely.
func reapKeeper(keeper identity) {
	p, err := processOf(keeper.PID)
	if err == nil && p.Dead && p.Parent == os.Getpid() && p.identity() == keeper {
		_, _ = syscall.Wait4(keeper.PID, nil, syscall.WNOHANG, nil) // it may be another's by now: none of ours
	}
}

// killLeft kills what lives without its keeper.
func killLeft(ctx context.Context, folder, token string) error {
	var r record // read again: a keeper that began meanwhile has changed it
	if _, err := readJSON(filepath.Join(folder, recordFile), &r); err != nil {
		return fmt.Errorf("stop environment: %w", err)
	}
	for {
		left, err := survivors(r, token, 0)
		if err != nil {
			return fmt.Errorf("stop environment: %w", err)
		}
		if len(left) == 0 {
			return nil
		}
		killErr := killProcesses(ctx, left, r.KillCommand)
		if err := pause(ctx, killPause); err != nil {
			return errors.Join(fmt.Errorf("stop environment: still alive: %s: %w", describe(left), err), killErr)
		}
	}
}
