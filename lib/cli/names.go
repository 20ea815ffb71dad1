package cli

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
	"github.com/aquarium-fish/aquarium-fish/openapi/client"
)

// parseUID reads the UID that a user gave; what names its kind in the error.
func parseUID(what, text string) (apiv1.UID, error) {
	uid, err := uuid.Parse(text)
	if err != nil {
		return uid, usagef("%q is no UID of %s: want one like 6f1ab1a8-2ce3-4e5d-a6a8-5d4b6a2d0c11", text, what)
	}
	return uid, nil
}

// quoted is a string literal of the filter language.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// labelName is how a label is called: name and version.
func labelName(l apiv1.Label) string { return fmt.Sprintf("%s:%d", l.Name, l.Version) }

// labelFilter selects the labels that NAME or NAME:VERSION may mean: a name can hold a colon itself.
func labelFilter(ref string) string {
	filter := "name=" + quoted(ref)
	if name, version, ok := splitLabel(ref); ok {
		filter += fmt.Sprintf(" OR (name=%s AND version=%d)", quoted(name), version)
	}
	return filter
}

// splitLabel cuts NAME:VERSION.
func splitLabel(ref string) (name string, version int, ok bool) {
	i := strings.LastIndexByte(ref, ':')
	if i <= 0 {
		return ref, 0, false
	}
	version, err := strconv.Atoi(ref[i+1:])
	return ref[:i], version, err == nil
}

// pickLabel returns the newest of the labels that have exactly this name, else the one of NAME:VERSION.
func pickLabel(labels []apiv1.Label, ref string) (apiv1.Label, bool) {
	named := slices.DeleteFunc(slices.Clone(labels), func(l apiv1.Label) bool { return l.Name != ref })
	if len(named) > 0 {
		return slices.MaxFunc(named, func(a, b apiv1.Label) int { return a.Version - b.Version }), true
	}
	i := slices.IndexFunc(labels, func(l apiv1.Label) bool { return labelName(l) == ref })
	if i < 0 {
		return apiv1.Label{}, false
	}
	return labels[i], true
}

// findLabel gets the label of a UID, of NAME:VERSION, or the newest one of NAME.
func findLabel(ctx context.Context, api client.ClientWithResponsesInterface, ref string) (apiv1.Label, error) {
	if uid, err := uuid.Parse(ref); err == nil {
		l, err := result(api.LabelGetWithResponse(ctx, uid))
		if err != nil {
			return apiv1.Label{}, err
		}
		return *l, nil
	}
	filter := labelFilter(ref)
	labels, err := result(api.LabelListWithResponse(ctx, &apiv1.LabelListParams{Filter: &filter}))
	if err != nil {
		return apiv1.Label{}, err
	}
	l, ok := pickLabel(*labels, ref)
	if !ok {
		return l, notFoundf("there is no label %q: 'aquarium-fish label list' shows those there are", ref)
	}
	return l, nil
}
