package docker

import (
	"context"
	"fmt"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/loop"
)

// A container in which a process begins may resist being frozen: the engine tells
// that as a failure then, and has thawed it again (runc's pull request 2791 calls
// it a game of chances). So it is tried a few times.
const (
	toggleTries = 5
	togglePause = 200 * time.Millisecond
)

// Suspend implements drivers.Suspender.
func (d *driver) Suspend(ctx context.Context, ref drivers.Ref) error {
	return d.toggle(ctx, ref, container.StatePaused, func(ctx context.Context, id string) error {
		_, err := d.engine.ContainerPause(ctx, id, client.ContainerPauseOptions{})
		return err
	})
}

// Resume implements drivers.Suspender.
func (d *driver) Resume(ctx context.Context, ref drivers.Ref) error {
	return d.toggle(ctx, ref, container.StateRunning, func(ctx context.Context, id string) error {
		_, err := d.engine.ContainerUnpause(ctx, id, client.ContainerUnpauseOptions{})
		return err
	})
}

// toggle brings a running container into a state, unless it is in it already.
func (d *driver) toggle(
	ctx context.Context, ref drivers.Ref, want container.ContainerState, change func(context.Context, string) error,
) error {
	list, err := d.find(ctx, ref)
	if err != nil {
		return err
	}
	if len(list) == 0 || rank(list[0].state) != 0 {
		return errNotRunning
	}
	// A commit lets the container stand still too, and go on at its end. It is
	// waited for without the turn: Deallocate must not wait for it.
	begin, err := d.images.Still(ctx, list[0].id)
	if err != nil {
		return err
	}
	defer begin()
	done, err := d.turnOf(ctx, &ref)
	if err != nil {
		return err
	}
	defer done()
	ctx, cancel := context.WithTimeout(ctx, makeTimeout)
	defer cancel()
	return d.bring(ctx, list[0].id, want, change)
}

// bring changes the state of a container until it is the wanted one.
func (d *driver) bring(ctx context.Context, id string, want container.ContainerState, change func(context.Context, string) error) error {
	for tries := 1; ; tries++ {
		err := change(ctx, id)
		if err == nil {
			return nil
		}
		c, lookErr := d.inspect(ctx, id)
		switch {
		case lookErr == nil && c.State.Status == want:
			return nil
		case cerrdefs.IsNotFound(lookErr): // it was removed while its turn was waited for
			return errNotRunning
		case lookErr != nil || tries == toggleTries || loop.Sleep(ctx, togglePause) != nil:
			return fmt.Errorf("bring container into state %s: %w", want, err)
		}
	}
}
