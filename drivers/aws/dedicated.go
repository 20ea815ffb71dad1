package aws

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/account"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/pool"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/pools"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/price"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// poolRunners says which instance of the process runs which pool: two that ran
// the same one would give its hosts out twice. The zero value has none.
type poolRunners struct {
	mu sync.Mutex
	by map[string]string // instance by thing
}

// claim takes the pools for an instance, all or none.
func (r *poolRunners) claim(things []string, instance string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, thing := range things {
		if other, taken := r.by[thing]; taken && other != instance {
			return fmt.Errorf("dedicated_pool: %s is run by instance %s of this node already: name a pool in one instance only", thing, other)
		}
	}
	if r.by == nil {
		r.by = map[string]string{}
	}
	for _, thing := range things {
		r.by[thing] = instance
	}
	return nil
}

func (r *poolRunners) release(instance string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.by, func(_, by string) bool { return by == instance })
}

func (r *poolRunners) runs(thing string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, taken := r.by[thing]
	return taken
}

// openPools starts the instance's pools.
func (d *driver) openPools(ctx context.Context, cfg drivers.Config, prices price.Table, runners *poolRunners) error {
	configs, err := d.poolConfigs(ctx)
	if err != nil {
		return err
	}
	var things []string
	for _, c := range configs {
		things = append(things, c.Thing)
	}
	if err := runners.claim(things, d.instance); err != nil {
		return err
	}
	d.pools, err = pools.New(pools.Options{ //nolint:contextcheck // pools outlive the call that opens them
		API: d.api, Purse: purse{d.member}, Pools: configs, ReleaseOrphans: d.settings.OrphanHosts == orphanRelease,
		Elsewhere: func(name string) bool {
			thing := poolThing(d.settings.Region, name)
			owner := ownerOf(cfg)(thing)
			return runners.runs(thing) || owner != model.NilUID && owner != d.node
		},
		Node: d.node, Instance: d.instance, Tags: d.settings.InstanceTags, Prices: prices, Directory: filepath.Join(d.ledger.dir, "pools"),
		Owner: ownerOf(cfg), First: cfg.First, Ask: cfg.Ask, HasRoom: cfg.HasRoom, Logger: d.log,
	})
	if err != nil {
		runners.release(d.instance)
		return err
	}
	if len(configs) > 0 {
		d.hosts = d.pools
	}
	d.closePools = func() {
		d.pools.Close()
		runners.release(d.instance)
	}
	return nil
}

// ownerOf is who owns what; without a node around, as in tests, the instance does.
func ownerOf(cfg drivers.Config) drivers.OwnerOf {
	if cfg.Owner != nil {
		return cfg.Owner
	}
	return func(string) model.UID { return cfg.NodeUID }
}

// poolConfigs are the pools, with what their types say about them.
func (d *driver) poolConfigs(ctx context.Context) ([]pools.Pool, error) {
	var list []pools.Pool
	for _, name := range slices.Sorted(maps.Keys(d.settings.DedicatedPool)) {
		s := d.settings.DedicatedPool[name]
		known, err := d.member.Types(ctx, s.Type)
		if err != nil {
			return nil, fmt.Errorf("look up the type of pool %s: %w", name, err)
		}
		kind, ok := known[s.Type]
		if !ok {
			return nil, fmt.Errorf("dedicated_pool.%s.type: %s has no type %s", name, d.settings.Region, s.Type)
		}
		d.checkZones(name, s)
		if !kind.Mac() && s.ScrubbingDelay != nil && *s.ScrubbingDelay > 0 {
			d.log.Warn("scrubbing_delay has no effect, as AWS scrubs hosts of Macs alone: remove it", "pool", name, "type", s.Type)
		}
		list = append(list, pools.Pool{
			Config: poolConfig(name, d.node.String()+"/"+d.instance, s, kind.Mac()), Thing: poolThing(d.settings.Region, name),
			ScrubImage: s.ScrubImage, Subnet: s.Subnet, SecurityGroup: s.SecurityGroup,
		})
	}
	return list, nil
}

// checkZones warns of zones in which a pool's hosts can not be had. It is run
// all the same: it may have hosts elsewhere, of before.
func (d *driver) checkZones(name string, s poolSettings) {
	offered := d.member.Snapshot().Zones[s.Type]
	missing := slices.DeleteFunc(slices.Clone(s.Zones), func(zone string) bool { return slices.Contains(offered, zone) })
	if len(missing) > 0 {
		d.log.Warn("a pool has zones that do not offer its type", "pool", name, "type", s.Type, "zones", missing, "offered_in", offered)
	}
}

// poolConfig is how a pool is run. AWS refuses to release a Mac before it is a
// day old, whatever is configured.
func poolConfig(name, origin string, s poolSettings, mac bool) pool.Config {
	c := pool.Config{Name: name, Origin: origin, Type: s.Type, Zones: s.Zones, Max: *s.Max}
	for _, t := range []struct {
		to   *time.Duration
		from *time.Duration
	}{
		{&c.ScrubbingDelay, s.ScrubbingDelay}, {&c.MinAge, s.ReleaseDelay}, {&c.PendingToAvailable, s.PendingToAvailableDelay}, {&c.Patience, s.Patience},
	} {
		if t.from != nil {
			*t.to = *t.from
		}
	}
	if mac {
		c.MinAge = max(c.MinAge, pool.MacMinAge)
	} else {
		c.ScrubbingDelay = 0 // AWS scrubs no others, so that a scrub's machine would take up the host and save nothing
	}
	return c
}

// Answer implements drivers.Answerer.
func (d *driver) Answer(ctx context.Context, from model.UID, thing string, body json.RawMessage) (json.RawMessage, error) {
	return d.pools.Answer(ctx, from, thing, body)
}

// purse counts hosts to the instance's brakes.
type purse struct{ member *account.Member }

// Reserve implements pools.Purse. That nothing is counted yet is no reason for a
// long pause, as a limit is that was met.
func (p purse) Reserve(token, instanceType string) error {
	err := p.member.Reserve(account.Need{Token: token, Type: instanceType, Host: true})
	if full, ok := errors.AsType[*account.Full](err); ok && full.Uncounted {
		return &cloud.Error{Kind: cloud.Throttled, Code: "NotCounted", Message: full.Why}
	}
	return err
}

// Assume implements pools.Purse.
func (p purse) Assume(token, instanceType string) {
	p.member.Assume(account.Need{Token: token, Type: instanceType, Host: true})
}

// Left implements pools.Purse.
func (p purse) Left(instanceType string) (n int, why string) { return p.member.HostsLeft(instanceType) }

// Release implements pools.Purse.
func (p purse) Release(token string) { p.member.Release(token) }

// Failed implements pools.Purse.
func (p purse) Failed(token, instanceType, zone string, err error) {
	p.member.Failed(account.Need{Token: token, Type: instanceType, Host: true}, zone, err)
}

var _ drivers.Answerer = (*driver)(nil)
