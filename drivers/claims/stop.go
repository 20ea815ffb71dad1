package claims

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/volume"
	"github.com/aquarium-fish/aquarium-fish/lib/durable"
)

const (
	// stopFile in a folder says that its environment is being removed.
	stopFile = "stop"
	// stopReserve becomes stopFile: a full disk has no room for a file more.
	stopReserve = stopFile + ".reserve"
)

// ErrStopping says that the environment is being deallocated.
var ErrStopping = errors.New("environment is being deallocated")

// Turn waits until nobody else works on an environment, and makes sure that it
// is still there and that nobody began to remove it. done, if there is no
// error, lets the next one work.
func (w *Workspace) Turn(ctx context.Context, c Claim) (done func(), err error) {
	done, err = w.turns.Take(ctx, strings.ToLower(c.Token))
	if err != nil {
		return nil, err
	}
	if err := w.Stands(c); err != nil {
		done()
		return nil, err
	}
	return done, nil
}

// Hold looks an environment up and does something with it, while nobody else
// works on it. found is false where the owner has none of that reference.
func (w *Workspace) Hold(ctx context.Context, ref drivers.Ref, do func(c Claim, found bool) error) error {
	for {
		key, _, _, err := w.lookUp(ref)
		if err != nil {
			return err
		}
		again, err := w.holdTurn(ctx, ref, key, do)
		if !again {
			return err
		}
	}
}

// holdTurn is Hold in the turn of a key. again says that the name became another
// environment's while it was waited for, and nothing was done.
func (w *Workspace) holdTurn(ctx context.Context, ref drivers.Ref, key string, do func(c Claim, found bool) error) (again bool, err error) {
	done, err := w.turns.Take(ctx, key)
	if err != nil {
		return false, err
	}
	defer done()
	now, c, found, err := w.lookUp(ref)
	if err != nil || now != key {
		return err == nil, err
	}
	return false, do(c, found)
}

// lookUp is Find with the key of the turn to wait for.
func (w *Workspace) lookUp(ref drivers.Ref) (key string, c Claim, found bool, err error) {
	if c, found, err = w.Find(ref); err != nil {
		return "", Claim{}, false, fmt.Errorf("look for environment: %w", err)
	}
	return strings.ToLower(cmp.Or(ref.Token, c.Token, ref.Identifier)), c, found, nil
}

// Stands reports an error unless the claim is still there and nobody began to
// remove it.
func (w *Workspace) Stands(c Claim) error {
	there, err := w.There(c)
	if err != nil {
		return err
	}
	if !there {
		return ErrVanished
	}
	if stopping, err := w.Stopping(c); err != nil || stopping {
		return errors.Join(err, ErrStopping)
	}
	return nil
}

// Stop marks the environment as one in which nothing may start any more. It
// needs no room on the disk, which the environment may have filled. Where
// nothing was reserved, and a full disk prevents it, the environment is to be
// removed all the same: it may be what fills the disk.
func (w *Workspace) Stop(c Claim) error {
	err := w.stop(c)
	if !volume.Full(err) {
		return err
	}
	w.opts.Logger.Warn("full disk: could not note that an environment is being removed; it is removed all the same", "environment", c.Name, "error", err)
	return nil
}

func (w *Workspace) stop(c Claim) error {
	folder := w.Folder(c.Name)
	err := durable.Rename(filepath.Join(folder, stopReserve), filepath.Join(folder, stopFile))
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// Stopped before, or claimed by a version that reserved nothing.
	stopping, err := w.Stopping(c)
	switch {
	case err != nil:
		return err
	case !stopping:
		return w.Mark(c, stopFile)
	}
	return durable.SyncFolder(folder) // who stopped it may have been killed before
}

// Stopping reports whether somebody began to remove the environment.
func (w *Workspace) Stopping(c Claim) (bool, error) { return w.Marked(c, stopFile) }

// Mark notes something about an environment, for good, by a file of that name.
func (w *Workspace) Mark(c Claim, file string) error {
	return durable.WriteFile(filepath.Join(w.Folder(c.Name), file), nil, 0o600)
}

// Marked reports whether that was noted.
func (w *Workspace) Marked(c Claim, file string) (bool, error) {
	return exists(filepath.Join(w.Folder(c.Name), file))
}

// Keeps reports whether a file in an environment's folder is the workspace's
// own. Whoever makes an environment afresh leaves it there.
func (w *Workspace) Keeps(file string) bool {
	return file == w.opts.File || file == stopFile || file == stopReserve
}

// Step is one thing to do to make an environment or to remove it. A process may
// be killed in or after any: each finds, and replaces or goes on with, what it
// left of itself.
type Step struct {
	Name string
	Do   func(context.Context) error
}

// Do does steps in their order, until one fails.
func Do(ctx context.Context, log *slog.Logger, steps []Step) error {
	for _, s := range steps {
		if err := s.Do(ctx); err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
		log.Debug("step done", "step", s.Name)
	}
	return nil
}
