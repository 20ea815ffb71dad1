package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/aquarium-fish/aquarium-fish/lib/metadata"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

// toLabel shows how to log in to the environments to admins only (contract 32).
func toLabel(l model.Label, admin bool) apiv1.Label {
	definitions := make([]apiv1.LabelDefinition, len(l.Definitions))
	for i, d := range l.Definitions {
		definitions[i] = toDefinition(d)
		if !admin {
			definitions[i].Authentication = nil
		}
	}
	return apiv1.Label{
		UID: l.UID, CreatedAt: l.CreatedAt, Definitions: definitions, Metadata: orObject(l.Metadata), Name: l.Name,
		Version: l.Version,
	}
}

func toDefinition(d model.LabelDefinition) apiv1.LabelDefinition {
	r := d.Resources
	var disks map[string]apiv1.Disk
	if r.Disks != nil {
		disks = make(map[string]apiv1.Disk, len(r.Disks))
		for name, disk := range r.Disks {
			disks[name] = apiv1.Disk{Clone: disk.Clone, Label: disk.Label, Reuse: disk.Reuse, Size: disk.Size, Type: disk.Type}
		}
	}
	return apiv1.LabelDefinition{
		Authentication: toAuthentication(d.Authentication), Driver: d.Driver, Options: orObject(d.Options),
		Resources: apiv1.Resources{
			CPU: r.CPU, CPUOverbook: r.CPUOverbook, Disks: disks, Lifetime: r.Lifetime, Multitenancy: r.Multitenancy,
			Network: r.Network, NodeFilter: append([]string{}, r.NodeFilter...), RAM: r.RAM, RAMOverbook: r.RAMOverbook,
		},
	}
}

func toAuthentication(a *model.Authentication) *apiv1.Authentication {
	if a == nil {
		return nil
	}
	return &apiv1.Authentication{Key: a.Key, Password: a.Password, Port: a.Port, Username: a.Username}
}

// fromLabel fills in the defaults of contract 8.
func fromLabel(l apiv1.LabelRequest) model.Label {
	label := model.Label{Name: l.Name, Version: l.Version, Metadata: orObject(l.Metadata)}
	for _, d := range l.Definitions {
		label.Definitions = append(label.Definitions, fromDefinition(d))
	}
	return label
}

// fromDefinition fills in the defaults of contract 8.
func fromDefinition(d apiv1.LabelDefinition) model.LabelDefinition {
	r := d.Resources
	var disks map[string]model.Disk
	if r.Disks != nil {
		disks = make(map[string]model.Disk, len(r.Disks))
		for name, disk := range r.Disks {
			disks[name] = model.Disk{Clone: disk.Clone, Label: disk.Label, Reuse: disk.Reuse, Size: disk.Size, Type: disk.Type}
		}
	}
	def := model.LabelDefinition{
		Driver: d.Driver, Options: orObject(d.Options),
		Resources: model.Resources{
			CPU: r.CPU, CPUOverbook: r.CPUOverbook, Disks: disks, Lifetime: r.Lifetime, Multitenancy: r.Multitenancy,
			Network: r.Network, NodeFilter: append([]string{}, r.NodeFilter...), RAM: r.RAM, RAMOverbook: r.RAMOverbook,
		},
	}
	if a := d.Authentication; a != nil {
		def.Authentication = &model.Authentication{Key: a.Key, Password: a.Password, Port: a.Port, Username: a.Username}
	}
	return def
}

// orObject is the default of every raw JSON field: absent and null are {}.
func orObject(raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 || bytes.Equal(raw, []byte("null")) {
		return json.RawMessage("{}")
	}
	return raw
}

// isObject reports whether valid JSON is an object.
func isObject(raw json.RawMessage) bool {
	trimmed := bytes.TrimSpace(raw)
	return len(trimmed) > 0 && trimmed[0] == '{'
}

type labelList struct{ list[model.Label] }

// VisitLabelListResponse implements the generated answer.
func (l labelList) VisitLabelListResponse(w http.ResponseWriter) error { return l.write(w) }

// LabelList lists the labels.
func (h *handlers) LabelList(ctx context.Context, r apiv1.LabelListRequestObject) (apiv1.LabelListResponseObject, error) {
	admin := callerOf(ctx).IsAdmin()
	labels := h.Store.ListLabels(ctx, query(ctx, r.Params.Filter))
	return labelList{newList(h, "label", labels, func(l model.Label) apiv1.Label { return toLabel(l, admin) })}, nil
}

// LabelGet shows a label.
func (h *handlers) LabelGet(ctx context.Context, r apiv1.LabelGetRequestObject) (apiv1.LabelGetResponseObject, error) {
	l, ok := h.Store.Label(r.UID)
	if !ok {
		return nil, &absence{
			of: h.labelMaker(r.UID), answer: notFound("Unable to find the label: %s", r.UID),
			here: func(context.Context) bool {
				_, ok := h.Store.Label(r.UID)
				return ok
			},
		}
	}
	return apiv1.LabelGet200JSONResponse(toLabel(l, callerOf(ctx).IsAdmin())), nil
}

// labelMaker says who may know a label that is not here: nobody knows more of
// one that is known to be deleted.
func (h *handlers) labelMaker(uid model.UID) model.UID {
	if h.Store.LabelDeleted(uid) {
		return model.NilUID
	}
	return uid
}

// LabelDelete removes a label, for the admin.
func (h *handlers) LabelDelete(ctx context.Context, r apiv1.LabelDeleteRequestObject) (apiv1.LabelDeleteResponseObject, error) {
	if err := needAdmin(ctx, "remove labels"); err != nil {
		return nil, err
	}
	removed, err := h.Store.DeleteLabel(ctx, r.UID)
	if err == nil && !removed {
		err = h.unknown(ctx, h.labelMaker(r.UID))
	}
	if err != nil {
		return nil, err
	}
	return apiv1.LabelDelete200JSONResponse{Message: "Label removed"}, nil
}

// LabelCreate creates a label, for the admin.
func (h *handlers) LabelCreate(ctx context.Context, r apiv1.LabelCreateRequestObject) (apiv1.LabelCreateResponseObject, error) {
	if err := needAdmin(ctx, "create labels"); err != nil {
		return nil, err
	}
	label := fromLabel(*r.Body)
	if err := h.checkLabel(label); err != nil {
		return nil, badRequest("Unable to create label: %v", err)
	}
	created, err := h.Store.CreateLabel(ctx, label)
	switch {
	case errors.Is(err, store.ErrExists):
		return nil, badRequest("Unable to create label: %q has a version %d already, take a higher one", label.Name, label.Version)
	case err != nil:
		return nil, err
	}
	return apiv1.LabelCreate200JSONResponse(toLabel(created, true)), nil
}

// checkLabel makes the checks of contract 8 first. Then ours: raw fields that
// are no objects would break every client that lists labels, a wish for records
// that is misspelt would go unheard, and options that a driver of this node
// refuses would fail every application (contract 32).
func (h *handlers) checkLabel(l model.Label) error {
	if err := l.Validate(); err != nil {
		return err
	}
	if !isObject(l.Metadata) {
		return errors.New("metadata must be a JSON object")
	}
	if err := metadata.CheckLabel(l.Metadata); err != nil {
		return err
	}
	for i, d := range l.Definitions {
		if !isObject(d.Options) {
			return fmt.Errorf("definition %d: options must be a JSON object", i)
		}
		driver, known := h.Drivers.Get(d.Driver)
		if !known {
			continue // another node may have it
		}
		if err := driver.Validate(d); err != nil {
			return fmt.Errorf("definition %d: driver %s: %w", i, d.Driver, err)
		}
	}
	return nil
}
