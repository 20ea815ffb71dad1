package api

import (
	"context"
	"net/http"

	"github.com/aquarium-fish/aquarium-fish/lib/metadata"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

// toResource shows no key that is reserved for the node's own words to an
// environment, whoever wrote it: those of older nodes may have some.
func toResource(r model.Resource) apiv1.Resource {
	return apiv1.Resource{
		UID: r.UID, ApplicationUID: r.ApplicationUID, Authentication: toAuthentication(r.Authentication),
		CreatedAt: r.CreatedAt, DefinitionIndex: r.DefinitionIndex, HWAddr: r.HWAddr, Identifier: r.Identifier,
		IPAddr: r.IPAddr, LabelUID: r.LabelUID, Metadata: orObject(metadata.Public(r.Metadata)), NodeUID: r.NodeUID, UpdatedAt: r.UpdatedAt,
	}
}

type resourceList struct{ list[model.Resource] }

// VisitResourceListResponse implements the generated answer.
func (l resourceList) VisitResourceListResponse(w http.ResponseWriter) error { return l.write(w) }

// ResourceList lists the resources, for the admin.
func (h *handlers) ResourceList(
	ctx context.Context, r apiv1.ResourceListRequestObject,
) (apiv1.ResourceListResponseObject, error) {
	if err := needAdmin(ctx, "list resources"); err != nil {
		return nil, err
	}
	resources := h.Store.ListResources(ctx, query(ctx, r.Params.Filter))
	return resourceList{newList(h, "resource", resources, toResource)}, nil
}

// ResourceGet shows a resource, for the admin.
func (h *handlers) ResourceGet(
	ctx context.Context, r apiv1.ResourceGetRequestObject,
) (apiv1.ResourceGetResponseObject, error) {
	if err := needAdmin(ctx, "see resources"); err != nil {
		return nil, err
	}
	resource, _, ok := h.Store.Resource(r.UID)
	if !ok {
		return nil, h.resourceAbsent(r.UID)
	}
	return apiv1.ResourceGet200JSONResponse(toResource(resource)), nil
}

// resourceAbsent is the error for a Resource that is not here.
func (h *handlers) resourceAbsent(uid model.UID) error {
	return &absence{of: uid, here: h.hasResource(uid), answer: notFound("Unable to find the Resource: %s", uid)}
}

func (h *handlers) hasResource(uid model.UID) func(context.Context) bool {
	return func(context.Context) bool {
		_, _, ok := h.Store.Resource(uid)
		return ok
	}
}
