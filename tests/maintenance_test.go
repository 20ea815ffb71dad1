package tests

import (
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

const maintenancePath = "/api/v1/node/this/maintenance"

func TestMaintenanceHoldsNewApplications(t *testing.T) {
	t.Parallel()
	n := fish.Start(t, fish.Options{})
	label := n.CreateLabel(fish.TestLabel("linux", `{}`))
	running := n.CreateApplication(label, `{}`)
	n.WaitStatus(running, "ALLOCATED")
	if got := n.Request("GET", maintenancePath, nil); string(got.Body) != "{}\n" {
		t.Errorf("maintenance answered %d %s", got.Status, got.Body)
	}
	waiting := n.CreateApplication(label, `{}`)
	other := n.CreateApplication(label, `{}`)
	n.Deallocate(other)
	n.WaitStatus(other, "RECALLED") // the node is at work, and leaves the others alone
	if got := n.State(waiting); got.Status != "NEW" {
		t.Errorf("in maintenance a new application is %+v", got)
	}
	if got := n.State(running); got.Status != "ALLOCATED" {
		t.Errorf("in maintenance a running application is %+v", got)
	}
	start := time.Now()
	n.Request("GET", maintenancePath+"?enable=false", nil)
	n.WaitStatus(waiting, "ALLOCATED")
	if took := time.Since(start); took > 3*time.Second { // and not the 30 s of an old round
		t.Errorf("after maintenance an application waited %v", took)
	}
}

func TestShutdownWaitsAndCanBeCancelled(t *testing.T) {
	t.Parallel()
	n := fish.Start(t, fish.Options{})
	label := n.CreateLabel(fish.TestLabel("linux", `{}`))
	first := n.CreateApplication(label, `{}`)
	n.WaitStatus(first, "ALLOCATED")
	for range 8 {
		n.Request("GET", maintenancePath+"?shutdown=true", nil)
		n.Request("GET", maintenancePath+"?enable=false&shutdown=false", nil)
	}
	n.Deallocate(first)
	n.WaitStatus(first, "DEALLOCATED")
	second := n.CreateApplication(label, `{}`)
	n.WaitStatus(second, "ALLOCATED") // nothing stopped the node

	if got := n.Request("GET", maintenancePath+"?shutdown=true&shutdown_delay=1ms", nil); string(got.Body) != `{"shutdown":true,"shutdown_delay":"1ms"}`+"\n" {
		t.Errorf("maintenance answered %d %s", got.Status, got.Body)
	}
	if got := n.State(second); got.Status != "ALLOCATED" {
		t.Errorf("a shutdown that waits leaves the application %+v", got)
	}
	n.Deallocate(second)
	if code := n.WaitExit(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}
