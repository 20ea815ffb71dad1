package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/aquarium-fish/aquarium-fish/lib/maintenance"
	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

// NodeThisDrainSet checks the body.
func (g guard) NodeThisDrainSet(w http.ResponseWriter, r *http.Request) {
	if g.takeBody(w, r, keyMessage) {
		g.ServerInterface.NodeThisDrainSet(w, r)
	}
}

// NodeThisDrainGet shows the maintenance state, to the admin.
func (h *handlers) NodeThisDrainGet(
	ctx context.Context, _ apiv1.NodeThisDrainGetRequestObject,
) (apiv1.NodeThisDrainGetResponseObject, error) {
	if err := needAdmin(ctx, "see whether the node is drained"); err != nil {
		return nil, err
	}
	return apiv1.NodeThisDrainGet200JSONResponse(toDrain(h.Maintenance.Drain())), nil
}

// NodeThisDrainSet drains this node or puts it back to work, for the admin.
func (h *handlers) NodeThisDrainSet(
	ctx context.Context, r apiv1.NodeThisDrainSetRequestObject,
) (apiv1.NodeThisDrainSetResponseObject, error) {
	if err := needAdmin(ctx, "drain the node"); err != nil {
		return nil, err
	}
	switch {
	case r.Body == nil || r.Body.Enable == nil:
		return nil, badRequest("Unable to drain: enable is missing, give true to drain the node and false to put it back to work")
	case !*r.Body.Enable && r.Body.Persist:
		return nil, badRequest("Unable to drain: persist keeps a drain over a restart, so it goes with enable: true only")
	}
	drain, err := h.Maintenance.SetDrain(ctx, *r.Body.Enable, r.Body.Persist, callerOf(ctx).Name)
	if errors.Is(err, maintenance.ErrShutdownOrdered) {
		return nil, badRequest("Unable to end the drain: a shutdown is ordered and would then stop the node at once, "+
			"cancel it first: GET %s/node/this/maintenance?shutdown=false", root)
	}
	if err != nil {
		return nil, err
	}
	return apiv1.NodeThisDrainSet200JSONResponse(toDrain(drain)), nil
}

func toDrain(d maintenance.Drain) apiv1.NodeDrain {
	view := apiv1.NodeDrain{By: d.By, Enabled: d.On, Persistent: d.Persistent, Running: d.Running, Shutdown: d.Shutdown}
	if d.On {
		view.Since = &d.Since
	}
	return view
}
