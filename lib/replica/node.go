package replica

import "github.com/aquarium-fish/aquarium-fish/lib/model"

type wireNode struct {
	UID        model.UID `json:"uid"`
	Name       string    `json:"name"`
	Address    string    `json:"addr"`
	Location   string    `json:"loc"`
	Pubkey     []byte    `json:"key"`
	Definition verbatim  `json:"def"`
	Created    nanos     `json:"created"`
	Updated    nanos     `json:"updated"`
	HLC        model.HLC `json:"hlc"`
}

func (w wireNode) identified() bool { return w.UID != model.NilUID }

// EncodeNode returns the body of a node's row.
func EncodeNode(n model.Node) ([]byte, error) {
	return encode("node", wireNode{
		UID: n.UID, Name: n.Name, Address: n.Address, Location: n.LocationName, Pubkey: n.Pubkey,
		Definition: verbatim(n.Definition), Created: toNanos(n.CreatedAt), Updated: toNanos(n.UpdatedAt), HLC: n.HLC,
	})
}

// DecodeNode reads the body of a node's row.
func DecodeNode(body []byte) (model.Node, error) {
	w, err := decode[wireNode]("node", body)
	if err != nil {
		return model.Node{}, err
	}
	return model.Node{
		UID: w.UID, Name: w.Name, Address: w.Address, LocationName: w.Location, Pubkey: w.Pubkey,
		Definition: w.Definition.raw(), CreatedAt: w.Created.time(), UpdatedAt: w.Updated.time(), HLC: w.HLC,
	}, nil
}
