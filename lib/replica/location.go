package replica

import "github.com/aquarium-fish/aquarium-fish/lib/model"

type wireLocation struct {
	Name        string    `json:"name"`
	Description string    `json:"desc"`
	Created     nanos     `json:"created"`
	HLC         model.HLC `json:"hlc"`
}

func (w wireLocation) identified() bool { return w.Name != "" }

// EncodeLocation returns the body of a location's row.
func EncodeLocation(l model.Location) ([]byte, error) {
	return encode("location", wireLocation{
		Name: l.Name, Description: l.Description, Created: toNanos(l.CreatedAt), HLC: l.HLC,
	})
}

// DecodeLocation reads the body of a location's row.
func DecodeLocation(body []byte) (model.Location, error) {
	w, err := decode[wireLocation]("location", body)
	if err != nil {
		return model.Location{}, err
	}
	return model.Location{Name: w.Name, Description: w.Description, CreatedAt: w.Created.time(), HLC: w.HLC}, nil
}

type wireMapping struct {
	UID         model.UID `json:"uid"`
	Application model.UID `json:"app"`
	Location    string    `json:"loc"`
	Service     string    `json:"service"`
	Redirect    string    `json:"redirect"`
	Created     nanos     `json:"created"`
	HLC         model.HLC `json:"hlc"`
}

func (w wireMapping) identified() bool { return w.UID != model.NilUID }

// EncodeServiceMapping returns the body of a service mapping's row.
func EncodeServiceMapping(m model.ServiceMapping) ([]byte, error) {
	return encode("service mapping", wireMapping{
		UID: m.UID, Application: m.ApplicationUID, Location: m.LocationName, Service: m.Service,
		Redirect: m.Redirect, Created: toNanos(m.CreatedAt), HLC: m.HLC,
	})
}

// DecodeServiceMapping reads the body of a service mapping's row.
func DecodeServiceMapping(body []byte) (model.ServiceMapping, error) {
	w, err := decode[wireMapping]("service mapping", body)
	if err != nil {
		return model.ServiceMapping{}, err
	}
	return model.ServiceMapping{
		UID: w.UID, ApplicationUID: w.Application, LocationName: w.Location, Service: w.Service,
		Redirect: w.Redirect, CreatedAt: w.Created.time(), HLC: w.HLC,
	}, nil
}
