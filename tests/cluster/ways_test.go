//go:build linux

package cluster

import (
	"net/http"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/tests/farm"
	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// TestWays: what one node of three says of itself is known at the others, and what it had to decide is not lost with it.
func TestWays(t *testing.T) {
	t.Parallel()
	f := farm.Start(t, farm.Options{Topology: farm.Full(3), DriverCfg: "cpu_limit: 1"})
	f.Together(soon)
	a, b, c := f.Admin(0), f.Admin(1), f.Admin(2)

	// What is asked for with replicated=1 is on a second node when the answer comes.
	made := a.Request(http.MethodPost, "/api/v1/label/?replicated=1", []byte(fish.TestLabel("linux", `{}`)))
	if got := made.Header.Get("Aquarium-Replicated"); made.Status != http.StatusOK || got != "true" {
		t.Errorf("POST label with replicated=1 = %d, Aquarium-Replicated %q, want 200 and true", made.Status, got)
	}
	label := fish.Get[[]struct{ UID string }](a, "/api/v1/label/")[0].UID
	fish.EventuallyWithin(t, soon, "the label is everywhere", func() bool {
		return c.Request(http.MethodGet, "/api/v1/label/"+label, nil).Status == http.StatusOK
	})

	// Every node runs one, and a fourth waits for A to decide.
	var running []string
	for range 3 {
		app := a.CreateApplication(label, `{}`)
		c.WaitStatus(app, "ALLOCATED")
		running = append(running, app)
	}
	waiting := a.CreateApplication(label, `{}`)
	fish.EventuallyWithin(t, soon, "C knows of the fourth", func() bool {
		return c.Request(http.MethodGet, "/api/v1/application/"+waiting, nil).Status == http.StatusOK
	})
	fish.Get[struct{}](a, "/api/v1/node/this/maintenance?enable=true&shutdown=true&shutdown_delay=0s")
	t.Logf("C knows that A is drained after %v", known(t, "node0", []fish.Client{b, c}, "inactive"))

	// A stops once what it runs has ended; the one that waits is another's to decide now.
	members, runsOn := membersAt(c), f.Ledger().Nodes()
	for _, app := range running {
		if runsOn[app] == members["node0"].UID {
			c.Deallocate(app)
			c.WaitStatus(app, "DEALLOCATED")
		}
	}
	f.Members[0].WaitExit()
	known(t, "node0", []fish.Client{b, c}, "stopped")
	if got := c.State(waiting).Status; got != "NEW" {
		t.Fatalf("the fourth is %s while all places are taken", got)
	}
	for _, app := range running {
		if runsOn[app] == members["node1"].UID {
			c.Deallocate(app)
		}
	}
	c.WaitStatus(waiting, "ALLOCATED")
}
