package replica

import "github.com/aquarium-fish/aquarium-fish/lib/model"

type wireUser struct {
	Name    string    `json:"name"`
	Hash    *wireHash `json:"hash"`
	Created nanos     `json:"created"`
	Updated nanos     `json:"updated"`
	HLC     model.HLC `json:"hlc"`
}

type wireHash struct {
	Algo       string `json:"algo"`
	Memory     uint32 `json:"mem"`
	Iterations uint32 `json:"iter"`
	Threads    uint8  `json:"thr"`
	Salt       []byte `json:"salt"`
	Hash       []byte `json:"sum"`
}

func (w wireUser) identified() bool { return w.Name != "" && w.Hash != nil }

// EncodeUser returns the body of a user's row.
func EncodeUser(u model.User) ([]byte, error) {
	h := wireHash(u.Hash)
	return encode("user", wireUser{
		Name: u.Name, Hash: &h, Created: toNanos(u.CreatedAt), Updated: toNanos(u.UpdatedAt), HLC: u.HLC,
	})
}

// DecodeUser reads the body of a user's row.
func DecodeUser(body []byte) (model.User, error) {
	w, err := decode[wireUser]("user", body)
	if err != nil {
		return model.User{}, err
	}
	return model.User{
		Name: w.Name, Hash: model.PasswordHash(*w.Hash), CreatedAt: w.Created.time(), UpdatedAt: w.Updated.time(), HLC: w.HLC,
	}, nil
}
