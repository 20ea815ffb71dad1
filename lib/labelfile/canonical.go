package labelfile

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

// document is a label as a file shows it: what has its default is left out,
// keys of raw objects are sorted, numbers keep their text.
type document struct {
	Name        string          `json:"name"`
	Version     *int            `json:"version,omitempty"`
	Definitions []definition    `json:"definitions"`
	Metadata    json.RawMessage `json:"metadata,omitempty"`
}

type definition struct {
	Driver         string          `json:"driver"`
	Options        json.RawMessage `json:"options,omitempty"`
	Resources      resources       `json:"resources"`
	Authentication *authentication `json:"authentication,omitempty"`
}

type resources struct {
	CPU          uint            `json:"cpu"`
	RAM          uint            `json:"ram"`
	Disks        map[string]disk `json:"disks,omitempty"`
	Network      string          `json:"network,omitempty"`
	NodeFilter   []string        `json:"node_filter,omitempty"`
	Lifetime     string          `json:"lifetime,omitempty"`
	Multitenancy bool            `json:"multitenancy,omitempty"`
	CPUOverbook  bool            `json:"cpu_overbook,omitempty"`
	RAMOverbook  bool            `json:"ram_overbook,omitempty"`
}

type disk struct {
	Type  string `json:"type,omitempty"`
	Label string `json:"label,omitempty"`
	Size  uint   `json:"size,omitempty"`
	Reuse bool   `json:"reuse,omitempty"`
	Clone string `json:"clone,omitempty"`
}

type authentication struct {
	Username string `json:"username,omitempty"`
	Password string `json:"password,omitempty"`
	Port     int    `json:"port,omitempty"`
	Key      string `json:"key,omitempty"`
}

// MarshalJSON writes the label as a file shows it. Two labels mean the same
// exactly if they differ in nothing of it.
func (l Label) MarshalJSON() ([]byte, error) {
	d := document{Name: l.Name, Version: l.Version, Definitions: make([]definition, len(l.Definitions))}
	var err error
	if d.Metadata, err = sorted(l.Metadata); err != nil {
		return nil, fmt.Errorf("metadata: %w", err)
	}
	for i, def := range l.Definitions {
		if d.Definitions[i], err = toDefinition(def); err != nil {
			return nil, fmt.Errorf("definition %d: %w", i, err)
		}
	}
	return json.Marshal(d)
}

func toDefinition(d apiv1.LabelDefinition) (definition, error) {
	r := d.Resources
	out := definition{Driver: d.Driver, Resources: resources{
		CPU: r.CPU, RAM: r.RAM, Network: r.Network, NodeFilter: r.NodeFilter, Lifetime: r.Lifetime,
		Multitenancy: r.Multitenancy, CPUOverbook: r.CPUOverbook, RAMOverbook: r.RAMOverbook,
	}}
	for name, v := range r.Disks {
		if out.Resources.Disks == nil {
			out.Resources.Disks = map[string]disk{}
		}
		out.Resources.Disks[name] = disk{Type: v.Type, Label: v.Label, Size: v.Size, Reuse: v.Reuse, Clone: v.Clone}
	}
	if a := d.Authentication; a != nil {
		out.Authentication = &authentication{Username: a.Username, Password: a.Password, Port: a.Port, Key: a.Key}
	}
	var err error
	out.Options, err = sorted(d.Options)
	return out, err
}

// sorted returns a raw object with its keys in order at every level and the
// text of its numbers kept; the empty one, which is the default, as nothing.
func sorted(raw json.RawMessage) (json.RawMessage, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var value any
	if err := dec.Decode(&value); err != nil {
		return nil, fmt.Errorf("is not JSON: %w", err)
	}
	if object, ok := value.(map[string]any); value == nil || ok && len(object) == 0 {
		return nil, nil
	}
	return json.Marshal(value)
}

// Same reports whether the labels mean the same apart from their versions.
func Same(a, b Label) bool {
	a.Version, b.Version = nil, nil
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}
