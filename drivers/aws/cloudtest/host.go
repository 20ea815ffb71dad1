package cloudtest

import (
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

func hostCases() []testCase {
	return []testCase{
		{"host: what was asked for", hostIsAsAsked},
		{"host: has room for one Mac", hostHasRoom},
		{"host: repeated with its token", hostRepeated},
		{"host: without a token", func(k *check) {
			_, err := k.API.AllocateHost(k.ctx, cloud.HostRequest{Type: k.MacType, Zone: k.Zones[0]})
			k.is(err, "a host without a token", cloud.Refused)
		}},
		{"host: unknown type", func(k *check) {
			_, err := k.API.AllocateHost(k.ctx, cloud.HostRequest{ClientToken: k.next(), Type: "mac99.metal", Zone: k.Zones[0]})
			k.is(err, "a host of no type", cloud.Refused)
		}},
		{"host: over the quota", hostOverQuota},
		{"host: filters", hostFilters},
		{"host: a Mac on it", hostWithMac},
		{"host: a second Mac on it", hostOccupied},
		{"host: unknown host", func(k *check) {
			l := k.mac("h-00000000000000bad")
			_, err := k.API.RunInstance(k.ctx, l)
			k.is(err, "a Mac on no host", cloud.NotFound, cloud.NoHostCapacity)
		}},
		{"host: a Mac without one", func(k *check) {
			_, err := k.API.RunInstance(k.ctx, k.mac(""))
			k.is(err, "a Mac on no host", cloud.Refused, cloud.NoCapacity)
		}},
		{"host: is scrubbed after a Mac", hostScrubbed},
		{"host: release before 24 hours", hostTooYoung},
		{"host: release under a Mac", hostInUse},
		{"host: release", hostRelease},
		{"host: release of what is not there", hostReleaseUnknown},
		{"host: what macOS it starts", macHosts},
	}
}

// mac is a launch on a host, of an image of macOS.
func (k *check) mac(host string) cloud.Launch {
	l := k.request()
	l.HostID, l.Type, l.ImageID = host, k.MacType, k.MacImage
	return l
}

// allocate makes a host, and waits until it is available.
func (k *check) allocate() cloud.Host {
	id, err := k.API.AllocateHost(k.ctx, cloud.HostRequest{ClientToken: k.next(), Type: k.MacType, Zone: k.Zones[0], Tags: tags()})
	k.ok(err, "allocate")
	return k.hostIn(id, cloud.HostAvailable)
}

// hostIn waits until a host is in a state.
func (k *check) hostIn(id, state string) (found cloud.Host) {
	k.until(6*time.Hour, id+" is "+state, func() bool {
		list, err := k.API.Hosts(k.ctx, cloud.Where("instance-type", k.MacType)) // EC2 has no filter by id
		k.ok(err, "list hosts")
		at := slices.IndexFunc(list, func(h cloud.Host) bool { return h.ID == id })
		if at < 0 {
			return false
		}
		found = list[at]
		return found.State == state
	})
	return found
}

func hostIsAsAsked(k *check) {
	h := k.allocate()
	if h.Type != k.MacType || h.Zone != k.Zones[0] || !fits(h.Tags) || h.AllocationTime.IsZero() || len(h.Instances) != 0 || h.Released() {
		k.errorf("the host is %+v", h)
	}
}

func hostHasRoom(k *check) {
	if h := k.allocate(); h.Free != 1 {
		k.errorf("an empty host has room for %d", h.Free)
	}
}

func hostRepeated(k *check) {
	r := cloud.HostRequest{ClientToken: k.next(), Type: k.MacType, Zone: k.Zones[0], Tags: tags()}
	first, err := k.API.AllocateHost(k.ctx, r)
	k.ok(err, "allocate")
	second, err := k.API.AllocateHost(k.ctx, r)
	k.ok(err, "allocate again")
	if first != second {
		k.errorf("one token gave %s and %s", first, second)
	}
	finds(k, func(q cloud.Query) ([]cloud.Host, error) { return k.API.Hosts(k.ctx, q) }, func(h cloud.Host) string { return h.ID }, []want{
		{cloud.Where("client-token", r.ClientToken), []string{first}},
	})
}

func hostOverQuota(k *check) {
	k.allocate()
	k.allocate()
	_, err := k.API.AllocateHost(k.ctx, cloud.HostRequest{ClientToken: k.next(), Type: k.MacType, Zone: k.Zones[0]})
	k.is(err, "a third host", cloud.Quota)
}

func hostFilters(k *check) {
	a := k.allocate()
	id, err := k.API.AllocateHost(k.ctx, cloud.HostRequest{ClientToken: k.next(), Type: k.MacType, Zone: k.Zones[1], Tags: cloud.Tags{cloud.TagPool: "mac"}})
	k.ok(err, "allocate")
	b := k.hostIn(id, cloud.HostAvailable)
	finds(k, func(q cloud.Query) ([]cloud.Host, error) { return k.API.Hosts(k.ctx, q) }, func(h cloud.Host) string { return h.ID }, []want{
		{cloud.Query{}, []string{a.ID, b.ID}},
		{cloud.Where("availability-zone", k.Zones[1]), []string{b.ID}},
		{cloud.Where("instance-type", k.MacType), []string{a.ID, b.ID}},
		{cloud.Where("state", cloud.HostAvailable, cloud.HostPending), []string{a.ID, b.ID}},
		{cloud.Where("state", cloud.HostPending), nil},
		{cloud.Where("tag-key", cloud.TagPool), []string{b.ID}},
		{cloud.Where("tag-key", "none"), nil},
		{cloud.Where("host-id", a.ID, "h-00000000000000bad"), []string{a.ID}},
		{cloud.Where("tag:"+cloud.TagPool, "mac"), []string{b.ID}},
		{cloud.Where("tag:"+cloud.TagNode, "node-*").And("state", cloud.HostAvailable), []string{a.ID}},
		{cloud.Where("tag:"+cloud.TagPool, "other"), nil},
	})
}

func hostWithMac(k *check) {
	h := k.allocate()
	i, err := k.API.RunInstance(k.ctx, k.mac(h.ID))
	k.ok(err, "launch")
	i = k.reach(i.ID, cloud.Running)
	if i.HostID != h.ID || i.Zone != h.Zone {
		k.errorf("the Mac is %+v", i)
	}
	if h = k.hostIn(h.ID, cloud.HostAvailable); !slices.Equal(h.Instances, []string{i.ID}) || h.Free != 0 {
		k.errorf("the host is %+v", h)
	}
	finds(k, func(q cloud.Query) ([]cloud.Instance, error) { return k.API.Instances(k.ctx, q) }, func(i cloud.Instance) string { return i.ID }, []want{
		{cloud.Where("host-id", h.ID), []string{i.ID}},
	})
}

func hostOccupied(k *check) {
	h := k.allocate()
	_, err := k.API.RunInstance(k.ctx, k.mac(h.ID))
	k.ok(err, "launch")
	_, err = k.API.RunInstance(k.ctx, k.mac(h.ID))
	k.is(err, "a second Mac", cloud.NoHostCapacity)
}

func hostScrubbed(k *check) {
	h := k.allocate()
	i, err := k.API.RunInstance(k.ctx, k.mac(h.ID))
	k.ok(err, "launch")
	k.reach(i.ID, cloud.Running)
	k.ok(k.API.TerminateInstances(k.ctx, []string{i.ID}), "terminate")
	k.hostIn(h.ID, cloud.HostPending)
	if h = k.hostIn(h.ID, cloud.HostAvailable); len(h.Instances) != 0 || h.Free != 1 {
		k.errorf("after it the host is %+v", h)
	}
}

func hostTooYoung(k *check) {
	h := k.allocate()
	released, refused, err := k.API.ReleaseHosts(k.ctx, []string{h.ID})
	k.ok(err, "release")
	e := refused[h.ID]
	if len(released) != 0 || e == nil {
		k.fatalf("released %v, refused %v", released, refused)
	}
	wait := e.NotBefore.Sub(h.AllocationTime)
	if e.Kind != cloud.TooYoung || wait < 24*time.Hour-time.Minute || wait > 24*time.Hour+time.Minute {
		k.errorf("refused by %v of the kind %v, until %v after it was allocated", e, e.Kind, wait)
	}
}

func hostInUse(k *check) {
	h := k.allocate()
	_, err := k.API.RunInstance(k.ctx, k.mac(h.ID))
	k.ok(err, "launch")
	k.pass(25 * time.Hour)
	released, refused, err := k.API.ReleaseHosts(k.ctx, []string{h.ID})
	k.ok(err, "release")
	if e := refused[h.ID]; len(released) != 0 || e == nil || e.Kind != cloud.Busy {
		k.errorf("released %v, refused %v", released, refused)
	}
}

func hostRelease(k *check) {
	h := k.allocate()
	k.pass(25 * time.Hour)
	released, refused, err := k.API.ReleaseHosts(k.ctx, []string{h.ID})
	if err != nil || !slices.Equal(released, []string{h.ID}) || len(refused) != 0 {
		k.fatalf("released %v, refused %v, %v", released, refused, err)
	}
	list, err := k.API.Hosts(k.ctx, cloud.Query{})
	k.ok(err, "list hosts")
	for _, left := range list { // a while, or not at all
		if !left.Released() {
			k.errorf("after it there is %+v", left)
		}
	}
}

func hostReleaseUnknown(k *check) {
	released, refused, err := k.API.ReleaseHosts(k.ctx, []string{"h-00000000000000bad"})
	if err == nil && refused["h-00000000000000bad"] != nil {
		err = refused["h-00000000000000bad"]
	}
	k.is(err, "the release of nothing", cloud.NotFound)
	if len(released) != 0 {
		k.errorf("released %v", released)
	}
}

func macHosts(k *check) {
	h := k.allocate()
	list, err := k.API.MacHosts(k.ctx, cloud.Query{})
	k.ok(err, "list")
	if len(list) != 1 || list[0].HostID != h.ID || len(list[0].Latest) == 0 {
		k.errorf("the Macs are %+v", list)
	}
	list, err = k.API.MacHosts(k.ctx, cloud.Where("availability-zone", k.Zones[1]))
	if err != nil || len(list) != 0 {
		k.errorf("of another zone: %+v, %v", list, err)
	}
}
