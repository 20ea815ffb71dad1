package api

import (
	"context"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

// NodeThisDrivers lists the driver instances of this node, for the admin.
func (h *handlers) NodeThisDrivers(
	ctx context.Context, _ apiv1.NodeThisDriversRequestObject,
) (apiv1.NodeThisDriversResponseObject, error) {
	if err := needAdmin(ctx, "list driver instances"); err != nil {
		return nil, err
	}
	list := apiv1.NodeThisDrivers200JSONResponse{}
	for _, s := range h.Drivers.Status() {
		list = append(list, h.toInstance(s))
	}
	return list, nil
}

func (h *handlers) toInstance(s drivers.InstanceStatus) apiv1.DriverInstance {
	used := h.Ledger.InUse(s.Name)
	instance := apiv1.DriverInstance{
		Name: s.Name, Driver: s.Driver, State: string(s.State), Since: s.Since.UTC(), Retries: s.Retries,
		LastError: s.LastError, NextRetry: orNever(s.NextRetry),
		InUse: apiv1.DriverUsage{Environments: used.Environments, CPU: used.CPU, RAM: used.RAM, Disk: used.Disk},
	}
	if d, ready := h.Drivers.Get(s.Name); ready {
		l := d.Limits()
		instance.Limits = &apiv1.DriverLimits{
			CPU: l.CPU, RAM: l.RAM, CPUOverbook: l.CPUOverbook, RAMOverbook: l.RAMOverbook, Remote: l.Remote,
		}
		if unwell, ok := d.(drivers.Unwell); ok {
			if err := unwell.Trouble(); err != nil {
				instance.LastError = err.Error()
			}
		}
		if holder, ok := d.(drivers.DiskHolder); ok {
			if room, err := holder.DiskRoom(); err == nil { // else it is not counted, and votes tell why
				instance.Limits.Disk = room.Free
			}
		}
	}
	return instance
}

// orNever leaves the zero time out of an answer.
func orNever(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
