package account

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Users get an uid of their own choice between these, derived from the name, so
// that an uid does not come again soon: what an environment left in /tmp would
// belong to the next one. Below it are the users of the machine, and more than
// 2,097,151 does not fit into a tar header, on which some build tools fail.
const (
	firstUID = 1_000_000
	lastUID  = 2_097_151
)

const (
	// uidTries bounds the search for a free uid; a second is needed once in a thousand users.
	uidTries = 20
	// busyTries and busyPause are for a tool that finds the user database locked by another: up to 12 s in all.
	busyTries = 60
	// lateTries times busyPause, 5 s, is how long a tool of the last process may still be at work.
	lateTries = 25
	busyPause = 200 * time.Millisecond
)

// Ensure makes the user unless it exists as wanted, and returns it. Its home is
// only noted, not made. The first group is the primary one; without groups the
// user gets one of its own, on macOS staff. A user of ours that was left half
// made is made again.
//
// The error wraps ErrTaken where another name will help, and ErrNoGroup where a
// group has to be made first.
func (a *Accounts) Ensure(ctx context.Context, name, home string, groups []string) (User, error) {
	want, err := a.person(name, home, groups)
	if err != nil {
		return User{}, err
	}
	if err := a.lock(ctx); err != nil {
		return User{}, err
	}
	defer a.unlock()
	if err := a.ensure(ctx, want); err != nil {
		return User{}, fmt.Errorf("make user %s: %w", name, err)
	}
	user, found, err := a.Lookup(ctx, name)
	if err == nil && !found {
		err = fmt.Errorf("make user %s: it is gone right after it was made", name)
	}
	return user, err
}

// person checks what is wanted.
func (a *Accounts) person(name, home string, groups []string) (person, error) {
	if err := checkName(name); err != nil {
		return person{}, err
	}
	if !filepath.IsAbs(home) || strings.ContainsFunc(home, func(r rune) bool { return r == ':' || r < ' ' || r == 0x7f }) {
		return person{}, fmt.Errorf("check home %q of user %s: an absolute path without colon or control characters is needed", home, name)
	}
	want := person{name: name, mark: a.mark, home: home}
	for _, group := range groups {
		if !slices.Contains(want.groups, group) {
			want.groups = append(want.groups, group)
		}
	}
	if fallback := a.system.tools.defaultGroup(); fallback != "" && len(want.groups) == 0 {
		want.groups = []string{fallback}
	}
	for i, group := range want.groups {
		gid, found, err := a.system.group(group)
		if err != nil {
			return person{}, fmt.Errorf("look up group %s: %w", group, err)
		}
		if !found {
			return person{}, fmt.Errorf("look up group %q of user %s: %w; make it on this machine or change the label's groups",
				group, name, ErrNoGroup)
		}
		want.gids = append(want.gids, gid)
		if i == 0 {
			want.gid = gid
		}
	}
	return want, nil
}

// ensure makes the user; the caller has the turn.
func (a *Accounts) ensure(ctx context.Context, want person) error {
	var last error
	for try, late := 0, 0; try < uidTries; {
		done, err := a.attempt(ctx, &want, try)
		switch {
		case done:
			return nil
		case errors.Is(err, errLate) && late < lateTries:
			late++
			if waitErr := wait(ctx, busyPause); waitErr != nil {
				return errors.Join(waitErr, err)
			}
		case err == nil, errors.Is(err, errUIDTaken):
			try++
			last = err
		default:
			return err
		}
	}
	done, err := a.settled(ctx, want)
	if done || err != nil {
		return err
	}
	return fmt.Errorf("find a free uid between %d and %d: %w", firstUID, lastUID, last)
}

// attempt makes the user with the uid of this try, where that is free. done
// says that the user was found as wanted, which the attempt after one that made
// it tells.
func (a *Accounts) attempt(ctx context.Context, want *person, try int) (done bool, err error) {
	if done, err := a.settled(ctx, *want); done || err != nil {
		return done, err
	}
	if err := a.clearGroup(ctx, want.name); err != nil {
		return false, err
	}
	if free, err := a.pick(want, try); err != nil || !free {
		return false, err
	}
	err = a.steps(ctx, a.system.tools.create(*want))
	if err != nil && !errors.Is(err, errUIDTaken) {
		// A tool that the last process started may have won in the meantime.
		if done, settledErr := a.settled(ctx, *want); done && settledErr == nil {
			return true, nil
		}
	}
	return false, err
}

// errLate says that user or group came while we looked: a tool which the last
// process started is still at work.
var errLate = errors.New("somebody else makes it")

// clearGroup removes the group of a user that was never made. With errLate it
// is one of ours, and a look at the user will tell more.
func (a *Accounts) clearGroup(ctx context.Context, name string) error {
	removeErr := a.removeGroup(ctx, name)
	gid, found, err := a.system.group(name)
	switch {
	case err != nil:
		return err
	case !found:
		return nil
	case madeHere(gid): // also where it can not be removed, as its user has come
		return errors.Join(fmt.Errorf("%w: %w, with id %d", ErrTaken, errLate, gid), removeErr)
	}
	return fmt.Errorf("%w: by a group with id %d", ErrTaken, gid)
}

// settled tells whether the user is there as wanted. A half-made one is removed.
func (a *Accounts) settled(ctx context.Context, want person) (bool, error) {
	e, found, err := a.system.user(ctx, want.name)
	if err != nil || !found {
		return false, err
	}
	if e.comment != a.mark {
		return false, fmt.Errorf("%w: uid %d, %q", ErrTaken, e.uid, e.comment)
	}
	if e.uid != 0 && e.home != want.home {
		return false, fmt.Errorf("%w: its home is %s", ErrTaken, e.home)
	}
	complete, err := a.complete(e, want)
	if err != nil || complete {
		return complete, err
	}
	a.log.Warn("user is incomplete, making it again", "user", want.name)
	return false, a.remove(ctx, want.name)
}

// complete tells whether a user has all that it should have.
func (a *Accounts) complete(e entry, want person) (bool, error) {
	if e.uid == 0 {
		return false, nil
	}
	if len(want.groups) == 0 {
		gid, found, err := a.system.group(e.name)
		return found && gid == e.gid, err
	}
	for _, gid := range want.gids {
		if !slices.Contains(e.groups, gid) {
			return false, nil
		}
	}
	return e.gid == want.gid, nil
}

// pick sets the uid to try, and tells whether it is free.
func (a *Accounts) pick(want *person, try int) (bool, error) {
	if !uidsMapped() {
		want.uid = 0 // in a container with few uids the tool chooses
		return true, nil
	}
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(want.name)) // never fails
	want.uid = firstUID + int((uint64(hash.Sum32())+uint64(try))%(lastUID-firstUID+1))
	taken, err := a.system.uidTaken(want.uid)
	return !taken, err
}

// errUIDTaken says that a tool found the uid in use.
var errUIDTaken = errors.New("uid is taken")

// errAlive says that a tool will not remove a user that still has processes.
var errAlive = errors.New("user still has processes")

// steps runs commands in order until one fails.
func (a *Accounts) steps(ctx context.Context, steps []step) error {
	for _, s := range steps {
		if err := a.step(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// step runs one command, again while the user database is locked by others.
func (a *Accounts) step(ctx context.Context, s step) error {
	for try := 1; ; try++ {
		result, err := a.privileged(ctx, slices.Clone(s.argv)...)
		if err != nil || result.Code == 0 {
			return err
		}
		err = fmt.Errorf("run %s: exit code %d: %s", s.argv[0], result.Code, brief(result.Output))
		switch {
		case result.Code == s.taken:
			return fmt.Errorf("%w: %w", errUIDTaken, err)
		case result.Code == s.alive:
			return fmt.Errorf("%w: %w", errAlive, err)
		case strings.Contains(result.Output, "already exists"), strings.Contains(result.Output, "in use"):
			return fmt.Errorf("%w: %w", errLate, err)
		case !strings.Contains(result.Output, "lock") || try == busyTries: // "cannot lock /etc/passwd; try again later."
			return err
		}
		if waitErr := wait(ctx, busyPause); waitErr != nil {
			return errors.Join(waitErr, err)
		}
	}
}

// wait pauses until the context ends.
func wait(ctx context.Context, pause time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(pause):
		return nil
	}
}
