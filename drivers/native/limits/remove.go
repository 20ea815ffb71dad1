package limits

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The pause between two looks at a dying group grows from the first to the
// last: most groups die within milliseconds.
const (
	firstPause = 2 * time.Millisecond
	lastPause  = 200 * time.Millisecond
)

// List names the groups below Parent, sorted. They are those of all nodes of
// this machine: only what the caller knows to be its own may be touched.
func (l *Limiter) List() []string {
	var names []string
	for _, base := range l.bases {
		entries, _ := os.ReadDir(filepath.Join(base, Parent)) // none there: no groups
		for _, entry := range entries {
			if entry.IsDir() && checkName(entry.Name()) == nil {
				names = append(names, entry.Name())
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Kill kills every process of the group, and of groups that the environment
// made below it, until there is none. A group that does not exist is empty.
// The error names the processes that survived until the context ended.
func (l *Limiter) Kill(ctx context.Context, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		alive, err := l.sweep(name)
		if err == nil && len(alive) == 0 {
			return nil
		}
		if waitErr := wait(ctx, pause); waitErr != nil {
			return errors.Join(fmt.Errorf("kill group %s with %s: %w", name, strings.Join(alive, ", "), waitErr), err)
		}
	}
}

// sweep kills what is in the group now, and tells what it found.
func (l *Limiter) sweep(name string) (alive []string, err error) {
	groups, err := l.groups(name)
	for _, group := range groups {
		found, groupErr := l.sweepGroup(group)
		alive, err = append(alive, found...), errors.Join(err, groupErr)
	}
	return alive, err
}

func (l *Limiter) sweepGroup(group string) ([]string, error) {
	if kill := filepath.Join(group, "cgroup.kill"); exists(kill) { // v2 since Linux 5.14: with all groups below, at once
		events, err := os.ReadFile(filepath.Join(group, "cgroup.events"))
		if err != nil || !strings.Contains(string(events), "populated 1") {
			return nil, ignoreGone(err)
		}
		return []string{"processes of " + group}, ignoreGone(l.kernel.write(kill, "1"))
	}
	dirs, failed := tree(group)
	var alive []string
	for _, dir := range dirs {
		pids, err := processes(dir)
		if len(pids) > 0 {
			_ = l.kernel.write(filepath.Join(dir, "pids.max"), "0") // where there is one: nothing forks faster than it is killed
		}
		for _, pid := range pids {
			alive = append(alive, "pid "+strconv.Itoa(pid))
			err = errors.Join(err, l.killOne(pid))
		}
		failed = errors.Join(failed, err)
	}
	return alive, failed
}

// killOne kills a process, but neither init nor this node: they are in no group
// of an environment unless someone put them there.
func (l *Limiter) killOne(pid int) error {
	if pid <= 1 || pid == os.Getpid() {
		return fmt.Errorf("kill process %d: it is not part of an environment; move it out of the group", pid)
	}
	return l.kernel.kill(pid)
}

// Remove removes the group, which must be empty; one that does not exist is
// removed already.
func (l *Limiter) Remove(ctx context.Context, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	groups, err := l.groups(name)
	for _, group := range groups {
		err = errors.Join(err, l.removeGroup(ctx, group))
	}
	if err != nil {
		return fmt.Errorf("remove group %s: %w", name, err)
	}
	return nil
}

// removeGroup removes a group and those below it. The kernel calls a group busy
// for some time after its last process ended.
func (l *Limiter) removeGroup(ctx context.Context, group string) error {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		dirs, err := tree(group)
		for _, dir := range slices.Backward(dirs) {
			err = errors.Join(err, ignoreGone(l.kernel.rmdir(dir)))
		}
		if err == nil || !isBusy(err) {
			return err
		}
		for _, dir := range dirs {
			if pids, _ := processes(dir); len(pids) > 0 {
				return fmt.Errorf("it still has processes, such as %d: %w", pids[0], err)
			}
		}
		if waitErr := wait(ctx, pause); waitErr != nil {
			return errors.Join(waitErr, err)
		}
	}
}

// groups lists the folders of a group that exist, also in places that an
// earlier start used.
func (l *Limiter) groups(name string) ([]string, error) {
	var list []string
	var failed error
	for _, base := range l.bases {
		group := filepath.Join(base, Parent, name)
		_, err := os.Stat(group)
		if err == nil {
			list = append(list, group)
		}
		failed = errors.Join(failed, ignoreGone(err))
	}
	return list, failed
}

// tree lists a group and those below it, each after the one it is in.
func tree(group string) ([]string, error) {
	entries, err := os.ReadDir(group)
	if err != nil {
		return nil, ignoreGone(err)
	}
	list := []string{group}
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		below, err := tree(filepath.Join(group, entry.Name()))
		if err != nil {
			return list, err
		}
		list = append(list, below...)
	}
	return list, nil
}

// processes reads which processes are in a group, without those below.
func processes(group string) ([]int, error) {
	data, err := os.ReadFile(filepath.Join(group, "cgroup.procs"))
	if err != nil {
		return nil, ignoreGone(err)
	}
	var pids []int
	for word := range strings.FieldsSeq(string(data)) {
		pid, err := strconv.Atoi(word)
		if err != nil {
			return nil, fmt.Errorf("read processes of %s: %w", group, err)
		}
		pids = append(pids, pid)
	}
	return pids, nil
}

// ignoreGone makes success of what failed because the group no longer exists.
func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) || isNoDevice(err) {
		return nil
	}
	return err
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
