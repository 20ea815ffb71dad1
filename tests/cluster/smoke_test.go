//go:build linux

package cluster

import (
	"net/http"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/tests/farm"
	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// soon is far more than anything of it takes, as other tests keep the machine busy.
const soon = 60 * time.Second

// TestThreeNodes is the whole of what a cluster is for, in one sitting: what is made at one node is known at all, runs
// at one, and ends by whomever it is told.
func TestThreeNodes(t *testing.T) {
	t.Parallel()
	f := farm.Start(t, farm.Options{Topology: farm.Full(3)})
	f.Together(soon)
	a, b, c := f.Admin(0), f.Admin(1), f.Admin(2)

	label := b.CreateLabel(fish.TestLabel("linux", `{}`))
	fish.EventuallyWithin(t, soon, "a label made on B is visible on A", func() bool {
		return a.Request(http.MethodGet, "/api/v1/label/"+label, nil).Status == http.StatusOK
	})
	app := a.CreateApplication(label, `{}`)
	c.WaitStatus(app, "ALLOCATED")
	if got := c.Resource(app); got.UID == "" {
		t.Error("C shows ALLOCATED, and no resource")
	}
	c.Deallocate(app)
	for _, at := range []fish.Client{a, b, c} {
		at.WaitStatus(app, "DEALLOCATED")
	}

	f.Members[1].Kill()
	left := a.CreateApplication(label, `{}`)
	c.WaitStatus(left, "ALLOCATED")
	f.Members[1].Start()
	f.Together(soon)
	f.Admin(1).Deallocate(left)
	f.Admin(1).WaitStatus(left, "DEALLOCATED")
	f.Verify(soon)
}
