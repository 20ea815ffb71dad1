package tests

import (
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

const drainPath = "/api/v1/node/this/drain"

// drain is the state that the route shows.
type drain struct {
	Enabled, Persistent bool
	By                  string
	Since               time.Time
	Running             int
}

func TestProbes(t *testing.T) {
	t.Parallel()
	n := fish.Start(t, fish.Options{Config: "meta_address: 127.0.0.1:0\n"})
	n.WaitProbe("/healthz", "ok")
	n.WaitProbe("/readyz", "ok")
	label := n.CreateLabel(fish.TestLabel("linux", `{}`))
	running := n.CreateApplication(label, `{}`)
	n.WaitStatus(running, "ALLOCATED")
	n.Request("GET", maintenancePath, nil)
	n.WaitProbe("/readyz", "draining")
	n.WaitProbe("/healthz", "ok")
	n.Deallocate(running)
	n.WaitProbe("/readyz", "maintenance")
	n.Request("GET", maintenancePath+"?enable=false", nil)
	n.WaitProbe("/readyz", "ok")
	n.Request("GET", maintenancePath+"?shutdown=true&shutdown_delay=1h", nil)
	n.WaitProbe("/readyz", "stopping")
	if got := n.As("", "").Request("POST", "/readyz", nil); got.Status != 404 {
		t.Errorf("POST /readyz = %d, want 404", got.Status)
	}
	if got := n.As("", "").Request("GET", "/api/v1/readyz", nil); got.Status != 401 {
		t.Errorf("GET /api/v1/readyz = %d, want 401", got.Status)
	}
	n.Stop()
	stdout, _ := n.Lines()
	for _, line := range stdout {
		if strings.Contains(line, "healthz") || strings.Contains(line, `"/readyz"`) && strings.Contains(line, "GET") {
			t.Errorf("a probe was logged: %s", line)
		}
	}
}

// TestDrainSurvivesWhatARestartIs: a kill right after the answer, and a second one.
func TestDrainSurvivesWhatARestartIs(t *testing.T) {
	t.Parallel()
	n := fish.Start(t, fish.Options{})
	label := n.CreateLabel(fish.TestLabel("linux", `{}`))
	running := n.CreateApplication(label, `{}`)
	n.WaitStatus(running, "ALLOCATED")
	set := fish.Post[drain](n.Client, drainPath, `{"enable":true,"persist":true}`)
	if !set.Enabled || !set.Persistent || set.By != "admin" || set.Running != 1 || time.Since(set.Since) > time.Minute {
		t.Errorf("drained: %+v", set)
	}
	n.Kill()
	n.Start()
	if got := fish.Get[drain](n.Client, drainPath); got != set {
		t.Errorf("after a kill: %+v, want it as it was: %+v", got, set)
	}
	waiting := n.CreateApplication(label, `{}`)
	n.Deallocate(running)
	n.WaitStatus(running, "DEALLOCATED")
	n.WaitProbe("/readyz", "maintenance")
	if got := n.State(waiting); got.Status != "NEW" {
		t.Errorf("a drained node took an application after its restart: %+v", got)
	}
	n.Request("GET", maintenancePath+"?enable=false", nil) // contract 18 ends it, for good
	n.WaitStatus(waiting, "ALLOCATED")
	n.Restart()
	if got := fish.Get[drain](n.Client, drainPath); got.Enabled {
		t.Errorf("after its end and a restart: %+v, want no drain", got)
	}
	fish.Post[drain](n.Client, drainPath, `{"enable":true}`)
	n.Restart()
	n.WaitProbe("/readyz", "ok") // one that does not persist
}
