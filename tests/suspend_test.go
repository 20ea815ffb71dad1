package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// TestSuspendOverKills suspends and resumes an environment by a node that dies
// between each deed and its record, and releases one that stands still.
func TestSuspendOverKills(t *testing.T) {
	t.Parallel()
	n := fish.Start(t, fish.Options{Config: "drivers:\n- name: test\n  cfg: {allow_crash: true}\n"})
	// Each process dies of its second task; the delay lets the order be answered before.
	options := `{"crash_task":"after:2","delay_task":"1s"}`
	app := n.CreateApplication(n.CreateLabel(fish.TestLabel("mortal", options)), `{}`)
	n.WaitStatus(app, "ALLOCATED")
	file := filepath.Join(n.Dir, "fish_test_workspace", n.Resource(app).Identifier)
	order := func(name string) task {
		return addTask(n.Client, app, fmt.Sprintf(`{"task":%q,"when":"ALLOCATED"}`, name))
	}
	wantStill := func(still bool) {
		t.Helper()
		info, err := os.Lstat(file)
		if err != nil || (info.Mode().Perm()&0o200 == 0) != still {
			t.Errorf("the file is %v, %v, want that it stands still: %v", info, err, still)
		}
	}
	wantStill(false)
	if got := result(t, n.Client, order("suspend").UID); got != `{"suspended":true}` {
		t.Errorf("suspend: %s", got)
	}
	wantStill(true)
	for _, tt := range []struct {
		task, want string
		still      bool
	}{{"suspend", `{"suspended":true}`, true}, {"resume", `{"resumed":true}`, false}, {"suspend", `{"suspended":true}`, true}} {
		ordered := order(tt.task)
		n.WaitExit()
		wantStill(tt.still) // it was done, and nobody knows
		n.Start()
		if got := result(t, n.Client, ordered.UID); got != tt.want {
			t.Errorf("%s after a kill: %s, want %s", tt.task, got, tt.want)
		}
		wantStill(tt.still)
		if got := n.State(app); got.Status != "ALLOCATED" {
			t.Errorf("after %s it is %+v, want ALLOCATED", tt.task, got)
		}
	}
	n.Deallocate(app)
	n.WaitStatus(app, "DEALLOCATED")
	if _, err := os.Lstat(file); !os.IsNotExist(err) {
		t.Errorf("the file of what was suspended is there: %v", err)
	}
}
