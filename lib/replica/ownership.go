package replica

import "github.com/aquarium-fish/aquarium-fish/lib/model"

type wireOwnership struct {
	UID     model.UID `json:"uid"`
	Thing   string    `json:"thing"`
	From    model.UID `json:"from"`
	To      model.UID `json:"to"`
	By      model.UID `json:"by"`
	Created nanos     `json:"created"`
	HLC     model.HLC `json:"hlc"`
}

func (w wireOwnership) identified() bool { return w.UID != model.NilUID && w.By != model.NilUID }

// EncodeOwnership returns the body of an ownership's row.
func EncodeOwnership(o model.Ownership) ([]byte, error) {
	return encode("ownership", wireOwnership{
		UID: o.UID, Thing: o.Thing, From: o.From, To: o.To, By: o.By, Created: toNanos(o.CreatedAt), HLC: o.HLC,
	})
}

// DecodeOwnership reads the body of an ownership's row.
func DecodeOwnership(body []byte) (model.Ownership, error) {
	w, err := decode[wireOwnership]("ownership", body)
	if err != nil {
		return model.Ownership{}, err
	}
	return model.Ownership{
		UID: w.UID, Thing: w.Thing, From: w.From, To: w.To, By: w.By, CreatedAt: w.Created.time(), HLC: w.HLC,
	}, nil
}
