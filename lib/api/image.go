package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/pull"
	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

// Images are those that the driver instances of this node keep. None of its
// methods waits for long.
type Images interface {
	List(ctx context.Context) pull.Listing
	PullLabel(label model.Label, by string) ([]pull.Status, error)
	Remove(ctx context.Context, instance, id string) error
}

// NodeThisImagePull checks the body.
func (g guard) NodeThisImagePull(w http.ResponseWriter, r *http.Request) {
	if g.takeBody(w, r, keyMessage) {
		w.(*exchange).bodyUID = "label_UID" //nolint:forcetypeassert // ServeHTTP made it
		g.ServerInterface.NodeThisImagePull(w, r)
	}
}

// What only the admin may do with images.
const listingImages, pullingImages, removingImages = "list images", "pull images", "remove images"

// NodeThisImageList lists the images of this node and what is on its way, for
// the admin.
func (h *handlers) NodeThisImageList(
	ctx context.Context, _ apiv1.NodeThisImageListRequestObject,
) (apiv1.NodeThisImageListResponseObject, error) {
	if err := needAdmin(ctx, listingImages); err != nil {
		return nil, err
	}
	listing := h.Images.List(ctx)
	answer := apiv1.NodeImages{Images: []apiv1.NodeImage{}, Pulls: toPulls(listing.Pulls), Errors: []apiv1.ImageError{}}
	for _, i := range listing.Images {
		answer.Images = append(answer.Images, toImage(i))
	}
	for _, e := range listing.Errors {
		answer.Errors = append(answer.Errors, apiv1.ImageError{Instance: e.Instance, Error: e.Reason})
	}
	return apiv1.NodeThisImageList200JSONResponse(answer), nil
}

// NodeThisImagePull begins to fetch the images of a label, for the admin.
func (h *handlers) NodeThisImagePull(
	ctx context.Context, r apiv1.NodeThisImagePullRequestObject,
) (apiv1.NodeThisImagePullResponseObject, error) {
	if err := needAdmin(ctx, pullingImages); err != nil {
		return nil, err
	}
	if r.Body.LabelUID == model.NilUID {
		return nil, badRequest("Unable to pull images: label_UID can't be empty")
	}
	label, ok := h.labelThatComes(ctx, r.Body.LabelUID)
	if !ok {
		return nil, badRequest("Unable to find the Label: %s", r.Body.LabelUID)
	}
	pulls, err := h.Images.PullLabel(label, callerOf(ctx).Name)
	refused, isRefused := errors.AsType[*pull.RefusedError](err)
	switch {
	case isRefused:
		status := http.StatusServiceUnavailable
		if refused.Lasting() {
			status = http.StatusConflict
		}
		return nil, &failure{status: status, message: fmt.Sprintf("Unable to pull images of label %s to this node: %v",
			labelName(label.Name, label.Version), refused)}
	case errors.Is(err, pull.ErrCrowded), errors.Is(err, pull.ErrStopping):
		return nil, &failure{status: http.StatusServiceUnavailable, message: "Unable to pull images: " + err.Error(), retryAfter: busyRetry}
	case err != nil: // its instance went away between the look and the pull
		return nil, badRequest("Unable to pull images: %v", err)
	}
	return apiv1.NodeThisImagePull200JSONResponse(toPulls(pulls)), nil
}

// labelThatComes returns a label; of one that another member made, and that may
// be about to arrive, it waits a moment for it. The request itself is not sent
// there: it is this node that pulls.
func (h *handlers) labelThatComes(ctx context.Context, uid model.UID) (model.Label, bool) {
	if label, ok := h.Store.Label(uid); ok {
		return label, true
	}
	if _, other := h.otherMaker(h.labelMaker(uid)); !other {
		return model.Label{}, false
	}
	ctx, cancel := context.WithTimeout(ctx, askBudget)
	defer cancel()
	h.comes(ctx, func(context.Context) bool { _, ok := h.Store.Label(uid); return ok })
	return h.Store.Label(uid)
}

// NodeThisImageRemove removes an image, for the admin.
func (h *handlers) NodeThisImageRemove(
	ctx context.Context, r apiv1.NodeThisImageRemoveRequestObject,
) (apiv1.NodeThisImageRemoveResponseObject, error) {
	if err := needAdmin(ctx, removingImages); err != nil {
		return nil, err
	}
	instance, id := r.Params.Instance, r.Params.ID
	err := h.Images.Remove(ctx, instance, id)
	absent, isAbsent := errors.AsType[*pull.InstanceError](err)
	switch {
	case err == nil:
		return apiv1.NodeThisImageRemove200JSONResponse{Message: "Image removed"}, nil
	case isAbsent:
		return nil, notFound("Unable to find the image: %v", absent)
	case errors.Is(err, drivers.ErrImageUnknown):
		return nil, notFound("Unable to find the image: driver %s has none with the ID %q: `aquarium-fish image list` shows those there are", instance, id)
	case errors.Is(err, drivers.ErrImageInUse):
		return nil, badRequest("Unable to remove the image %q: an environment needs it, or it is on its way: "+
			"try again when nothing does any more (%v)", id, err)
	case errors.Is(err, pull.ErrGoesOn), errors.Is(err, pull.ErrStopping):
		return nil, &failure{status: http.StatusServiceUnavailable, message: "Unable to tell whether the image is removed: " + err.Error()}
	case errors.Is(err, pull.ErrBusy):
		return nil, &failure{status: http.StatusServiceUnavailable, message: "Unable to remove the image: " + err.Error(), retryAfter: busyRetry}
	case ctx.Err() != nil:
		return nil, err
	}
	return nil, badRequest("Unable to remove the image %q: %v", id, err)
}

func toImage(i pull.Image) apiv1.NodeImage {
	return apiv1.NodeImage{
		Instance: i.Instance, ID: i.ID, Name: i.Name, Version: i.Version, Source: i.Source, State: string(i.State),
		Done: i.Done, Total: i.Total, Size: i.Size, UsedAt: orNever(i.UsedAt), InUse: i.InUse, Error: i.Error,
	}
}

func toPulls(list []pull.Status) []apiv1.ImagePull {
	views := make([]apiv1.ImagePull, len(list))
	for n, s := range list {
		views[n] = apiv1.ImagePull{
			Instance: s.Instance, LabelUID: s.LabelUID, LabelName: s.LabelName, LabelVersion: s.LabelVersion, DefinitionIndex: s.Definition,
			By: s.By, State: string(s.State), StartedAt: s.StartedAt.UTC(), EndedAt: orNever(s.EndedAt), Error: s.Error,
		}
	}
	return views
}
