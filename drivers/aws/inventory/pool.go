package inventory

import (
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/pool"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/price"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/view"
)

// PoolOf is what there is to say of a pool of which nothing but its
// configuration is known; thing is its name among nodes.
func PoolOf(cfg pool.Config, thing string) view.Pool {
	return view.Pool{Name: cfg.Name, Thing: thing, Type: cfg.Type, Zones: slices.Clone(cfg.Zones), Max: cfg.Max}
}

// Tell adds what the pool's owner knows. It is called where the state is used.
func Tell(p view.Pool, s *pool.State, prices price.Table, now time.Time) view.Pool {
	a, scrubs := s.Accounting(), s.ScrubTimes()
	p.Draining, p.Capacity = s.Draining(), s.Capacity()
	p.Total, p.Paid, p.Wait = a.Total, a.Paid, a.Waiting
	p.Scrub = view.Times{Count: scrubs.Count, P50: view.SecondsOf(scrubs.P50), P95: view.SecondsOf(scrubs.P95)}
	p.Phases = map[string]int{}
	for phase, n := range a.Phases {
		if n > 0 {
			p.Phases[phase.String()] = n
		}
	}
	p.Hosts = []view.PoolHost{}
	for _, h := range s.Views() {
		host := view.PoolHost{
			ID: h.ID, Type: h.Type, Zone: h.Zone, Phase: h.Phase.String(), State: h.AWS, Since: h.Since, Allocated: h.Allocated,
			Release: h.Release, Why: h.Why,
		}
		if h.ID != "" { // an open request costs nothing
			host.Cost = cost(prices.CostOf(h.Type, now.Sub(h.Allocated)-h.Unpaid))
		}
		p.Hosts = append(p.Hosts, host)
	}
	return p
}
