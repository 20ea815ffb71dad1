package pools

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/pool"
)

// orphanLook is how often it is looked for hosts of pools that are not
// configured any more. A configuration changes with a restart, so the first look finds most.
const orphanLook = 10 * time.Minute

// lookForOrphans finds hosts that this instance allocated for pools that it is
// not configured for any more, and keeps them until they are gone: they are
// paid for, and nobody else may know of them.
func (p *Pools) lookForOrphans(ctx context.Context) {
	pause := time.NewTicker(orphanLook)
	defer pause.Stop()
	for {
		if err := p.findOrphans(ctx); err != nil && ctx.Err() == nil {
			p.log.Warn("it is not known whether there are hosts of former pools", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
	}
}

func (p *Pools) findOrphans(ctx context.Context) error {
	short, cancel := context.WithTimeout(ctx, actionTimeout)
	defer cancel()
	hosts, err := p.opts.API.Hosts(short, p.opts.maker().Query())
	if err != nil {
		return fmt.Errorf("list hosts: %w", err)
	}
	found := map[string][]cloud.Host{}
	for _, h := range hosts {
		name := h.Tags[cloud.TagPool]
		if name == "" || h.Released() || p.Kept(name) {
			continue
		}
		found[name] = append(found[name], h)
	}
	var errs []error
	for name, hosts := range found {
		errs = append(errs, p.keepOrphans(ctx, short, name, hosts))
	}
	return errors.Join(errs...)
}

// keepOrphans starts the keeper of a former pool, unless there is one. ctx is
// the keeper's, and short bounds what is asked before.
func (p *Pools) keepOrphans(ctx, short context.Context, name string, hosts []cloud.Host) error {
	p.mu.Lock()
	known := p.orphans[name] != nil
	p.mu.Unlock()
	if known {
		return nil
	}
	types, err := p.opts.API.InstanceTypes(short, []string{hosts[0].Type})
	if err != nil {
		return fmt.Errorf("look up type %s: %w", hosts[0].Type, err)
	}
	c := Pool{Config: pool.Config{Name: name, Origin: p.opts.Node.String() + "/" + p.opts.Instance, Type: hosts[0].Type, ReportOnly: !p.opts.ReleaseOrphans}}
	if len(types) == 0 || types[0].Mac() {
		c.MinAge = pool.MacMinAge
	}
	k, err := newKeeper(&p.opts, c, func() bool { return !p.opts.Elsewhere(name) })
	if err != nil {
		return fmt.Errorf("keep the hosts of former pool %s: %w", name, err)
	}
	k.only = true // what others allocated for it is theirs
	p.log.Warn("there are hosts of a pool that is not configured any more, and they are paid for; configure it again, or set orphan_hosts: release",
		"pool", name, "hosts", len(hosts), "released", p.opts.ReleaseOrphans)
	p.mu.Lock()
	p.orphans[name] = k
	p.mu.Unlock()
	p.parts.Go(func() { k.run(ctx) })
	return nil
}
