package model

import (
	"encoding/json"
	"errors"
	"time"
)

// ApplicationTask is something to be done once with an application's
// environment, such as a snapshot. Any node creates it; the executor writes
// its result. It lives as long as its Application and always ends.
type ApplicationTask struct {
	UID            UID
	ApplicationUID UID
	Task           string
	// When is the status in which it runs: ALLOCATED, or DEALLOCATE for just
	// before the environment is released. With any other it ends with an error.
	When      string
	Options   json.RawMessage
	Result    json.RawMessage // {} until it ended
	CreatedAt time.Time
	UpdatedAt time.Time
	HLC       HLC
}

// Validate checks what a client may set.
func (t ApplicationTask) Validate() error {
	if t.Task == "" {
		return errors.New("task can't be empty")
	}
	return nil
}

// Ended reports whether the task has a result.
func (t ApplicationTask) Ended() bool {
	return len(t.Result) > 0 && string(t.Result) != "{}"
}

// TaskError is the result of a task that ended without being done.
func TaskError(reason string) json.RawMessage {
	b, _ := json.Marshal(struct { // a string always marshals
		Error string `json:"error"`
	}{reason})
	return b
}
