package replica

import "github.com/aquarium-fish/aquarium-fish/lib/model"

type wireResource struct {
	UID            model.UID           `json:"uid"`
	Application    model.UID           `json:"app"`
	Label          model.UID           `json:"label"`
	Node           model.UID           `json:"node"`
	Definition     int                 `json:"def"`
	Identifier     string              `json:"ident"`
	IPAddr         string              `json:"ip"`
	HWAddr         string              `json:"hw"`
	Authentication *wireAuthentication `json:"auth"`
	Metadata       verbatim            `json:"meta"`
	Created        nanos               `json:"created"`
	Updated        nanos               `json:"updated"`
	HLC            model.HLC           `json:"hlc"`
}

func (w wireResource) identified() bool {
	return w.UID != model.NilUID && w.Application != model.NilUID
}

// EncodeResource returns the body of a resource's row.
func EncodeResource(r model.Resource) ([]byte, error) {
	return encode("resource", wireResource{
		UID: r.UID, Application: r.ApplicationUID, Label: r.LabelUID, Node: r.NodeUID, Definition: r.DefinitionIndex,
		Identifier: r.Identifier, IPAddr: r.IPAddr, HWAddr: r.HWAddr,
		Authentication: (*wireAuthentication)(r.Authentication), Metadata: verbatim(r.Metadata),
		Created: toNanos(r.CreatedAt), Updated: toNanos(r.UpdatedAt), HLC: r.HLC,
	})
}

// DecodeResource reads the body of a resource's row.
func DecodeResource(body []byte) (model.Resource, error) {
	w, err := decode[wireResource]("resource", body)
	if err != nil {
		return model.Resource{}, err
	}
	return model.Resource{
		UID: w.UID, ApplicationUID: w.Application, LabelUID: w.Label, NodeUID: w.Node, DefinitionIndex: w.Definition,
		Identifier: w.Identifier, IPAddr: w.IPAddr, HWAddr: w.HWAddr,
		Authentication: (*model.Authentication)(w.Authentication), Metadata: w.Metadata.raw(),
		CreatedAt: w.Created.time(), UpdatedAt: w.Updated.time(), HLC: w.HLC,
	}, nil
}
