package docker

import (
	"context"
	"encoding/json"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/claims"
	"github.com/aquarium-fish/aquarium-fish/drivers/docker/engine"
	"github.com/aquarium-fish/aquarium-fish/drivers/volume"
)

// RunTask implements drivers.Driver: `snapshot` and `image`. No turn is held
// meanwhile, as a task takes its time: one whose container is removed fails.
func (d *driver) RunTask(ctx context.Context, task drivers.TaskRequest) (json.RawMessage, error) {
	list, err := d.find(ctx, task.Ref)
	if err != nil {
		return nil, err
	}
	// Without a container a task that was done before still has its result.
	container := task.Ref.Identifier
	if len(list) > 0 {
		container = list[0].id
	} else if container == "" && claims.ValidToken(task.Ref.Token) {
		container = identifier(hwAddress(task.Ref.Token, 0))
	}
	req := engine.TaskRequest{
		UID: task.UID, Task: task.Task, When: task.When, Options: task.Options, Container: container, Disks: map[string]string{},
	}
	for _, k := range volume.Plan(task.Ref.Definition.Resources.Disks, d.disks.shelf, "") {
		if k.Type != volume.Raw { // a snapshot is of files
			req.Disks[k.Name] = target(k)
		}
	}
	if o, err := readOptions(task.Ref.Definition); err == nil {
		req.Images = o.images
	}
	return d.images.RunTask(ctx, req)
}

// fill lays the snapshots that disks are clones of out on them. The engine does
// it, in a container that was made and not started.
func (m *making) fill(ctx context.Context, id string) error {
	wanted := m.plan.req.Definition.Resources.Disks
	for _, k := range volume.Plan(wanted, m.disks.shelf, "") {
		clone := wanted[k.Name].Clone
		if clone == "" {
			continue
		}
		if err := m.images.FillDisk(ctx, clone, id, target(k)); err != nil {
			return err
		}
	}
	return nil
}
