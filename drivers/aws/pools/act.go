package pools

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/pool"
)

// actionTimeout bounds what is done at EC2 for one action. It is below
// pool.Config.ActionTimeout, so that a result is told before it is given up on.
const actionTimeout = 2 * time.Minute

// do carries an action out and returns its result.
func (k *keeper) do(ctx context.Context, a pool.Action) pool.Event {
	ctx, cancel := context.WithTimeout(ctx, actionTimeout)
	defer cancel()
	switch a := a.(type) {
	case pool.Describe:
		hosts, err := k.hosts(ctx)
		return pool.Described{Action: a.ID, Hosts: hosts, Err: err}
	case pool.AllocateHost:
		id, err := k.allocateHost(ctx, a)
		return pool.Allocated{Action: a.ID, Host: id, Err: err}
	case pool.ReleaseHosts:
		released, refused, err := k.opts.API.ReleaseHosts(ctx, a.Hosts)
		for _, id := range released {
			k.log.Info("a host was released", "host", id)
		}
		return pool.Released{Action: a.ID, Released: released, Refused: refused, Err: err}
	case pool.StartScrub:
		id, err := k.startScrub(ctx, a)
		switch {
		case err == nil:
			k.log.Info("a host is being scrubbed", "host", a.Host, "machine", id)
		case cloud.Undone(err) && !cloud.IsKind(err, cloud.Throttled):
			k.scrub.forget(a.Host) // the next one is another
		}
		return pool.ScrubStarted{Action: a.ID, Instance: id, Err: err}
	case pool.EndScrub:
		err := k.opts.API.TerminateInstances(ctx, []string{a.Instance})
		k.scrub.forget(a.Host) // its id is known: it is not started again
		return pool.ScrubEnded{Action: a.ID, Err: err}
	}
	panic(fmt.Sprintf("pools: no such action: %T", a)) // package pool and this one are of one program
}

// allocateHost allocates one host, if it may be paid for.
func (k *keeper) allocateHost(ctx context.Context, a pool.AllocateHost) (string, error) {
	if err := k.opts.Purse.Reserve(a.ClientToken, a.Type); err != nil {
		if soon, ok := errors.AsType[*cloud.Error](err); ok {
			return "", soon
		}
		return "", &cloud.Error{Kind: cloud.Quota, Code: "MaxHourlyCost", Message: err.Error()}
	}
	id, err := k.opts.API.AllocateHost(ctx, k.hostRequest(a))
	if err == nil {
		k.log.Info("a host was allocated, and is paid for from now on", "host", id, "type", a.Type, "zone", a.Zone)
		return id, nil
	}
	k.opts.Purse.Failed(a.ClientToken, a.Type, a.Zone, err)
	if cloud.Undone(err) && !a.Again && !cloud.IsKind(err, cloud.Mismatch) { // no earlier try may have made one
		k.opts.Purse.Release(a.ClientToken)
	}
	return "", err
}

// undone is the result of an action that was not begun. That says nothing about
// an earlier try of the same.
func undone(a pool.Action, cause error) pool.Event {
	err := &cloud.Error{Code: "NotBegun", Message: cause.Error(), Unsure: true}
	switch a := a.(type) {
	case pool.AllocateHost:
		return pool.Allocated{Action: a.ID, Err: err}
	case pool.ReleaseHosts:
		return pool.Released{Action: a.ID, Err: err}
	case pool.StartScrub:
		return pool.ScrubStarted{Action: a.ID, Err: err}
	case pool.EndScrub:
		return pool.ScrubEnded{Action: a.ID, Err: err}
	}
	return nil
}

// hosts are the pool's, by our tags and by those of v0.7.
func (k *keeper) hosts(ctx context.Context) ([]cloud.Host, error) {
	old := cloud.TagOldPoolPrefix + k.pool.Name
	all, err := k.opts.API.Hosts(ctx, cloud.Where("tag-key", cloud.TagPool, cloud.TagOldPool, old))
	if err != nil {
		return nil, err
	}
	var ours []cloud.Host
	for _, h := range all {
		if cloud.InPool(h.Tags, k.pool.Name) && (!k.only || k.allocated(h)) {
			ours = append(ours, h)
		}
	}
	return ours, nil
}

// allocated reports whether this instance allocated the host.
func (k *keeper) allocated(h cloud.Host) bool {
	return k.opts.maker().Made(h.Tags)
}

// hostRequest is the same for the same action, also when it is repeated.
func (k *keeper) hostRequest(a pool.AllocateHost) cloud.HostRequest {
	tags := k.tags(cloud.Mark{Purpose: cloud.PurposePool, Created: a.Decided}, "aquarium-fish pool "+k.pool.Name)
	return cloud.HostRequest{ClientToken: a.ClientToken, Type: a.Type, Zone: a.Zone, Tags: tags}
}

// tags are what everything of the pool carries from its first moment on.
func (k *keeper) tags(mark cloud.Mark, name string) cloud.Tags {
	mark.Pool = k.pool.Name
	return k.opts.maker().Tags(mark, k.opts.Tags, cloud.Tags{"Name": name})
}
