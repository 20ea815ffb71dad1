//go:build linux

package aws

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
	"github.com/aquarium-fish/aquarium-fish/tests/farm"
	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// joined is for two nodes to become one cluster, or for a host to be given out
// that has to be looked at before: far more than it takes, as other tests keep
// the machine busy.
const joined = 90 * time.Second

// pair is two nodes that share a pool.
type pair struct {
	*farm.Farm
	*stand
	t      *testing.T
	labels []string // of Macs, by the node that runs them
}

func newPair(t *testing.T) *pair {
	t.Helper()
	p := &pair{stand: newStand(t, 2), t: t}
	p.Farm = farm.Start(t, farm.Options{Topology: farm.Full(2), Each: func(node int, s *farm.Settings) {
		s.Config = p.driver() + fmt.Sprintf("node_identifiers: [n%d]\n", node) // the driver goes on a list
	}})
	p.Together(joined)
	for node := range p.Members {
		uid := p.Admin(0).CreateLabel(label(fmt.Sprintf("mac%d", node), `{"image":"ci-mac-2026","pool":"mac"}`, fmt.Sprintf(`,"node_filter":["n%d"]`, node)))
		p.labels = append(p.labels, uid)
		for other := range p.Members {
			fish.EventuallyWithin(t, joined, "the label is everywhere", func() bool {
				return p.Admin(other).Request(http.MethodGet, "/api/v1/label/"+uid, nil).Status == http.StatusOK
			})
		}
	}
	return p
}

// owner is the node that owns the pool, as one that runs knows.
func (p *pair) owner(asked int) (node int) {
	p.t.Helper()
	node = -1
	fish.EventuallyWithin(p.t, joined, "the pool has an owner", func() bool {
		x := fish.Get[struct {
			Members   []struct{ UID, Name string }
			Ownership []struct {
				Thing   string
				NodeUID string `json:"node_UID"`
			}
		}](p.Admin(asked), "/api/v1/cluster/")
		for _, o := range x.Ownership {
			for _, m := range x.Members {
				if o.Thing == "aws/eu-central-1/mac" && m.UID == o.NodeUID {
					_, _ = fmt.Sscanf(m.Name, "node%d", &node)
				}
			}
		}
		return node >= 0
	})
	return node
}

// shows waits until a node shows the application as that.
func (p *pair) shows(node int, app, status string) {
	p.t.Helper()
	fish.EventuallyWithin(p.t, joined, app+" is "+status, func() bool {
		s := p.Admin(node).State(app)
		if s.Status == "ERROR" && status != "ERROR" {
			p.t.Fatalf("application %s: %+v", app, s)
		}
		return s.Status == status
	})
}

// TestSharedPool: two nodes have one pool of Macs, and one of them runs it. That
// one is killed while the other has a machine there: the machine stays, nobody
// takes a host meanwhile, and when the owner is back all goes on. No host ever has
// two machines, and there are never more hosts than configured.
func TestSharedPool(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	owner := p.owner(0)
	other := 1 - owner
	o := p.Admin(other)
	first := o.CreateApplication(p.labels[other], `{}`)
	p.shows(other, first, "ALLOCATED")
	machine := o.Resource(first).Identifier

	p.Members[owner].Kill()
	waits := o.CreateApplication(p.labels[other], `{}`)
	for deadline := time.Now().Add(someLooks); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if _, lives := p.alive()[machine]; !lives {
			t.Fatal("a machine ended with the node that runs its pool")
		}
		if all := p.alive(); len(all) != 1 {
			t.Fatalf("without who runs the pool there are the machines %v", all)
		}
	}
	p.Members[owner].Start()
	p.Together(joined)
	p.shows(other, waits, "ALLOCATED")
	second := p.Admin(other).Resource(waits).Identifier
	if trouble := p.rest(map[string]bool{machine: true, second: true}); trouble != "" {
		t.Error(trouble)
	}

	p.Members[owner].Kill() // and what ends while it is away
	p.Admin(other).Deallocate(first)
	p.shows(other, first, "DEALLOCATED")
	p.Members[owner].Start()
	p.Together(joined)
	rest := []string{waits}
	if needs.Long() { // it does not believe lists at once that the host is free
		third := p.Admin(owner).CreateApplication(p.labels[owner], `{}`)
		fish.EventuallyWithin(t, settling, "the host is given out again", func() bool { return p.Admin(owner).State(third).Status == "ALLOCATED" })
		rest = append(rest, third)
	}
	for _, app := range rest {
		p.Admin(owner).Deallocate(app)
		p.shows(owner, app, "DEALLOCATED")
	}
	if trouble := p.rest(nil) + p.broken(); trouble != "" {
		t.Error(trouble)
	}
}
