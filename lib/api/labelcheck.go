package api

import (
	"context"
	"fmt"

	"github.com/aquarium-fish/aquarium-fish/lib/election"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

// LabelCheck makes the checks of LabelCreate and creates nothing, for the
// admin.
func (h *handlers) LabelCheck(ctx context.Context, r apiv1.LabelCheckRequestObject) (apiv1.LabelCheckResponseObject, error) {
	if err := needAdmin(ctx, "check labels"); err != nil {
		return nil, err
	}
	label := fromLabel(*r.Body)
	if err := h.checkLabel(label); err != nil {
		return nil, badRequest("Unable to create label: %v", err)
	}
	warnings := warnings(label, h.Store.Labels(), h.Election.Misfits(label))
	return apiv1.LabelCheck200JSONResponse{Warnings: warnings}, nil
}

// warnings are what may surprise whoever creates the label, given the labels
// that there are and what speaks against its definitions on the known nodes.
func warnings(label model.Label, existing []model.Label, misfits [][]election.Refusal) []string {
	list := []string{}
	newest, known := 0, false
	for _, l := range existing {
		if l.Name != label.Name {
			continue
		}
		if l.Version == label.Version {
			list = append(list, fmt.Sprintf("%q has a version %d already: take a higher one to create it", l.Name, l.Version))
		}
		if !known || l.Version > newest {
			newest, known = l.Version, true
		}
	}
	if known && newest > label.Version {
		list = append(list, fmt.Sprintf("%q has a newer version %d: whoever takes the newest will not get this one", label.Name, newest))
	}
	if len(label.Definitions) == 0 {
		list = append(list, "there are no definitions: no node can ever run it")
	}
	for i, refusals := range misfits {
		for _, r := range refusals {
			list = append(list, fmt.Sprintf("definition %d: %s", i, r.Reason))
		}
	}
	return list
}
