package account

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"
)

// The pause between two looks at dying processes grows from the first to the
// last.
const (
	firstPause = 2 * time.Millisecond
	lastPause  = 200 * time.Millisecond
)

// sweepTimeout bounds one sweep: the user's own processes can stop it.
const sweepTimeout = 5 * time.Second

// removeTries bounds how often a user is killed and removed in one call, for
// one whose processes come again, as from its crontab.
const removeTries = 5

// Remove kills what the user runs and removes it, but not its home. A user that
// does not exist is removed already; one without our mark is left alone and
// counts as not existing.
func (a *Accounts) Remove(ctx context.Context, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	if err := a.lock(ctx); err != nil {
		return err
	}
	defer a.unlock()
	if err := a.remove(ctx, name); err != nil {
		return fmt.Errorf("remove user %s: %w", name, err)
	}
	return nil
}

// remove removes user and group; the caller has the turn.
func (a *Accounts) remove(ctx context.Context, name string) error {
	var last error
	for range removeTries {
		e, found, err := a.system.user(ctx, name)
		if err != nil {
			return err
		}
		if !found {
			return a.removeGroup(ctx, name)
		}
		if e.comment != a.mark {
			a.log.Warn("user is not ours and stays", "user", name)
			return nil
		}
		if err := a.killAll(ctx, e); err != nil {
			return err
		}
		// Forced once nothing lives: userdel also counts the dead that nobody reaps.
		last = a.removeOnce(ctx, e, errors.Is(last, errAlive))
		if ctx.Err() != nil {
			return last
		}
	}
	if _, found, err := a.system.user(ctx, name); err != nil || found {
		return errors.Join(err, last)
	}
	return a.removeGroup(ctx, name)
}

// removeOnce runs all steps, also after one that finds nothing to do. Whether
// the user is gone is looked up afterwards.
func (a *Accounts) removeOnce(ctx context.Context, e entry, force bool) error {
	var failed error
	for _, s := range a.system.tools.remove(e.name, e.groupNames, force) {
		failed = errors.Join(failed, a.step(ctx, s))
	}
	if failed != nil {
		return failed
	}
	return a.killAll(ctx, e) // what began between the last look and the removal
}

// removeGroup removes the user's own group, where an interrupted change left it.
func (a *Accounts) removeGroup(ctx context.Context, name string) error {
	gid, found, err := a.system.group(name)
	if err != nil || !found || !madeHere(gid) {
		return err
	}
	return a.steps(ctx, a.system.tools.removeGroup(name))
}

// madeHere tells whether a group may be one that was made for a user of ours.
func madeHere(gid int) bool { return !uidsMapped() || gid >= firstUID && gid <= lastUID }

// KillAll kills every process of the user until there is none. It succeeds at
// once for a user that does not exist or is not ours. The error names those
// that survived until the context ended.
func (a *Accounts) KillAll(ctx context.Context, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	e, found, err := a.system.user(ctx, name)
	if err != nil || !found || !a.ours(e) {
		return err
	}
	return a.killAll(ctx, e)
}

func (a *Accounts) killAll(ctx context.Context, e entry) error {
	if e.uid == 0 { // half made, it never ran anything
		return nil
	}
	if e.uid == os.Getuid() {
		return fmt.Errorf("kill processes of user %s: this process has the same uid %d", e.name, e.uid)
	}
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		killErr := a.sweep(ctx, e)
		pids, err := a.system.processes(ctx, e.uid)
		if err != nil {
			return fmt.Errorf("find processes of user %s: %w", e.name, err)
		}
		if len(pids) == 0 {
			return ctx.Err()
		}
		killErr = errors.Join(killErr, a.killEach(ctx, e, pids))
		if err := wait(ctx, pause); err != nil {
			return errors.Join(fmt.Errorf("kill processes %v of user %s: %w", pids, e.name, err), killErr)
		}
	}
}

// sweep lets the user kill "all that I may signal". The kernel does that in one
// go: nothing forks faster than it is killed, and nothing that lived when it
// began is missing among those that are looked for afterwards.
func (a *Accounts) sweep(ctx context.Context, e entry) error {
	command := Command{Argv: append(a.Sudo(e.name), a.path("sh"), "-c", "kill -KILL -1")}
	if a.root {
		command.UID, command.GID = e.uid, e.gid
	}
	bounded, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	_, err := a.runner.Run(bounded, command) // its code says nothing: it fails where nothing lives
	return err
}

// killEach lets root kill what a sweep left, which happens where the user's
// processes kill the sweeper or leave it no process to be.
func (a *Accounts) killEach(ctx context.Context, e entry, pids []int) error {
	if a.root {
		return killEach(pids, e.uid)
	}
	argv := []string{"sh", "-c", `kill -KILL "$@" 2>/dev/null`, "sh"}
	for _, pid := range pids {
		argv = append(argv, strconv.Itoa(pid))
	}
	_, err := a.privileged(ctx, argv...) // its code: some had ended by themselves
	return err
}
