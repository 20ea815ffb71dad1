package api

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/crypt"
	"github.com/aquarium-fish/aquarium-fish/lib/election"
	"github.com/aquarium-fish/aquarium-fish/lib/metadata"
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
	warnings = append(warnings, strangeMetadata(label)...)
	for i, def := range label.Definitions {
		warnings = append(warnings, h.strangeOptions(i, def)...)
		warnings = append(warnings, uselessKey(i, def)...)
	}
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

// strangeMetadata warns of keys that no environment finds among its variables.
func strangeMetadata(label model.Label) (list []string) {
	flat, err := metadata.Environment(label.Metadata, label.Metadata)
	if err != nil {
		return nil // checkLabel has said so
	}
	for _, drop := range flat.Dropped {
		list = append(list, fmt.Sprintf("metadata key %q makes no variable: %s", drop.Key, drop.Reason))
	}
	return list
}

// uselessKey warns of a key by which the SSH proxy can let nobody in. It is no
// error: contract 8 takes it, and who logs in without the proxy may be able to
// use it.
func uselessKey(index int, def model.LabelDefinition) []string {
	if def.Authentication == nil || def.Authentication.Key == "" {
		return nil
	}
	if _, err := crypt.ReadSSHLogin(def.Authentication.Key); err != nil {
		return []string{fmt.Sprintf("definition %d: the SSH proxy lets nobody in, as it can not use the key of the authentication: %v", index, err)}
	}
	return nil
}

// strangeOptions warns of a definition's options that its driver does not read.
// They are no error, as labels outlive drivers, but a misspelt `read_only` is
// not read-only.
func (h *handlers) strangeOptions(index int, def model.LabelDefinition) (list []string) {
	driver, _ := h.Drivers.Get(def.Driver)
	namer, ok := driver.(drivers.OptionNamer)
	if !ok {
		return nil
	}
	var given map[string]json.RawMessage
	if len(def.Options) > 0 && json.Unmarshal(def.Options, &given) != nil {
		return nil // the driver has said so
	}
	known := namer.OptionNames()
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if !slices.Contains(known, strings.ToLower(name)) {
			list = append(list, fmt.Sprintf("definition %d: driver %s has no option %q and ignores it; known are %s",
				index, def.Driver, name, strings.Join(known, ", ")))
		}
	}
	return list
}
