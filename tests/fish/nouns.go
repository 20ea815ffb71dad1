package fish

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"
)

// poll is how often a condition is looked at again: a client's view, which no
// event of the node reaches.
const poll = 5 * time.Millisecond

// WaitTimeout is for conditions that a sound node meets within a second.
const WaitTimeout = 30 * time.Second

// Eventually waits until the condition holds.
func Eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	EventuallyWithin(t, WaitTimeout, what, condition)
}

// EventuallyWithin waits for so long at most.
func EventuallyWithin(t testing.TB, timeout time.Duration, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(timeout)
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	for !condition() {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("not within %v: %s", timeout, what)
		}
	}
}

// State is an ApplicationState as the API shows it.
type State struct {
	UID            string `json:"UID"`
	ApplicationUID string `json:"application_UID"`
	CreatedAt      string `json:"created_at"`
	Description    string `json:"description"`
	Status         string `json:"status"`
}

// rulesOut reports whether the Application will never have the status, as far
// as can be told.
func (s State) rulesOut(status string) bool {
	switch s.Status {
	case "DEALLOCATED", "ERROR":
		return s.Status != status
	case "DEALLOCATE", "RECALLED":
		return status == "NEW" || status == "ELECTED" || status == "ALLOCATED"
	}
	return false
}

// Resource is a Resource as the API shows it, without what tests seldom need.
type Resource struct {
	UID            string          `json:"UID"`
	ApplicationUID string          `json:"application_UID"`
	Identifier     string          `json:"identifier"`
	IPAddr         string          `json:"ip_addr"`
	HWAddr         string          `json:"hw_addr"`
	Metadata       json.RawMessage `json:"metadata"`
}

type object struct {
	UID string `json:"UID"`
}

// CreateLabel makes a Label from JSON and returns its UID.
func (c Client) CreateLabel(body string) string {
	c.t.Helper()
	return Post[object](c, "/api/v1/label/", body).UID
}

// TestLabel is a Label of one definition for the `test` driver.
func TestLabel(name string, options string) string {
	return DriverLabel(name, "test", options)
}

// DriverLabel is a Label of one small definition for a driver instance.
func DriverLabel(name, driver, options string) string {
	return fmt.Sprintf(`{"name":%q,"version":1,"definitions":[{"driver":%q,"options":%s,"resources":{"cpu":1,"ram":1}}]}`,
		name, driver, options)
}

// CreateApplication asks for an environment of the label, with metadata as
// JSON, and returns the Application's UID.
func (c Client) CreateApplication(label, metadata string) string {
	c.t.Helper()
	return Post[object](c, "/api/v1/application/", fmt.Sprintf(`{"label_UID":%q,"metadata":%s}`, label, metadata)).UID
}

// State returns the current state of an Application.
func (c Client) State(app string) State {
	c.t.Helper()
	return patiently[State](c, "/api/v1/application/"+app+"/state")
}

// Resource returns the Resource of an ALLOCATED Application.
func (c Client) Resource(app string) Resource {
	c.t.Helper()
	return patiently[Resource](c, "/api/v1/application/"+app+"/resource")
}

// patiently is Get of what the node may have to ask another member for, which
// on a busy machine may be late: then it says so, and a client asks again.
func patiently[T any](c Client, path string) T {
	c.t.Helper()
	var got Response
	Eventually(c.t, "an answer to GET "+path+" other than 503", func() bool {
		got = c.Request(http.MethodGet, path, nil)
		return got.Status != http.StatusServiceUnavailable || got.Header.Get("Retry-After") == ""
	})
	return decode[T](c, "GET "+path, got)
}

// Deallocate asks for the end of an Application.
func (c Client) Deallocate(app string) State {
	c.t.Helper()
	return Get[State](c, "/api/v1/application/"+app+"/deallocate")
}

// WaitStatus waits until the Application has the status, and fails at once
// when it has ended in another.
func (c Client) WaitStatus(app, status string) State {
	c.t.Helper()
	var s State
	Eventually(c.t, "application "+app+" is "+status, func() bool {
		s = c.State(app)
		if s.rulesOut(status) {
			c.t.Fatalf("application %s is %s (%s), want %s", app, s.Status, s.Description, status)
		}
		return s.Status == status
	})
	return s
}

// WaitGone waits until a path answers 404.
func (c Client) WaitGone(path string) {
	c.t.Helper()
	Eventually(c.t, path+" is gone", func() bool {
		return c.Request(http.MethodGet, path, nil).Status == http.StatusNotFound
	})
}
