package replica

import "github.com/aquarium-fish/aquarium-fish/lib/model"

type wireApplication struct {
	UID      model.UID `json:"uid"`
	Label    model.UID `json:"label"`
	Owner    string    `json:"owner"`
	Metadata verbatim  `json:"meta"`
	Created  nanos     `json:"created"`
	HLC      model.HLC `json:"hlc"`
	Arbiter  model.UID `json:"arbiter"`
}

func (w wireApplication) identified() bool { return w.UID != model.NilUID }

// EncodeApplication returns the body of an application's row.
func EncodeApplication(a model.Application) ([]byte, error) {
	return encode("application", wireApplication{
		UID: a.UID, Label: a.LabelUID, Owner: a.OwnerName, Metadata: verbatim(a.Metadata),
		Created: toNanos(a.CreatedAt), HLC: a.HLC, Arbiter: a.Arbiter,
	})
}

// DecodeApplication reads the body of an application's row.
func DecodeApplication(body []byte) (model.Application, error) {
	w, err := decode[wireApplication]("application", body)
	if err != nil {
		return model.Application{}, err
	}
	return model.Application{
		UID: w.UID, LabelUID: w.Label, OwnerName: w.Owner, Metadata: w.Metadata.raw(),
		CreatedAt: w.Created.time(), HLC: w.HLC, Arbiter: w.Arbiter,
	}, nil
}

type wireTask struct {
	UID         model.UID `json:"uid"`
	Application model.UID `json:"app"`
	Task        string    `json:"task"`
	When        string    `json:"when"`
	Options     verbatim  `json:"opts"`
	Result      verbatim  `json:"result"`
	Created     nanos     `json:"created"`
	Updated     nanos     `json:"updated"`
	HLC         model.HLC `json:"hlc"`
}

func (w wireTask) identified() bool { return w.UID != model.NilUID && w.Application != model.NilUID }

// EncodeApplicationTask returns the body of an application task's row.
func EncodeApplicationTask(t model.ApplicationTask) ([]byte, error) {
	return encode("application task", wireTask{
		UID: t.UID, Application: t.ApplicationUID, Task: t.Task, When: t.When, Options: verbatim(t.Options),
		Result: verbatim(t.Result), Created: toNanos(t.CreatedAt), Updated: toNanos(t.UpdatedAt), HLC: t.HLC,
	})
}

// DecodeApplicationTask reads the body of an application task's row.
func DecodeApplicationTask(body []byte) (model.ApplicationTask, error) {
	w, err := decode[wireTask]("application task", body)
	if err != nil {
		return model.ApplicationTask{}, err
	}
	return model.ApplicationTask{
		UID: w.UID, ApplicationUID: w.Application, Task: w.Task, When: w.When, Options: w.Options.raw(),
		Result: w.Result.raw(), CreatedAt: w.Created.time(), UpdatedAt: w.Updated.time(), HLC: w.HLC,
	}, nil
}
