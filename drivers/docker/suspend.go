package docker

import (
	"context"
	"fmt"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/aquarium-fish/aquarium-fish/drivers"
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
	err = change(ctx, list[0].id)
	if err == nil {
		return nil
	}
	c, lookErr := d.inspect(ctx, list[0].id)
	switch {
	case lookErr == nil && c.State.Status == want:
		return nil
	case cerrdefs.IsNotFound(lookErr): // it was removed while its turn was waited for
		return errNotRunning
	}
	return fmt.Errorf("bring container into state %s: %w", want, err)
}
