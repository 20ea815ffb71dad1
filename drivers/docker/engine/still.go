package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/aquarium-fish/aquarium-fish/lib/durable"
)

const (
	// commitsFolder, in that of the tasks, has an empty file for each container
	// that the engine was asked to hold still for a commit. It tells a container that is
	// paused for a commit from one that was suspended, also after a kill.
	commitsFolder = "commits"
	// commitBegins is how long an engine may take from the request for a commit
	// until the container stands still.
	commitBegins = 2 * time.Second
	// The pause between looks at a container that stands still doubles from the
	// first of these to the second.
	firstLook = 50 * time.Millisecond
	lastLook  = 2 * time.Second
)

// Still waits until no commit of the container is under way, also of a process
// that was killed: engines commit on, and two at once may leave it frozen. None
// begins before done is called. A container that is paused then was suspended.
func (i *Images) Still(ctx context.Context, id string) (done func(), err error) {
	_, done, err = i.still(ctx, id)
	return done, err
}

// still is Still with the container's state; nil if it is gone.
func (i *Images) still(ctx context.Context, id string) (now *container.State, done func(), err error) {
	done, err = i.turns.Take(ctx, i.markOf(id))
	if err != nil {
		return nil, nil, err
	}
	if now, err = i.settle(ctx, id); err != nil {
		done()
		return nil, nil, err
	}
	return now, done, nil
}

// settle waits for the end of a commit whose asker did not.
func (i *Images) settle(ctx context.Context, id string) (*container.State, error) {
	for pause := firstLook; ; pause = min(2*pause, lastLook) {
		info, err := os.Stat(i.markOf(id))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("look for a commit under way: %w", err)
		}
		marked := err == nil
		now, err := i.stateOf(ctx, id)
		if err != nil || now != nil && !marked {
			return now, err
		}
		if now == nil {
			return nil, i.unmark(id)
		}
		// A clock that was set back does not make it wait any longer.
		switch age := time.Since(info.ModTime()).Abs(); {
		case !now.Paused && age >= commitBegins:
			return now, i.unmark(id)
		case now.Paused && age >= 2*i.opts.Limits.Task: // the commit is over, and the engine forgot what stands still
			i.log.Warn("container stands still for a commit that does not end: it is resumed", "container", id)
			if err := i.resume(ctx, id); err != nil {
				return nil, err
			}
			continue
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for the end of another commit: %w", context.Cause(ctx))
		case <-time.After(pause):
		}
	}
}

// resume has a container go on that stands still for a commit, if the engine
// did not see to that, and notes that the commit is over.
func (i *Images) resume(ctx context.Context, id string) error {
	now, err := i.stateOf(ctx, id)
	if err != nil {
		return err
	}
	if now != nil && now.Paused {
		call, cancel := i.call(ctx)
		defer cancel()
		if _, err := i.cli.ContainerUnpause(call, id, client.ContainerUnpauseOptions{}); err != nil && !errdefs.IsNotFound(err) {
			return fmt.Errorf("resume container after a commit: %w", causeOf(call, err))
		}
	}
	return i.unmark(id)
}

// stateOf asks for the state of a container; nil if it is gone.
func (i *Images) stateOf(ctx context.Context, id string) (*container.State, error) {
	ctx, cancel := i.call(ctx)
	defer cancel()
	c, err := i.cli.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
	switch {
	case errdefs.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("inspect container: %w", causeOf(ctx, err))
	case c.Container.State == nil:
		return nil, errors.New("inspect container: the engine's answer has no state")
	}
	return c.Container.State, nil
}

// markOf is the file that says that a container stands still for a commit.
func (i *Images) markOf(id string) string {
	return filepath.Join(i.opts.TasksPath, commitsFolder, escape(id))
}

func (i *Images) mark(id string) error {
	file := i.markOf(id)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return fmt.Errorf("note the commit: %w", err)
	}
	if err := durable.WriteFile(file, nil, 0o600); err != nil {
		return fmt.Errorf("note the commit: %w", err)
	}
	return nil
}

func (i *Images) unmark(id string) error {
	if err := os.Remove(i.markOf(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("note the end of a commit: %w", err)
	}
	return nil
}

// sweepMarks removes the notes of commits that nobody asked after since: of
// containers that are gone.
func (i *Images) sweepMarks() {
	folder := filepath.Join(i.opts.TasksPath, commitsFolder)
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		i.log.Warn("folder of commits can not be read", "error", err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || time.Since(info.ModTime()) < abandoned {
			continue
		}
		if err := os.Remove(filepath.Join(folder, e.Name())); err != nil {
			i.log.Warn("note of a commit can not be removed", "error", err)
		}
	}
}
