//go:build linux

package aws

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// someLooks is as long as the driver needs for several lists, reaperLooks for
// the node to see a stray twice, a minute apart, and settling for lists to be
// believed that what they do not show is not there.
const someLooks, reaperLooks, settling = 6 * time.Second, 3 * time.Minute, 7 * time.Minute

// TestAnOldDatabase: the node gets its database of yesterday back while
// machines run. What the copy knows is served on, what it does not know is left
// alone, and what has ended since ends.
func TestAnOldDatabase(t *testing.T) {
	t.Parallel()
	s := newStand(t, 1)
	n := fish.Start(t, fish.Options{Config: "node_name: alpha\ndrivers:\n" + s.driver()})
	n.WaitLine("driver is ready")
	linux := n.CreateLabel(label("linux", `{"image":"ci-linux-2026","instance_type":"m5.large"}`, ""))
	mac := n.CreateLabel(label("mac", `{"image":"ci-mac-2026","pool":"mac"}`, ""))
	machine := func(label string) (app, id string) {
		t.Helper()
		app = n.CreateApplication(label, `{}`)
		n.WaitStatus(app, "ALLOCATED")
		return app, n.Resource(app).Identifier
	}
	known, knownID := machine(linux)
	gone, _ := machine(linux)
	db := func(args ...string) {
		t.Helper()
		args = append(append([]string{"db"}, args...), "--cfg", filepath.Join(n.Dir, "fish.yaml"), "--dir", filepath.Join(n.Dir, "fish_data"))
		if got := fish.Run(t, n.Dir, args...); got.Code != 0 {
			t.Fatalf("%q: %+v", args, got)
		}
	}
	yesterday := filepath.Join(t.TempDir(), "yesterday.db")
	db("backup", yesterday)
	_, unknownID := machine(linux)
	_, macID := machine(mac)
	n.Deallocate(gone)
	n.WaitStatus(gone, "DEALLOCATED")
	n.Kill()
	db("restore", yesterday)
	n.Start()
	n.WaitLine("driver is ready")
	bound := someLooks
	if needs.Long() {
		bound = reaperLooks
	}
	for deadline := time.Now().Add(bound); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		alive := s.alive()
		for _, id := range []string{knownID, unknownID, macID} {
			if _, lives := alive[id]; !lives {
				t.Fatalf("machine %s was ended on an old database", id)
			}
		}
	}
	if got := n.Resource(known).Identifier; got != knownID || n.State(known).Status != "ALLOCATED" {
		t.Errorf("what the copy knows has machine %s, want %s", got, knownID)
	}
	n.Deallocate(known)
	n.WaitStatus(known, "DEALLOCATED")
	if trouble := s.rest(map[string]bool{unknownID: true, macID: true}); trouble != "" {
		t.Error(trouble)
	}
	if !needs.Long() {
		return
	}
	n.WaitLine("an environment that the restored database does not know is left alone")
	fish.EventuallyWithin(t, settling, "what has ended ends", func() bool { return n.State(gone).Status == "DEALLOCATED" })
	db("confirm")
	fish.EventuallyWithin(t, reaperLooks, "what nobody knows is removed after it was confirmed", func() bool { return s.rest(nil) == "" })
}
