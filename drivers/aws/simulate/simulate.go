// Package simulate computes what pools of dedicated hosts would have cost for a
// workload that is known, and how long its jobs would have waited. What the
// pools do is decided by package pool itself, as in the driver; this package
// has the jobs come, does on paper what the pool asks for, and keeps the accounts
// to the second. DESIGN.md says what is assumed.
package simulate

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/price"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/simulate/trace"
)

// Setup is what is to be simulated.
type Setup struct {
	// Pools share the jobs: each job goes to the first pool that it matches.
	Pools []Pool
	// Prices say what a host costs.
	Prices price.Table
	// Seed makes what is random come again.
	Seed uint64
}

// Validate says what is wrong with a Setup, and what to do about it.
func (s Setup) Validate() error {
	if len(s.Pools) == 0 {
		return errors.New("there is no pool: want at least one")
	}
	var errs []error
	for i, p := range s.Pools {
		errs = append(errs, p.validate())
		if slices.ContainsFunc(s.Pools[:i], func(o Pool) bool { return o.Name == p.Name }) {
			errs = append(errs, fmt.Errorf("two pools are called %q", p.Name))
		}
	}
	return errors.Join(errs...)
}

// Run simulates the pools, each on a core of its own. That the accounts come
// to the same from both sides is checked: a Report that is returned is right
// to the second, as far as its assumptions are.
func Run(ctx context.Context, s Setup, t trace.Trace) (*Report, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	shares, unmatched := share(s.Pools, t.Jobs)
	if unmatched == len(t.Jobs) {
		return nil, fmt.Errorf("none of the %d jobs is for one of the pools: their \"match\", or their zones, exclude all", len(t.Jobs))
	}
	worlds := make([]*world, len(s.Pools))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	width := chartWidth(t.Jobs)
	for i, p := range s.Pools {
		if len(shares[i]) == 0 {
			continue
		}
		group.Go(func() error {
			w := newWorld(p, shares[i], s.Seed+uint64(i), width)
			if err := w.run(ctx); err != nil {
				return err
			}
			worlds[i] = w
			return w.check()
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	r := report(s, worlds)
	r.LeftOut, r.Unmatched = t.LeftOut, unmatched
	return r, nil
}

// share gives each pool its jobs. With one pool that takes all, they are not copied.
func share(pools []Pool, jobs []trace.Job) (shares [][]trace.Job, unmatched int) {
	shares = make([][]trace.Job, len(pools))
	if len(pools) == 1 && !slices.ContainsFunc(jobs, func(j trace.Job) bool { return !pools[0].takes(&j) }) {
		shares[0] = jobs
		return shares, 0
	}
	for i := range jobs {
		to := slices.IndexFunc(pools, func(p Pool) bool { return p.takes(&jobs[i]) })
		if to < 0 {
			unmatched++
			continue
		}
		shares[to] = append(shares[to], jobs[i])
	}
	return shares, unmatched
}

// takes reports whether a job can run in the pool.
func (p *Pool) takes(j *trace.Job) bool {
	if j.Zone != "" {
		if most, bounded := p.Capacity[j.Zone]; !slices.Contains(p.Zones, j.Zone) || bounded && most == 0 {
			return false
		}
	}
	return p.Match.fits(j)
}
