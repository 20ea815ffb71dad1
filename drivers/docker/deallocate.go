package docker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/aquarium-fish/aquarium-fish/drivers"
)

// Deallocate implements drivers.Driver: container, disks, network. Each step may
// be repeated.
func (d *driver) Deallocate(ctx context.Context, ref drivers.Ref) error {
	done, err := d.turnOf(ctx, &ref)
	if err != nil {
		return err
	}
	defer done()
	list, err := d.find(ctx, ref)
	if err != nil {
		return err
	}
	for _, f := range list {
		d.stop(ctx, f)
		if err := d.remove(ctx, f); err != nil {
			return err
		}
	}
	if err := d.disks.remove(ctx, ref.Token); err != nil {
		return err
	}
	return d.networks.prune(ctx)
}

// turnOf waits until nobody else works on the environment, and adds to the
// reference the token that it has, if anything has one.
func (d *driver) turnOf(ctx context.Context, ref *drivers.Ref) (done func(), err error) {
	if ref.Token == "" {
		list, err := d.find(ctx, *ref)
		if err != nil {
			return nil, err
		}
		if len(list) > 0 {
			ref.Token = list[0].token
		}
	}
	return d.turns.Take(ctx, cmp.Or(strings.ToLower(ref.Token), ref.Identifier))
}

// stop asks the environment to end, and kills it when it has had its time. Where
// that does not succeed, the removal kills.
func (d *driver) stop(ctx context.Context, f found) {
	if rank(f.state) != 0 {
		return
	}
	call, cancel := context.WithTimeout(ctx, d.settings.StopGrace+lookTimeout)
	defer cancel()
	grace := d.settings.graceSeconds()
	_, err := d.engine.ContainerStop(call, f.id, client.ContainerStopOptions{Timeout: &grace})
	if err != nil && !cerrdefs.IsNotFound(err) && ctx.Err() == nil {
		d.log.Warn("container can not be stopped, it is killed", "identifier", f.name, "error", err)
	}
}

// remove returns when a container is gone, with the volumes that were made for it.
func (d *driver) remove(ctx context.Context, f found) error {
	ctx, cancel := context.WithTimeout(ctx, makeTimeout)
	defer cancel()
	_, err := d.engine.ContainerRemove(ctx, f.id, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
	if err == nil || cerrdefs.IsNotFound(err) {
		return nil
	}
	c, lookErr := d.inspect(ctx, f.id)
	if cerrdefs.IsNotFound(lookErr) {
		return nil
	}
	if lookErr != nil || c.State.Status != container.StateRemoving {
		return fmt.Errorf("remove container: %w", errors.Join(err, lookErr))
	}
	return d.removed(ctx, f.id)
}

// removed waits for the end of a removal that somebody else began.
func (d *driver) removed(ctx context.Context, id string) error {
	if err := d.wait(ctx, id, container.WaitConditionRemoved); err != nil {
		return err
	}
	_, err := d.inspect(ctx, id)
	if err == nil {
		return errors.New("remove container: its removal by somebody else has failed")
	}
	if cerrdefs.IsNotFound(err) {
		return nil
	}
	return err
}
