package native

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// commandTimeout bounds one command of the system: formatting a large disk is
// the longest that any takes.
const commandTimeout = 5 * time.Minute

// hands do what may take more rights than the node has: as root by themselves,
// else by commands through sudo.
type hands struct {
	sudo            []string // before a command; empty for root and where no rights are needed
	chown, rm, kill string
	// own says that environments run as the node's user: nothing changes hands.
	own bool
}

// find looks the commands up. One that is missing is told when it is used.
func (h *hands) find(s settings, lookup func(string) (string, error)) {
	for _, c := range []struct {
		into       *string
		path, name string
	}{{&h.chown, s.ChownPath, "chown"}, {&h.rm, s.RmPath, "rm"}, {&h.kill, s.KillPath, "kill"}} {
		*c.into = c.path
		if path, err := lookup(cmp.Or(c.path, c.name)); err == nil {
			*c.into = path
		}
	}
}

// run runs a command, with sudo where the node is not root.
func (h hands) run(ctx context.Context, argv ...string) error {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	argv = append(append([]string{}, h.sudo...), argv...)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = []string{"PATH=" + systemPath, "LC_ALL=C"}
	cmd.Dir = "/"
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return fmt.Errorf("run %s: %w", filepath.Base(argv[len(h.sudo)]), ctx.Err())
	}
	if err != nil {
		return fmt.Errorf("run %s: %w: %.300s", strings.Join(argv, " "), err, bytes.TrimSpace(out))
	}
	return nil
}

// give makes everything below a folder belong to a user. Nothing may run in
// the folder meanwhile.
//
// A hard link that an earlier user of a reused disk made may be to a file of
// somebody else: only what belongs to the node or to nobody is given.
func (h hands) give(ctx context.Context, path string, p identity) error {
	switch {
	case h.own:
		return nil
	case len(h.sudo) > 0:
		return h.run(ctx, h.chown, "-R", "-h", fmt.Sprintf("%d:%d", p.uid, p.gid), "--", path)
	}
	known := map[int]bool{}
	return filepath.WalkDir(path, func(path string, d fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		uid, links := ownership(info)
		if links > 1 && !d.IsDir() && uid != os.Getuid() && livingUser(uid, known) {
			return nil
		}
		return os.Lchown(path, p.uid, p.gid)
	})
}

// livingUser reports whether the system knows the user, so that it is not one
// of an environment that is gone.
func livingUser(uid int, known map[int]bool) bool {
	living, ok := known[uid]
	if !ok {
		_, err := user.LookupId(strconv.Itoa(uid))
		living = err == nil
		known[uid] = living
	}
	return living
}

// take makes a folder the node's own again, where the node is not root.
func (h hands) take(ctx context.Context, path string) error {
	if len(h.sudo) == 0 {
		return nil
	}
	return h.give(ctx, path, identity{uid: os.Getuid(), gid: os.Getgid()})
}

// remove removes whatever is at a path. Mounts below it must be gone.
func (h hands) remove(ctx context.Context, path string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if there, err := exists(path); err != nil || !there {
		return err
	}
	err := os.RemoveAll(path)
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	if len(h.sudo) > 0 {
		return h.run(ctx, h.rm, "-rf", "--", path)
	}
	if err := unlock(ctx, path); err != nil {
		return err
	}
	return os.RemoveAll(path)
}

// unlock makes folders writable whose owner made them read-only, as some
// tools do with their caches: else nothing can be removed from them. The walk
// visits a folder before it reads it.
func unlock(ctx context.Context, path string) error {
	return filepath.WalkDir(path, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return ignoreMissing(err)
		case ctx.Err() != nil:
			return ctx.Err()
		case d.IsDir():
			return ignoreMissing(os.Chmod(path, 0o700))
		}
		return nil
	})
}
