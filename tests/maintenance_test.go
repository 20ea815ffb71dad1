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
	if took := time.Since(start); took > 10*time.Second { // and not the 30 s of an old round
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

func TestShutdownAtOnceAndAfterADelay(t *testing.T) {
	t.Parallel()
	n := fish.Start(t, fish.Options{})
	label := n.CreateLabel(fish.TestLabel("linux", `{}`))
	brief := n.CreateLabel(`{"name":"brief","definitions":[{"driver":"test","resources":{"cpu":1,"ram":1,"lifetime":"1200ms"}}]}`)
	running := n.CreateApplication(label, `{}`)
	n.WaitStatus(running, "ALLOCATED")

	// A delay that can not be read changes nothing, not even what else is asked.
	want(t, "bad delay", n.Request("GET", maintenancePath+"?shutdown=true&shutdown_delay=soon", nil), 400, "shutdown_delay")
	// Cancelled in the delay: the process stays past it, which the end of a
	// later lifetime shows.
	want(t, "delayed", n.Request("GET", maintenancePath+"?enable=false&shutdown=true&shutdown_delay=1s", nil), 200, `"shutdown_delay":"1s"`)
	want(t, "cancelled", n.Request("GET", maintenancePath+"?enable=false&shutdown=false", nil), 200, `{"enable":false,"shutdown":false}`)
	n.WaitStatus(n.CreateApplication(brief, `{}`), "DEALLOCATED")
	// Cancelled in the wait for applications, with maintenance on.
	for range 8 {
		n.Request("GET", maintenancePath+"?shutdown=true", nil)
		n.Request("GET", maintenancePath+"?shutdown=false", nil)
	}
	waiting := n.CreateApplication(label, `{}`)
	n.Deallocate(running)
	n.WaitStatus(running, "DEALLOCATED")
	n.Request("GET", maintenancePath+"?enable=false", nil)
	n.WaitStatus(waiting, "ALLOCATED")

	// Without maintenance nothing is waited for but the delay.
	start := time.Now()
	n.Request("GET", maintenancePath+"?enable=false&shutdown=true&shutdown_delay=1s", nil)
	if code := n.WaitExit(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	if took := time.Since(start); took < time.Second || took > 5*time.Second {
		t.Errorf("a shutdown with a delay of 1 s took %v", took)
	}
	n.Start()
	if got := n.State(waiting); got.Status != "ALLOCATED" {
		t.Errorf("after the shutdown the application is %+v", got)
	}
	// Maintenance is not kept.
	n.Request("GET", maintenancePath, nil)
	n.Restart()
	n.WaitStatus(n.CreateApplication(label, `{}`), "ALLOCATED")
}
