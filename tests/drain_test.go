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

// waitProbe asks until the probe answers with this word.
func waitProbe(t *testing.T, n *fish.Node, path, word string) {
	t.Helper()
	stranger := n.As("", "")
	for deadline := time.Now().Add(20 * time.Second); ; {
		got := stranger.Request("GET", path, nil)
		if string(got.Body) == word+"\n" && (got.Status == 200) == (word == "ok") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s answers %d %q, want %q", path, got.Status, got.Body, word)
		}
	}
}

func TestProbes(t *testing.T) {
	t.Parallel()
	n := fish.Start(t, fish.Options{Config: "meta_address: 127.0.0.1:0\n"})
	waitProbe(t, n, "/healthz", "ok")
	waitProbe(t, n, "/readyz", "ok")
	label := n.CreateLabel(fish.TestLabel("linux", `{}`))
	running := n.CreateApplication(label, `{}`)
	n.WaitStatus(running, "ALLOCATED")
	n.Request("GET", maintenancePath, nil)
	waitProbe(t, n, "/readyz", "draining")
	waitProbe(t, n, "/healthz", "ok")
	n.Deallocate(running)
	waitProbe(t, n, "/readyz", "maintenance")
	n.Request("GET", maintenancePath+"?enable=false", nil)
	waitProbe(t, n, "/readyz", "ok")
	n.Request("GET", maintenancePath+"?shutdown=true&shutdown_delay=1h", nil)
	waitProbe(t, n, "/readyz", "stopping")
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
	waitProbe(t, n, "/readyz", "maintenance")
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
	waitProbe(t, n, "/readyz", "ok") // one that does not persist
}
