//go:build linux

package aws

import (
	"testing"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// TestOneHost: one application on a Mac costs one host, which is paid for a day
// at least, also while lists do not show the new host, or call it pending.
func TestOneHost(t *testing.T) {
	t.Parallel()
	s := newStand(t, 2)
	n := fish.Start(t, fish.Options{Config: "node_name: alpha\ndrivers:\n" + s.driver()})
	n.WaitLine("driver is ready")
	app := n.CreateApplication(n.CreateLabel(label("mac", `{"image":"ci-mac-2026","pool":"mac"}`, "")), `{}`)
	fish.EventuallyWithin(t, joined, "the application has its Mac", func() bool { return n.State(app).Status == "ALLOCATED" })
	if hosts := s.hosts(); len(hosts) != 1 {
		t.Errorf("one application has the hosts %v", hosts)
	}
}
