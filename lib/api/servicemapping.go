package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

func toServiceMapping(m model.ServiceMapping) apiv1.ServiceMapping {
	return apiv1.ServiceMapping{
		UID: m.UID, ApplicationUID: m.ApplicationUID, CreatedAt: m.CreatedAt, LocationName: m.LocationName,
		Redirect: m.Redirect, Service: m.Service,
	}
}

type serviceMappingList struct{ list[model.ServiceMapping] }

// VisitServiceMappingListResponse implements the generated answer.
func (l serviceMappingList) VisitServiceMappingListResponse(w http.ResponseWriter) error {
	return l.write(w)
}

// ServiceMappingList lists the service mappings, for the admin.
func (h *handlers) ServiceMappingList(
	ctx context.Context, r apiv1.ServiceMappingListRequestObject,
) (apiv1.ServiceMappingListResponseObject, error) {
	if err := needAdmin(ctx, "list service mappings"); err != nil {
		return nil, err
	}
	mappings := h.Store.ListServiceMappings(ctx, query(ctx, r.Params.Filter))
	return serviceMappingList{newList(h, "service mapping", mappings, toServiceMapping)}, nil
}

// ServiceMappingGet shows a service mapping, for the admin.
func (h *handlers) ServiceMappingGet(
	ctx context.Context, r apiv1.ServiceMappingGetRequestObject,
) (apiv1.ServiceMappingGetResponseObject, error) {
	if err := needAdmin(ctx, "see service mappings"); err != nil {
		return nil, err
	}
	m, ok := h.Store.ServiceMapping(r.UID)
	if !ok {
		return nil, &absence{
			of: r.UID, answer: notFound("Unable to find the ServiceMapping: %s", r.UID),
			here: func(context.Context) bool {
				_, ok := h.Store.ServiceMapping(r.UID)
				return ok
			},
		}
	}
	return apiv1.ServiceMappingGet200JSONResponse(toServiceMapping(m)), nil
}

// ServiceMappingCreate creates a service mapping: the admin for anything,
// others for their own application.
func (h *handlers) ServiceMappingCreate(
	ctx context.Context, r apiv1.ServiceMappingCreateRequestObject,
) (apiv1.ServiceMappingCreateResponseObject, error) {
	mapping := model.ServiceMapping{
		ApplicationUID: r.Body.ApplicationUID, LocationName: r.Body.LocationName, Service: r.Body.Service,
		Redirect: r.Body.Redirect,
	}
	if err := h.mayMap(ctx, mapping); err != nil {
		return nil, err
	}
	if err := mapping.Validate(); err != nil {
		return nil, badRequest("Unable to create service mapping: %v", err)
	}
	created, err := h.Store.CreateServiceMapping(ctx, mapping)
	switch {
	case errors.Is(err, store.ErrExists):
		return nil, badRequest("Unable to create service mapping: %q is mapped already for that application and location",
			mapping.Service)
	case err != nil:
		return nil, err
	}
	return apiv1.ServiceMappingCreate200JSONResponse(toServiceMapping(created)), nil
}

func (h *handlers) mayMap(ctx context.Context, m model.ServiceMapping) error {
	if callerOf(ctx).IsAdmin() {
		return nil
	}
	if m.ApplicationUID == model.NilUID {
		return badRequest("Only 'admin' user can create a service mapping for all applications, name one of yours in application_UID")
	}
	if _, err := h.application(ctx, m.ApplicationUID, badRequest); err != nil {
		return err
	}
	count := 0
	for _, other := range h.Store.ServiceMappings() {
		if other.ApplicationUID == m.ApplicationUID {
			count++
		}
	}
	if count >= maxMappings {
		return badRequest("Unable to create service mapping: the application has %d already, ask an admin for one that holds for more", count)
	}
	return nil
}

// maxMappings is how many mappings an application may have of its owner: each
// connection of every environment looks at them all.
const maxMappings = 256

// ServiceMappingDelete removes a service mapping, for the admin.
func (h *handlers) ServiceMappingDelete(
	ctx context.Context, r apiv1.ServiceMappingDeleteRequestObject,
) (apiv1.ServiceMappingDeleteResponseObject, error) {
	if err := needAdmin(ctx, "remove service mappings"); err != nil {
		return nil, err
	}
	removed, err := h.Store.DeleteServiceMapping(ctx, r.UID)
	if err == nil && !removed {
		err = h.unknown(ctx, r.UID)
	}
	if err != nil {
		return nil, err
	}
	return apiv1.ServiceMappingDelete200JSONResponse{Message: "ServiceMapping removed"}, nil
}
