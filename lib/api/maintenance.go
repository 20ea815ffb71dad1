package api

import (
	"context"

	"github.com/aquarium-fish/aquarium-fish/lib/maintenance"
	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

// NodeThisMaintenance drains or stops this node, for the admin. A bad delay
// changes nothing (contract 18). The answer repeats what was given.
func (h *handlers) NodeThisMaintenance(
	ctx context.Context, r apiv1.NodeThisMaintenanceRequestObject,
) (apiv1.NodeThisMaintenanceResponseObject, error) {
	if err := needAdmin(ctx, "drain or stop the node"); err != nil {
		return nil, err
	}
	request := maintenance.Request{Enable: r.Params.Enable, Shutdown: r.Params.Shutdown, By: callerOf(ctx).Name}
	if text := r.Params.ShutdownDelay; text != nil {
		delay, err := maintenance.ParseDelay(*text)
		if err != nil {
			return nil, badRequest("Unable to change maintenance: %v", err)
		}
		request.Delay = &delay
	}
	if err := h.Maintenance.Apply(ctx, request); err != nil {
		return nil, err
	}
	return apiv1.NodeThisMaintenance200JSONResponse(r.Params), nil
}
