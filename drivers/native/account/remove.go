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
	for try := range removeTries {
		e, found, err := a.system.user(name)
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
		// Forced in the end: userdel also counts processes that are dead and that nobody reaps.
		last = a.removeOnce(ctx, e, try >= 2)
	}
	if _, found, err := a.system.user(name); err != nil || found {
		return errors.Join(err, last)
	}
	return a.removeGroup(ctx, name)
}

// removeOnce runs all steps; whether the user is gone is looked up afterwards.
func (a *Accounts) removeOnce(ctx context.Context, e entry, force bool) error {
	var failed error
	for _, s := range a.system.tools.remove(e.name, e.groupNames, force) {
		failed = errors.Join(failed, a.step(ctx, s))
	}
	if failed == nil {
		failed = a.killAll(ctx, e) // what began between the last look and the removal
	}
	return failed
}

// removeGroup removes the user's own group, where an interrupted change left it.
func (a *Accounts) removeGroup(ctx context.Context, name string) error {
	gid, found, err := a.system.group(name)
	if err != nil || !found || gid < firstUID || gid > lastUID { // outside of it: not made by us
		return err
	}
	return a.steps(ctx, a.system.tools.removeGroup(name))
}

// KillAll kills every process of the user until there is none. It succeeds at
// once for a user that does not exist or is not ours.
func (a *Accounts) KillAll(ctx context.Context, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	e, found, err := a.system.user(name)
	if err != nil || !found || !a.ours(e) {
		return err
	}
	return a.killAll(ctx, e)
}

func (a *Accounts) killAll(ctx context.Context, e entry) error {
	if e.uid == 0 { // a half-made record, which never ran anything
		return nil
	}
	if e.uid == os.Getuid() {
		return fmt.Errorf("kill processes of user %s: this process has the same uid %d", e.name, e.uid)
	}
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		pids, err := a.system.processes(ctx, a, e.uid)
		if err != nil {
			return fmt.Errorf("find processes of user %s: %w", e.name, err)
		}
		if len(pids) == 0 {
			return nil
		}
		killErr := a.kill(ctx, e, pids)
		if err := wait(ctx, pause); err != nil {
			return errors.Join(fmt.Errorf("kill processes %v of user %s: %w", pids, e.name, err), killErr)
		}
	}
}

// kill sends the signal in two ways: as the user to "all that I may signal",
// which the kernel does in one go, so that nothing forks faster than it is
// killed, and as root to each, which the user's own processes cannot hinder.
func (a *Accounts) kill(ctx context.Context, e entry, pids []int) error {
	sweep := Command{Argv: append(a.Sudo(e.name), a.path("sh"), "-c", "kill -KILL -1")}
	if a.root {
		sweep.UID, sweep.GID = e.uid, e.gid
	}
	bounded, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_, sweepErr := a.runner.Run(bounded, sweep) // its code says nothing: it fails where all are dead already
	if a.root {
		return errors.Join(sweepErr, killEach(pids, e.uid))
	}
	argv := []string{"sh", "-c", `kill -KILL "$@" 2>/dev/null`, "sh"}
	left, err := a.system.processes(ctx, a, e.uid)
	if err != nil || len(left) == 0 {
		return err
	}
	for _, pid := range left {
		argv = append(argv, strconv.Itoa(pid))
	}
	_, err = a.privileged(ctx, argv...)
	return errors.Join(sweepErr, err)
}
