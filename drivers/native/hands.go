package native

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/aquarium-fish/aquarium-fish/drivers/volume"
)

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
	return volume.Run(ctx, slices.Concat(h.sudo, argv)...)
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
	err := volume.Remove(ctx, path)
	if errors.Is(err, fs.ErrPermission) && len(h.sudo) > 0 {
		return h.run(ctx, h.rm, "-rf", "--", path)
	}
	return err
}
