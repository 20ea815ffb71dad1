package fakeec2

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// host is a dedicated host.
type host struct {
	cloud.Host
	mac     bool
	intel   bool
	busy    []string  // instances that take room of it
	settled time.Time // launches are refused until then, whatever its state says
	gen     int       // counts states: what was planned in another is off
}

// minimum is how long a Mac has to stay, from its allocation.
const minimum = 24 * time.Hour

// room is how many more instances fit.
func (h host) room() int {
	if h.State != cloud.HostAvailable {
		return 0
	}
	return max(0, hostSlots(h)-len(h.busy))
}

// hostSlots is how many instances a host takes: of a Mac one, and of others
// some number that no rule hangs on.
func hostSlots(h host) int {
	if h.mac {
		return 1
	}
	return 8
}

// Hosts implements cloud.API.
func (c *Cloud) Hosts(ctx context.Context, q cloud.Query) ([]cloud.Host, error) {
	return ask(ctx, c, "DescribeHosts", func(time.Time) ([]cloud.Host, error) {
		return list(c.account, q, &c.hosts, withTags(fields[host]{
			"availability-zone": func(h host) []string { return one(h.Zone) },
			"instance-type":     func(h host) []string { return one(h.Type) },
			"state":             func(h host) []string { return one(h.State) },
			"client-token":      func(h host) []string { return one(h.ClientToken) },
			"host-id":           func(h host) []string { return one(h.ID) }, // not EC2's: see cloud.Query
			"auto-placement":    func(host) []string { return one("off") },
		}, func(h host) cloud.Tags { return h.Tags }), func(h host) (cloud.Host, bool) { return h.show(), true })
	})
}

func (h host) show() cloud.Host {
	shown := h.Host
	shown.Free, shown.Instances, shown.Tags = h.room(), slices.Clone(h.Instances), copyTags(h.Tags)
	return shown
}

// Host is a host as it really is, whatever lists show.
func (c *Cloud) Host(id string) (cloud.Host, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.catchUp()
	h, found := c.hosts.get(id)
	return h.show(), found
}

// MacHosts implements cloud.API.
func (c *Cloud) MacHosts(ctx context.Context, q cloud.Query) ([]cloud.MacHost, error) {
	return ask(ctx, c, "DescribeMacHosts", func(time.Time) ([]cloud.MacHost, error) {
		return list(c.account, q, &c.hosts, fields[host]{
			"availability-zone": func(h host) []string { return one(h.Zone) },
			"instance-type":     func(h host) []string { return one(h.Type) },
			"host-id":           func(h host) []string { return one(h.ID) },
		}, func(h host) (cloud.MacHost, bool) {
			return cloud.MacHost{HostID: h.ID, Latest: slices.Clone(c.macOS(h.Type))}, h.mac && !h.Released()
		})
	})
}

// macOS is what a type of Mac starts without new firmware.
func (a *account) macOS(kind string) []string {
	if versions, set := a.macVersions[kind]; set {
		return versions
	}
	return []string{"13.6.7", "14.5"}
}

// SetMacVersions sets what macOS all hosts of a type start without new firmware.
func (c *Cloud) SetMacVersions(kind string, versions ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.macVersions[kind] = slices.Clone(versions)
}

// AllocateHost implements cloud.API.
func (c *Cloud) AllocateHost(ctx context.Context, r cloud.HostRequest) (id string, err error) {
	r.Tags = copyTags(r.Tags)
	return ask(ctx, c, "AllocateHosts", func(now time.Time) (string, error) {
		u := use{"host", r.Zone, r.ClientToken}
		if id, err := c.replay(u, r); err != nil || id != "" {
			return id, err
		}
		if err := c.checkAllocation(r); err != nil {
			return "", err
		}
		h := c.makeHost(r, now, c.opts.Timing.HostStart.pick(c.random))
		c.promised(u, r, h)
		c.touch(h)
		return h, nil
	})
}

func (a *account) checkAllocation(r cloud.HostRequest) error {
	t, known := a.types.get(r.Type)
	switch {
	case !known:
		return cloud.NewError("InvalidParameterValue", "Invalid value '%s' for InstanceType.", r.Type)
	case !slices.Contains(a.Zones(), r.Zone):
		return cloud.NewError("InvalidParameterValue", "Invalid availability zone: [%s]", r.Zone)
	case len(r.ClientToken) > 64:
		return cloud.NewError("InvalidParameterValue", "Length of ClientToken must be at most 64")
	case !a.offered[cloud.Offering{Type: r.Type, Zone: r.Zone}]:
		return cloud.NewError("Unsupported", "Your requested instance type (%s) is not supported in your requested Availability Zone (%s).", r.Type, r.Zone)
	}
	if err := checkTags(r.Tags); err != nil {
		return err
	}
	if err := a.checkHostLimit(t); err != nil {
		return err
	}
	limit, limited := a.capacity[slot{r.Zone, r.Type, Dedicated}]
	used := 0
	for _, h := range a.hosts.all() {
		if h.Type == r.Type && h.Zone == r.Zone && !h.Released() {
			used++
		}
	}
	if limited && limit >= 0 && used >= limit {
		return cloud.NewError("InsufficientHostCapacity", "Insufficient capacity.")
	}
	return nil
}

// checkHostLimit refuses a host beyond the account's limit, which counts
// released hosts for a while too.
func (a *account) checkHostLimit(t cloud.InstanceType) error {
	code := QuotaCode(t.Name, Dedicated)
	if code == "" {
		return nil // of other types nobody here tests the limit
	}
	used := 0
	for _, h := range a.hosts.all() {
		if QuotaCode(h.Type, Dedicated) == code && (!h.Released() || a.stillCounted[h.ID]) {
			used++
		}
	}
	if float64(used+1) > a.quotas[code] {
		family, _, _ := strings.Cut(t.Name, ".")
		return cloud.NewError("HostLimitExceeded", "The number of Dedicated hosts you've requested (1) would bring your total up to %d for the "+
			"specified group of instance types (%s). This exceeds your current limit of %v. If you've recently released Dedicated hosts, it may "+
			"take some time for them to stop counting towards your limit. Try allocating your hosts again after a few minutes. Please visit "+
			"http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this limit.",
			used+1, family, a.quotas[code])
	}
	return nil
}

// makeHost makes a host that can be used after a while.
func (a *account) makeHost(r cloud.HostRequest, now time.Time, starts time.Duration) (id string) {
	t, _ := a.types.get(r.Type)
	h := host{
		Host: cloud.Host{
			ID: a.newID("h"), Type: r.Type, Zone: r.Zone, State: cloud.HostPending, AllocationTime: now.UTC().Truncate(time.Millisecond),
			ClientToken: r.ClientToken, Tags: copyTags(r.Tags),
		},
		mac: t.Mac(), intel: slices.Contains(t.Architectures, "x86_64_mac"),
	}
	a.hosts.put(h.ID, now, h)
	a.open("host", h.ID, h.Type, a.prices[h.Type], false)
	a.happened(now, "host "+cloud.HostPending, h.ID)
	if starts == 0 {
		a.enterHost(h.ID, now, cloud.HostAvailable)
		return h.ID
	}
	a.nextHost(h.ID, starts, func(now time.Time, h host) { a.enterHost(h.ID, now, cloud.HostAvailable) })
	return h.ID
}

// enterHost brings a host into a state. It is paid for in all but when it is
// being scrubbed, and when it is gone.
func (a *account) enterHost(id string, now time.Time, state string) {
	a.hosts.change(id, now, func(h *host) {
		h.State = state
		h.gen++
	})
	a.pay(id, now, state != cloud.HostPending)
	a.happened(now, "host "+state, id)
}

func (a *account) nextHost(id string, after time.Duration, do func(now time.Time, h host)) {
	h, _ := a.hosts.get(id)
	gen := h.gen
	a.plan(after, func(now time.Time) {
		if h, found := a.hosts.get(id); found && h.gen == gen {
			do(now, h)
		}
	})
}
