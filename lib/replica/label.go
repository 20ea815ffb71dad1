package replica

import "github.com/aquarium-fish/aquarium-fish/lib/model"

type wireLabel struct {
	UID         model.UID        `json:"uid"`
	Name        string           `json:"name"`
	Version     int              `json:"ver"`
	Definitions []wireDefinition `json:"defs"`
	Metadata    verbatim         `json:"meta"`
	Created     nanos            `json:"created"`
	HLC         model.HLC        `json:"hlc"`
}

type wireDefinition struct {
	Driver         string              `json:"driver"`
	Options        verbatim            `json:"opts"`
	Resources      wireResources       `json:"res"`
	Authentication *wireAuthentication `json:"auth,omitempty"`
}

type wireResources struct {
	CPU          uint                `json:"cpu"`
	RAM          uint                `json:"ram"`
	Disks        map[string]wireDisk `json:"disks"`
	Network      string              `json:"net"`
	NodeFilter   []string            `json:"filter"`
	Multitenancy bool                `json:"multi"`
	CPUOverbook  bool                `json:"cpuover"`
	RAMOverbook  bool                `json:"ramover"`
	Lifetime     string              `json:"life"`
}

type wireDisk struct {
	Type  string `json:"type"`
	Label string `json:"label"`
	Size  uint   `json:"size"`
	Reuse bool   `json:"reuse"`
	Clone string `json:"clone"`
}

type wireAuthentication struct {
	Username string `json:"user"`
	Password string `json:"pass"`
	Port     int    `json:"port"`
	Key      string `json:"key"`
}

func (w wireLabel) identified() bool { return w.UID != model.NilUID }

// EncodeLabel returns the body of a label's row.
func EncodeLabel(l model.Label) ([]byte, error) {
	return encode("label", wireLabel{
		UID: l.UID, Name: l.Name, Version: l.Version, Definitions: each(l.Definitions, toWireDefinition),
		Metadata: verbatim(l.Metadata), Created: toNanos(l.CreatedAt), HLC: l.HLC,
	})
}

// DecodeLabel reads the body of a label's row.
func DecodeLabel(body []byte) (model.Label, error) {
	w, err := decode[wireLabel]("label", body)
	if err != nil {
		return model.Label{}, err
	}
	return model.Label{
		UID: w.UID, Name: w.Name, Version: w.Version, Definitions: each(w.Definitions, wireDefinition.model),
		Metadata: w.Metadata.raw(), CreatedAt: w.Created.time(), HLC: w.HLC,
	}, nil
}

func toWireDefinition(d model.LabelDefinition) wireDefinition {
	return wireDefinition{
		Driver: d.Driver, Options: verbatim(d.Options), Resources: toWireResources(d.Resources),
		Authentication: (*wireAuthentication)(d.Authentication),
	}
}

func (w wireDefinition) model() model.LabelDefinition {
	return model.LabelDefinition{
		Driver: w.Driver, Options: w.Options.raw(), Resources: w.Resources.model(),
		Authentication: (*model.Authentication)(w.Authentication),
	}
}

func toWireResources(r model.Resources) wireResources {
	return wireResources{
		CPU: r.CPU, RAM: r.RAM, Disks: eachValue(r.Disks, func(d model.Disk) wireDisk { return wireDisk(d) }),
		Network: r.Network, NodeFilter: r.NodeFilter, Multitenancy: r.Multitenancy, CPUOverbook: r.CPUOverbook,
		RAMOverbook: r.RAMOverbook, Lifetime: r.Lifetime,
	}
}

func (w wireResources) model() model.Resources {
	return model.Resources{
		CPU: w.CPU, RAM: w.RAM, Disks: eachValue(w.Disks, func(d wireDisk) model.Disk { return model.Disk(d) }),
		Network: w.Network, NodeFilter: w.NodeFilter, Multitenancy: w.Multitenancy, CPUOverbook: w.CPUOverbook,
		RAMOverbook: w.RAMOverbook, Lifetime: w.Lifetime,
	}
}

// each converts a list; none stays none, because v1 shows the difference.
func each[A, B any](list []A, convert func(A) B) []B {
	if list == nil {
		return nil
	}
	out := make([]B, len(list))
	for i, a := range list {
		out[i] = convert(a)
	}
	return out
}

// eachValue converts a map like each.
func eachValue[A, B any](m map[string]A, convert func(A) B) map[string]B {
	if m == nil {
		return nil
	}
	out := make(map[string]B, len(m))
	for k, a := range m {
		out[k] = convert(a)
	}
	return out
}
