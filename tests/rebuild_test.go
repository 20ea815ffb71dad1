package tests

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/lib/store/storetest"
	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// TestRebuild: somebody deletes from the tables and changes them; the command
// brings back what was there, and the node goes on with what runs.
func TestRebuild(t *testing.T) {
	t.Parallel()
	n := fish.Start(t, fish.Options{})
	label := n.CreateLabel(fish.TestLabel("linux", `{}`))
	over := n.CreateApplication(label, `{}`)
	n.WaitStatus(over, "ALLOCATED")
	n.Deallocate(over)
	n.WaitStatus(over, "DEALLOCATED")
	runs := n.CreateApplication(label, `{}`)
	n.WaitStatus(runs, "ALLOCATED")
	resource := n.Request("GET", applicationsPath+runs+"/resource", nil)
	if got := onFolder(t, n, 1, "db", "rebuild"); !strings.Contains(got.Stderr, "is running already") {
		t.Errorf("rebuild under a running node: %q", got.Stderr)
	}
	n.Stop()
	if got := onFolder(t, n, 0, "db", "rebuild"); !strings.Contains(got.Stdout, "nothing was otherwise") {
		t.Errorf("rebuild of a sound database says %q", got.Stdout)
	}
	file := filepath.Join(n.Dir, "fish_data", "127.0.0.1:8001", "sqlite.db")
	err := storetest.Exec(t.Context(), file, "DELETE FROM labels", "DELETE FROM resources",
		"DELETE FROM applications WHERE closed_at IS NOT NULL", "UPDATE application_states SET status = 'ERROR' WHERE status = 'ALLOCATED'")
	if err != nil {
		t.Fatal(err)
	}
	onFolder(t, n, 1, "db", "check")
	got := onFolder(t, n, 0, "db", "rebuild")
	for _, want := range []string{"labels: 1 rows, 1 missing, 0 changed, 0 removed", "applications: 2 rows, 1 missing",
		"application states: 8 rows, 0 missing, 2 changed", "resources: ", "rebuilt: "} {
		if !strings.Contains(got.Stdout, want) {
			t.Errorf("rebuild says %q, want %q", got.Stdout, want)
		}
	}
	if got := onFolder(t, n, 0, "db", "check"); !strings.Contains(got.Stdout, "2 applications (1 not over, 1 environments)") {
		t.Errorf("db check says %q", got.Stdout)
	}
	n.Start()
	if now := n.Request("GET", applicationsPath+runs+"/resource", nil); string(now.Body) != string(resource.Body) {
		t.Errorf("the resource is %s, want it as before: %s", now.Body, resource.Body)
	}
	if s := n.State(over); s.Status != "DEALLOCATED" {
		t.Errorf("what was over is %+v", s)
	}
	n.Deallocate(runs)
	n.WaitStatus(runs, "DEALLOCATED")
}
