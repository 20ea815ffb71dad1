package docker

import (
	"context"
	"fmt"

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
	done, err := d.turnOf(ctx, &ref)
	if err != nil {
		return err
	}
	defer done()
	list, err := d.find(ctx, ref)
	if err != nil {
		return err
	}
	if len(list) == 0 || rank(list[0].state) != 0 {
		return errNotRunning
	}
	ctx, cancel := context.WithTimeout(ctx, makeTimeout)
	defer cancel()
	err = change(ctx, list[0].id)
	if err == nil {
		return nil
	}
	if c, lookErr := d.inspect(ctx, list[0].id); lookErr == nil && c.State.Status == want {
		return nil
	}
	return fmt.Errorf("bring container into state %s: %w", want, err)
}
