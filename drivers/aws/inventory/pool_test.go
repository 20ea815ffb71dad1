package inventory_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/inventory"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/pool"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/price"
)

// TestTell: what an owner shows is what its pool counts, each host once.
func TestTell(t *testing.T) {
	cfg := pool.Config{Name: "m2", Origin: "n", Type: "mac2.metal", Zones: []string{zone}, Max: 3, MinAge: pool.MacMinAge}
	now := time.Date(2026, 5, 2, 12, 0, 0, 0, time.UTC)
	s := pool.New(cfg, &pool.Saved{Owned: true})
	var asked pool.ActionID
	for _, e := range []pool.Event{pool.Own{Owner: true}, pool.Tick{}} {
		for _, a := range s.Step(now, e) {
			if d, ok := a.(pool.Describe); ok {
				asked = d.ID
			}
		}
	}
	s.Step(now, pool.Described{Action: asked, Sent: now, Hosts: []cloud.Host{
		{ID: "h-1", Type: "mac2.metal", Zone: zone, State: cloud.HostAvailable, AllocationTime: now.Add(-10 * time.Hour), Free: 1},
		{ID: "h-2", Type: "mac2.metal", Zone: zone, State: cloud.HostPermanentFailure, AllocationTime: now.Add(-time.Hour)},
	}})
	prices, err := price.New(map[string]float64{"mac2.metal": 0.5})
	if err != nil {
		t.Fatal(err)
	}
	p := inventory.Tell(inventory.PoolOf(cfg, "aws/eu-central-1/m2"), s, prices, now)
	sum := 0
	for phase, n := range p.Phases {
		sum += n
		if phase == "invalid" {
			t.Errorf("phases %v", p.Phases)
		}
	}
	if p.Name != "m2" || p.Thing != "aws/eu-central-1/m2" || p.Max != 3 || p.Total != 2 || sum != 2 || len(p.Hosts) != 2 || p.Capacity != s.Capacity() || p.Draining {
		t.Errorf("the pool is %+v", p)
	}
	h := p.Hosts[0]
	about(t, "a host", h.Cost, 5)
	if h.ID != "h-1" || h.Phase != "available" || h.State != cloud.HostAvailable || !h.Allocated.Equal(now.Add(-10*time.Hour)) {
		t.Errorf("the host is %+v", h)
	}
	if bad := p.Hosts[1]; bad.ID != "h-2" || bad.Phase != "failed" {
		t.Errorf("the broken host is %+v", bad)
	}
	s.Step(now, pool.Drain{On: true})
	if p := inventory.Tell(inventory.PoolOf(cfg, ""), s, price.Table{}, now); !p.Draining || p.Capacity != 0 {
		t.Errorf("drained it is %+v", p)
	}
	if blind := inventory.PoolOf(cfg, ""); blind.Phases != nil || !strings.HasPrefix(blind.Type, "mac") {
		t.Errorf("what nobody told is %+v", blind)
	}
}
