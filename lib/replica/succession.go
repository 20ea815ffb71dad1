package replica

import "github.com/aquarium-fish/aquarium-fish/lib/model"

type wireRetirement struct {
	Node      model.UID `json:"node"`
	Successor model.UID `json:"succ"`
	Forced    bool      `json:"forced"`
	By        string    `json:"by"`
	Created   nanos     `json:"created"`
	HLC       model.HLC `json:"hlc"`
}

func (w wireRetirement) identified() bool { return w.Node != model.NilUID }

// EncodeRetirement returns the body of a retirement's row.
func EncodeRetirement(r model.Retirement) ([]byte, error) {
	return encode("retirement", wireRetirement{
		Node: r.NodeUID, Successor: r.Successor, Forced: r.Forced, By: r.By, Created: toNanos(r.CreatedAt), HLC: r.HLC,
	})
}

// DecodeRetirement reads the body of a retirement's row.
func DecodeRetirement(body []byte) (model.Retirement, error) {
	w, err := decode[wireRetirement]("retirement", body)
	if err != nil {
		return model.Retirement{}, err
	}
	return model.Retirement{
		NodeUID: w.Node, Successor: w.Successor, Forced: w.Forced, By: w.By, CreatedAt: w.Created.time(), HLC: w.HLC,
	}, nil
}

type wireHandover struct {
	UID       model.UID `json:"uid"`
	Node      model.UID `json:"node"`
	Successor model.UID `json:"succ"`
	Created   nanos     `json:"created"`
	HLC       model.HLC `json:"hlc"`
}

func (w wireHandover) identified() bool { return w.UID != model.NilUID && w.Node != model.NilUID }

// EncodeHandover returns the body of a handover's row.
func EncodeHandover(h model.Handover) ([]byte, error) {
	return encode("handover", wireHandover{
		UID: h.UID, Node: h.NodeUID, Successor: h.Successor, Created: toNanos(h.CreatedAt), HLC: h.HLC,
	})
}

// DecodeHandover reads the body of a handover's row.
func DecodeHandover(body []byte) (model.Handover, error) {
	w, err := decode[wireHandover]("handover", body)
	if err != nil {
		return model.Handover{}, err
	}
	return model.Handover{
		UID: w.UID, NodeUID: w.Node, Successor: w.Successor, CreatedAt: w.Created.time(), HLC: w.HLC,
	}, nil
}
