package model

import (
	"encoding/json"
	"errors"
	"time"
)

// Application is a user's request for an environment. The node that accepted
// it writes it, once: its origin, which is also its arbiter.
type Application struct {
	UID       UID
	LabelUID  UID
	OwnerName string
	Metadata  json.RawMessage // any JSON; all but an object end in ERROR
	CreatedAt time.Time
	HLC       HLC // the queue's order
	// Arbiter is the node that alone may grant this application.
	Arbiter UID
}

// Validate checks what a client may set.
func (a Application) Validate() error {
	if a.LabelUID == NilUID {
		return errors.New("label_UID can't be empty")
	}
	return nil
}

// Before is the order in which applications queue: by creation, first come
// first served.
func (a Application) Before(b Application) bool {
	if a.HLC != b.HLC {
		return a.HLC < b.HLC
	}
	return string(a.UID[:]) < string(b.UID[:])
}
