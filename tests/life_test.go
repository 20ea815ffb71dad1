package tests

import (
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

func TestWholeLife(t *testing.T) {
	t.Parallel()
	n := fish.Start(t, fish.Options{})
	app := n.CreateApplication(n.CreateLabel(fish.TestLabel("linux", `{}`)), `{"JENKINS_URL":"https://ci/"}`)
	n.WaitStatus(app, "ALLOCATED")
	resource := n.Resource(app)
	if resource.ApplicationUID != app || !strings.HasPrefix(resource.Identifier, "test-") || resource.IPAddr != "127.0.0.1" {
		t.Errorf("resource %+v", resource)
	}
	nobody := n.As("", "")
	if got := nobody.Request("GET", "/meta/v1/data/?format=env&prefix=data", nil); string(got.Body) != "data_JENKINS_URL=https://ci/\n" {
		t.Errorf("metadata: %d %q", got.Status, got.Body)
	}
	if got := n.Deallocate(app); got.Status != "DEALLOCATE" {
		t.Errorf("deallocate answered %+v", got)
	}
	n.WaitStatus(app, "DEALLOCATED")
	n.WaitGone("/api/v1/application/" + app + "/resource")
	if got := nobody.Request("GET", "/meta/v1/data/", nil); got.Status != http.StatusUnauthorized {
		t.Errorf("metadata after the end: %d %q, want 401", got.Status, got.Body)
	}
}

func TestRestartKeepsAllocated(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*fish.Node){
		"SIGTERM": func(n *fish.Node) { n.Stop() },
		"SIGKILL": (*fish.Node).Kill,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := fish.Start(t, fish.Options{})
			app := n.CreateApplication(n.CreateLabel(fish.TestLabel("linux", `{}`)), `{}`)
			n.WaitStatus(app, "ALLOCATED")
			before := n.Resource(app)
			end(n)
			n.Start()
			if got := n.State(app); got.Status != "ALLOCATED" {
				t.Fatalf("the first answer after the restart is %+v, want ALLOCATED", got)
			}
			if after := n.Resource(app); after.UID != before.UID || after.Identifier != before.Identifier {
				t.Errorf("resource %+v, was %+v", after, before)
			}
			n.Deallocate(app)
			n.WaitStatus(app, "DEALLOCATED")
		})
	}
}

func TestMetadataInARealShell(t *testing.T) {
	t.Parallel()
	n := fish.Start(t, fish.Options{})
	app := n.CreateApplication(n.CreateLabel(fish.TestLabel("linux", `{}`)),
		`{"q":"it's $(id) \"x\" \\","nl":"a\nb","n":12345678901234567890,"a":[1,{"b":1.0}],"z":null,"d-a.s h":{"x":true}}`)
	n.WaitStatus(app, "ALLOCATED")
	nobody := n.As("", "")
	text := nobody.Request("GET", "/meta/v1/data/?format=export", nil)
	script := string(text.Body) + `printf '%s|' "$q" "$nl" "$n" "$a" "$z" "$da_sh_x"`
	cmd := exec.Command("sh")
	cmd.Stdin = strings.NewReader(script)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("sh: %v\n%s", err, script)
	}
	if want := `it's $(id) "x" \|` + "a\nb|12345678901234567890|" + `[1,{"b":1.0}]||true|`; string(out) != want {
		t.Errorf("sh has %q, want %q", out, want)
	}
	json := nobody.Request("GET", "/meta/v1/data/", nil)
	if !strings.Contains(string(json.Body), `"n":12345678901234567890`) || json.Header.Get("Content-Type") != "application/json; charset=UTF-8" {
		t.Errorf("JSON: %q %s", json.Header.Get("Content-Type"), json.Body)
	}
}

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
