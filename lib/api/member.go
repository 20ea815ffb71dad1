package api

import (
	"context"
	"net/http"
	"time"

	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

// The routes of a named member are those of `this` on that member: here they
// are only sent there.

// MemberDrainSet checks the body.
func (g guard) MemberDrainSet(w http.ResponseWriter, r *http.Request, node apiv1.Member) {
	if g.takeBody(w, r, keyMessage) {
		g.ServerInterface.MemberDrainSet(w, r, node)
	}
}

// MemberImagePull checks the body.
func (g guard) MemberImagePull(w http.ResponseWriter, r *http.Request, node apiv1.Member) {
	if g.takeBody(w, r, keyMessage) {
		w.(*exchange).bodyUID = "label_UID" //nolint:forcetypeassert // ServeHTTP made it
		g.ServerInterface.MemberImagePull(w, r, node)
	}
}

// MemberMaintenance checks where the request comes from.
func (g guard) MemberMaintenance(w http.ResponseWriter, r *http.Request, node apiv1.Member, params apiv1.MemberMaintenanceParams) {
	if g.sameSite(w, r) {
		g.ServerInterface.MemberMaintenance(w, r, node, params)
	}
}

// atMember sends the admin's request to the member; doing completes the
// sentence that refuses others.
func atMember(ctx context.Context, ref, doing string) error {
	if err := needAdmin(ctx, doing); err != nil {
		return err
	}
	return &memberWanted{ref: ref, budget: orderBudget}
}

// MemberDrivers lists the driver instances of a member, for the admin.
func (h *handlers) MemberDrivers(
	ctx context.Context, r apiv1.MemberDriversRequestObject,
) (apiv1.MemberDriversResponseObject, error) {
	return nil, atMember(ctx, r.Node, "list driver instances")
}

// MemberDrainGet shows the maintenance state of a member, to the admin.
func (h *handlers) MemberDrainGet(
	ctx context.Context, r apiv1.MemberDrainGetRequestObject,
) (apiv1.MemberDrainGetResponseObject, error) {
	return nil, atMember(ctx, r.Node, "see whether the node is drained")
}

// MemberDrainSet drains a member or puts it back to work, for the admin.
func (h *handlers) MemberDrainSet(
	ctx context.Context, r apiv1.MemberDrainSetRequestObject,
) (apiv1.MemberDrainSetResponseObject, error) {
	return nil, atMember(ctx, r.Node, "drain the node")
}

// MemberMaintenance drains or stops a member, for the admin.
func (h *handlers) MemberMaintenance(
	ctx context.Context, r apiv1.MemberMaintenanceRequestObject,
) (apiv1.MemberMaintenanceResponseObject, error) {
	return nil, atMember(ctx, r.Node, "drain or stop the node")
}

// MemberProfilingIndex shows the profiles of a member, to the admin.
func (h *handlers) MemberProfilingIndex(
	ctx context.Context, r apiv1.MemberProfilingIndexRequestObject,
) (apiv1.MemberProfilingIndexResponseObject, error) {
	return nil, atMember(ctx, r.Node, "profile the node")
}

// MemberProfilingGet takes a profile of a member, for the admin.
func (h *handlers) MemberProfilingGet(
	ctx context.Context, r apiv1.MemberProfilingGetRequestObject,
) (apiv1.MemberProfilingGetResponseObject, error) {
	if err := needAdmin(ctx, "profile the node"); err != nil {
		return nil, err
	}
	if err := checkSeconds(r.Params.Seconds); err != nil {
		return nil, err
	}
	return nil, &memberWanted{r.Node, time.Duration(r.Params.Seconds*float64(time.Second)) + profileSlack}
}

// MemberImageList lists the images of a member, for the admin.
func (h *handlers) MemberImageList(
	ctx context.Context, r apiv1.MemberImageListRequestObject,
) (apiv1.MemberImageListResponseObject, error) {
	return nil, atMember(ctx, r.Node, listingImages)
}

// MemberImagePull pulls images to a member, for the admin.
func (h *handlers) MemberImagePull(
	ctx context.Context, r apiv1.MemberImagePullRequestObject,
) (apiv1.MemberImagePullResponseObject, error) {
	return nil, atMember(ctx, r.Node, pullingImages)
}

// MemberImageRemove removes an image of a member, for the admin.
func (h *handlers) MemberImageRemove(
	ctx context.Context, r apiv1.MemberImageRemoveRequestObject,
) (apiv1.MemberImageRemoveResponseObject, error) {
	return nil, atMember(ctx, r.Node, removingImages)
}
