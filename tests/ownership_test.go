package tests

import (
	"net/http"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// ownerAt is the name of who owns a shared thing as a node shows it; empty while nobody does.
func ownerAt(n *fish.Node, thing string) string {
	x := fish.Get[struct {
		Members   []shown
		Ownership []struct {
			Thing   string
			NodeUID string `json:"node_UID"`
		}
	}](n.Client, "/api/v1/cluster/")
	for _, o := range x.Ownership {
		for _, m := range x.Members {
			if o.Thing == thing && m.UID == o.NodeUID {
				return m.Name
			}
		}
	}
	return ""
}

// TestSharedThing: two nodes are configured for one thing outside. The first that took it owns it: all that needs it runs
// there. While it is gone nobody else takes from it, however long; once it is retired the other one owns it.
func TestSharedThing(t *testing.T) {
	t.Parallel()
	const drivers = "drivers: [{name: test/pool, cfg: {shared: test/mac-pool}}, {name: test}]\n"
	a := fish.Start(t, fish.Options{Config: "node_name: a\n" + drivers})
	fish.Eventually(t, "a takes it", func() bool { return ownerAt(a, "test/mac-pool") == "a" })
	b := fish.New(t, fish.Options{Config: "node_name: b\n" + drivers})
	mustJoin(t, b, invite(a, "b").Token)
	b.AdminPassword = a.AdminPassword
	b.Start()
	fish.Eventually(t, "b knows who owns it", func() bool { return ownerAt(b, "test/mac-pool") == "a" })
	label := b.CreateLabel(fish.DriverLabel("mac", "test/pool", `{}`))
	first := b.CreateApplication(label, `{}`)
	b.WaitStatus(first, "ALLOCATED")
	owner := fish.Get[struct {
		NodeUID string `json:"node_UID"`
	}](b.Client, "/api/v1/application/"+first+"/resource")
	if owner.NodeUID != nodeUIDOf(a) {
		t.Errorf("it runs on %s, want it at the owner", owner.NodeUID)
	}
	b.Request(http.MethodGet, "/api/v1/application/"+first+"/deallocate", nil)
	b.WaitStatus(first, "DEALLOCATED")

	gone := nodeUIDOf(a)
	a.Kill()
	fish.Eventually(t, "a is known to be gone", func() bool { return stateAt(b, gone) == "unreachable" })
	second := b.CreateApplication(label, `{}`)
	other := b.CreateApplication(b.CreateLabel(fish.TestLabel("linux", `{}`)), `{}`)
	b.WaitStatus(other, "ALLOCATED") // so it is its turn
	b.WaitStatus(second, "NEW")
	if got := ownerAt(b, "test/mac-pool"); got != "a" {
		t.Errorf("owned by %q while a is gone, want a", got)
	}
	if got := retireBy(t, b, "a", "--yes"); got.Code != 0 {
		t.Fatalf("retire: exit code %d\n%s%s", got.Code, got.Stdout, got.Stderr)
	}
	b.WaitStatus(second, "ALLOCATED")
	if got := ownerAt(b, "test/mac-pool"); got != "b" {
		t.Errorf("owned by %q, want b", got)
	}
	status := clusterBy(t, b, "status")
	if status.Code != 0 || !strings.Contains(status.Stdout, "Owner of test/mac-pool: b") {
		t.Errorf("cluster status: exit code %d\n%s%s", status.Code, status.Stdout, status.Stderr)
	}
}
