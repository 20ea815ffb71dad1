package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

func toLocation(l model.Location) apiv1.Location {
	return apiv1.Location{CreatedAt: l.CreatedAt, Description: l.Description, Name: l.Name}
}

type locationList struct{ list[model.Location] }

// VisitLocationListResponse implements the generated answer.
func (l locationList) VisitLocationListResponse(w http.ResponseWriter) error { return l.write(w) }

// LocationList lists the locations, for the admin.
func (h *handlers) LocationList(
	ctx context.Context, r apiv1.LocationListRequestObject,
) (apiv1.LocationListResponseObject, error) {
	if err := needAdmin(ctx, "list locations"); err != nil {
		return nil, err
	}
	locations := h.Store.ListLocations(ctx, query(ctx, r.Params.Filter))
	return locationList{newList(h, "location", locations, toLocation)}, nil
}

// LocationCreate creates a location, for the admin.
func (h *handlers) LocationCreate(
	ctx context.Context, r apiv1.LocationCreateRequestObject,
) (apiv1.LocationCreateResponseObject, error) {
	if err := needAdmin(ctx, "create locations"); err != nil {
		return nil, err
	}
	location := model.Location{Name: r.Body.Name, Description: r.Body.Description}
	if err := location.Validate(); err != nil {
		return nil, badRequest("Unable to create location: %v", err)
	}
	created, err := h.Store.PutLocation(ctx, location)
	switch {
	case errors.Is(err, store.ErrExists):
		return nil, badRequest("Unable to create location: there is one named %q already", location.Name)
	case err != nil:
		return nil, err
	}
	return apiv1.LocationCreate200JSONResponse(toLocation(created)), nil
}
