// Package labelfile keeps labels in files: it reads them, compares them with
// those of a node by what they mean, says which have to be created, and writes
// labels so that they read back as the same. It asks no node.
package labelfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/aquarium-fish/aquarium-fish/lib/api/body"
	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

// Label is a label of a file or of a node.
type Label struct {
	Name string
	// Version is nil where a file leaves it to be chosen.
	Version     *int
	Definitions []apiv1.LabelDefinition
	Metadata    json.RawMessage // an object, or empty
	// Source says where it is from, for messages; empty for one of a node.
	Source string
}

// FromNode takes a label as the API shows it to the admin: others do not see
// its authentication.
func FromNode(l apiv1.Label) Label {
	version := l.Version
	return Label{Name: l.Name, Version: &version, Definitions: l.Definitions, Metadata: l.Metadata}
}

// Request is what creates the label in that version.
func (l Label) Request(version int) (apiv1.LabelRequest, error) {
	r := apiv1.LabelRequest{Name: l.Name, Version: version, Metadata: l.Metadata}
	text, err := json.Marshal(l.Definitions)
	if err == nil {
		err = json.Unmarshal(text, &r.Definitions)
	}
	if err != nil {
		return r, fmt.Errorf("label %q: %w", l.Name, err)
	}
	return r, nil
}

// Ref is how users name the label: NAME:VERSION, or NAME without a version.
func (l Label) Ref() string {
	if l.Version == nil {
		return l.Name
	}
	return fmt.Sprintf("%s:%d", l.Name, *l.Version)
}

// input is what a file may say of a label. What a node sets itself is taken
// and ignored, so that what the API shows can be used as a file.
type input struct {
	UID         json.RawMessage         `json:"UID"`
	CreatedAt   json.RawMessage         `json:"created_at"`
	Name        string                  `json:"name"`
	Version     *int                    `json:"version"`
	Definitions []apiv1.LabelDefinition `json:"definitions"`
	Metadata    json.RawMessage         `json:"metadata"`
}

// Parse reads the labels of a file: JSON if the name ends so or, where the
// name tells nothing, if the text begins so; else YAML. Unlike a node it
// refuses fields that it does not know: they are misspelt ones.
func Parse(file string, text []byte) ([]Label, error) {
	objects, err := body.Documents(mediaType(file, text), text)
	if err != nil {
		return nil, fmt.Errorf("%s %w", file, err)
	}
	if len(objects) == 0 {
		return nil, fmt.Errorf("%s holds no label", file)
	}
	labels := make([]Label, len(objects))
	for i, object := range objects {
		source := file
		if len(objects) > 1 {
			source = fmt.Sprintf("%s, label %d", file, i+1)
		}
		if labels[i], err = parseOne(object); err != nil {
			return nil, fmt.Errorf("%s: %w", source, err)
		}
		labels[i].Source = source
	}
	return labels, nil
}

func mediaType(file string, text []byte) string {
	trimmed := bytes.TrimSpace(text)
	switch ext := strings.ToLower(filepath.Ext(file)); {
	case ext == ".json", ext != ".yaml" && ext != ".yml" && len(trimmed) > 0 && (trimmed[0] == '{' || trimmed[0] == '['):
		return "application/json"
	}
	return "application/yaml"
}

func parseOne(object json.RawMessage) (Label, error) {
	dec := json.NewDecoder(bytes.NewReader(object))
	dec.DisallowUnknownFields()
	var in input
	if err := dec.Decode(&in); err != nil {
		if mistake, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return Label{}, fmt.Errorf("%s can't be a JSON %s", mistake.Field, mistake.Value)
		}
		return Label{}, errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	if in.Name == "" {
		return Label{}, errors.New("name can't be empty")
	}
	return Label{Name: in.Name, Version: in.Version, Definitions: in.Definitions, Metadata: in.Metadata}, nil
}
