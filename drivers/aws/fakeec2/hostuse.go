package fakeec2

import (
	"context"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// checkHost refuses an instance that the host can not take now.
func (a *account) checkHost(id string, t cloud.InstanceType, zone string) error {
	h, _ := a.hosts.get(id)
	if !a.hosts.known(a, id) {
		return cloud.NewError("InvalidHostID.NotFound", "The specified Dedicated Host ID '%s' does not exist.", id)
	}
	switch {
	case h.State != cloud.HostAvailable:
		return cloud.NewError("InvalidHostState", "The Dedicated Host '%s' must be in the available state to complete the operation.", id)
	case h.Zone != zone:
		return cloud.NewError("ZonesMismatched", "The Dedicated Host '%s' is in the Availability Zone '%s' and not in '%s'.", id, h.Zone, zone)
	case h.Type != t.Name:
		return cloud.NewError("UnsupportedInstanceTypeOnHost", "The instance type '%s' is not supported on the Dedicated Host '%s'.", t.Name, id)
	case h.room() == 0 || a.time.Before(h.settled):
		return cloud.NewError("InsufficientCapacityOnHost", "There is not enough capacity on the Dedicated Host '%s' to launch or start the instance.", id)
	}
	return nil
}

// occupy puts an instance on a host.
func (a *account) occupy(hostID, instanceID string, now time.Time) {
	a.hosts.change(hostID, now, func(h *host) {
		h.busy = append(slices.Clone(h.busy), instanceID)
		h.Instances = append(without(h.Instances, instanceID), instanceID)
		if len(h.busy) > hostSlots(*h) {
			panic("fakeec2: two instances on one host: " + hostID) // checkHost is wrong
		}
	})
}

// vacate takes an instance that ended, or stopped, from its host. The host of
// a Mac is scrubbed then.
func (a *account) vacate(i instance, now time.Time) {
	if i.HostID == "" {
		return
	}
	a.hosts.change(i.HostID, now, func(h *host) { h.busy = without(h.busy, i.ID) })
	a.plan(a.opts.Timing.Vacated.pick(a.random), func(now time.Time) {
		a.hosts.change(i.HostID, now, func(h *host) {
			if !slices.Contains(h.busy, i.ID) { // it may have started again
				h.Instances = without(h.Instances, i.ID)
			}
		})
	})
	if h, found := a.hosts.get(i.HostID); found && h.mac && h.State == cloud.HostAvailable {
		a.scrub(h, now)
	}
}

// scrub wipes a host: it is pending for a long time, and after that it says
// that it is available a little before it is.
func (a *account) scrub(h host, now time.Time) {
	a.enterHost(h.ID, now, cloud.HostPending)
	a.nextHost(h.ID, a.scrubTime(h), func(now time.Time, h host) {
		a.enterHost(h.ID, now, cloud.HostAvailable)
		settled := now.Add(a.opts.Timing.Settle.pick(a.random))
		a.hosts.change(h.ID, now, func(h *host) { h.settled = settled })
	})
}

func (a *account) scrubTime(h host) time.Duration {
	switch {
	case a.opts.Scrub != nil:
		return a.opts.Scrub(h.Type, a.random)
	case h.intel:
		return a.opts.Timing.ScrubIntel.pick(a.random)
	}
	return a.opts.Timing.Scrub.pick(a.random)
}

func without(ids []string, id string) []string {
	return slices.DeleteFunc(slices.Clone(ids), func(other string) bool { return other == id })
}

// released is the answer of ReleaseHosts.
type released struct {
	ids     []string
	refused map[string]*cloud.Error
}

// ReleaseHosts implements cloud.API.
func (c *Cloud) ReleaseHosts(ctx context.Context, ids []string) ([]string, map[string]*cloud.Error, error) {
	ids = slices.Clone(ids)
	answer, err := ask(ctx, c, "ReleaseHosts", func(now time.Time) (released, error) {
		c.touch(ids...)
		if len(ids) == 0 {
			return released{}, cloud.NewError("MissingParameter", "The request must contain the parameter HostIdSet")
		}
		answer := released{refused: map[string]*cloud.Error{}}
		for _, id := range ids {
			if refusal := c.checkRelease(id, now); refusal != nil {
				answer.refused[id] = refusal
				continue
			}
			answer.ids = append(answer.ids, id)
			c.letGo(id, now, cloud.HostReleased)
		}
		return answer, nil
	})
	return answer.ids, answer.refused, err
}

// checkRelease says why a host can not be released, nil if it can.
func (a *account) checkRelease(id string, now time.Time) *cloud.Error {
	h, there := a.hosts.get(id)
	if !there || h.Released() || !a.hosts.known(a, id) {
		return cloud.NewError("Client.InvalidHostID.NotFound", "The specified Dedicated Host ID '%s' does not exist.", id)
	}
	scrubbing := h.mac && h.State == cloud.HostPending && !a.opts.ScrubbingReleases
	if len(h.busy) > 0 || len(h.Instances) > 0 || scrubbing {
		return cloud.NewError("Client.InvalidHost.Occupied", "Dedicated host '%s' cannot be released as it is occupied", id)
	}
	if end := h.AllocationTime.Add(minimum); h.mac && now.Before(end) {
		return cloud.NewError("Client.HostMinAllocationPeriodUnexpired", "Unable to release Dedicated Host %s. %s hosts must be allocated to your "+
			"AWS account for at least 24 hour(s). You can release this host any time after %s.", id, h.Type, end.Format("2006-01-02T15:04:05.000Z"))
	}
	return nil
}

// letGo is the end of a host. It is listed, and counts, for a while.
func (a *account) letGo(id string, now time.Time, state string) {
	a.hosts.change(id, now, func(h *host) { h.ReleaseTime = now.UTC().Truncate(time.Millisecond) })
	a.enterHost(id, now, state)
	a.gone(id, now)
	a.forgetToken(id)
	a.stillCounted[id] = true
	a.plan(a.opts.Timing.HostCounted.pick(a.random), func(time.Time) { delete(a.stillCounted, id) })
	a.plan(a.opts.Timing.HostListed.pick(a.random), func(now time.Time) { a.hosts.remove(id, now) })
}

// HostSpec is a host that was allocated before.
type HostSpec struct {
	Type, Zone string
	Age        time.Duration // since its allocation
	Tags       cloud.Tags
}

// AddHost makes a host that is available and has an age. It is paid for as if
// it was allocated by a call now, and no quota is asked.
func (c *Cloud) AddHost(spec HostSpec) (id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.catchUp()
	id = c.makeHost(cloud.HostRequest{Type: spec.Type, Zone: spec.Zone, Tags: spec.Tags}, now, 0)
	c.hosts.change(id, now, func(h *host) { h.AllocationTime = h.AllocationTime.Add(-spec.Age) })
	return id
}

// SetHostState brings a host into a state such as cloud.HostPermanentFailure,
// or one that nobody knows yet. A scrubbing that was under way never ends.
func (c *Cloud) SetHostState(id, state string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.catchUp()
	if (cloud.Host{State: state}).Released() {
		c.letGo(id, now, state)
		return
	}
	c.enterHost(id, now, state)
}

// ReplaceHost is AWS that takes a broken host away: what ran on it ends, and
// another host with the same tags is there.
func (c *Cloud) ReplaceHost(id string) (replacement string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.catchUp()
	h, found := c.hosts.get(id)
	if !found {
		return ""
	}
	c.withdraw(h, now)
	return c.makeHost(cloud.HostRequest{Type: h.Type, Zone: h.Zone, Tags: h.Tags}, now, 0)
}

// WithdrawHost is AWS that takes a broken host away without another one.
func (c *Cloud) WithdrawHost(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.catchUp()
	if h, found := c.hosts.get(id); found {
		c.withdraw(h, now)
	}
}

func (a *account) withdraw(h host, now time.Time) {
	for _, i := range h.busy {
		a.end(i, now, cloud.StateReason{Code: "Server.InternalError", Message: "Server.InternalError: Host failure"})
	}
	a.letGo(h.ID, now, cloud.HostReleasedFailure)
}
