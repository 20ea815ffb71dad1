package tests

import (
	"net/http"
	"strings"
	"testing"

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
	if got := nobody.Request("GET", "/meta/v1/data/?format=env&prefix=data", nil); fish.OfUsers(got.Body) != "data_JENKINS_URL=https://ci/\n" {
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
