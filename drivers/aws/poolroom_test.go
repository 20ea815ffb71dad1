package aws

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

const macQuota = "L-5D8DADF5"

// onMacIn is onMac, in one zone.
func onMacIn(zone string) model.LabelDefinition {
	return definition(fmt.Sprintf(`{"image": "ci-mac-*", "pool": "mac", "zones": [%q]}`, zone))
}

// TestPoolRoomIsWhatMayBeAllocated: there is no room for what the quota or the
// brake refuses, and it comes and goes with them. Hosts that are there are room whatever they say.
func TestPoolRoomIsWhatMayBeAllocated(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, cfg string // of the instance, beside the pool
		quota     float64
		hosts     int // idle ones of the pool's, that are there
		want      int
		why       string
	}{
		{name: "all that it may have", quota: 10, want: 2},
		{name: "the quota of a new account", want: 0, why: "quota L-5D8DADF5: 0 of 0 hosts of mac2.metal are used"},
		{name: "a quota of one", quota: 1, want: 1},
		{name: "a quota that is used up, and a host that is there", quota: 1, hosts: 1, want: 1},
		{name: "no money", cfg: "max_hourly_cost: 0.1\n", quota: 10, want: 0, why: "max_hourly_cost is 0.10 USD"},
		{name: "money for one", cfg: "max_hourly_cost: 1\n", quota: 10, want: 1},
		{name: "no money, and a host that is there", cfg: "max_hourly_cost: 0.7\n", quota: 10, hosts: 1, want: 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t)
				s.withMacs("")
				s.cfg += test.cfg
				s.cloud.SetQuota(macQuota, test.quota)
				for range test.hosts {
					s.cloud.AddHost(fakeec2.HostSpec{Type: "mac2.metal", Zone: "eu-central-1a", Tags: cloud.Tags{
						cloud.TagPool: "mac", cloud.TagNode: node.String(), cloud.TagInstance: "aws",
					}})
				}
				d := s.start(t)
				time.Sleep(20 * time.Minute) // who takes a pool over waits for ten
				wantRoom(t, d, onMac(), test.want, test.why)
				if v := d.pools.Pools(t.Context())[0]; v.Capacity != test.want || !strings.Contains(v.Trouble, test.why) {
					t.Errorf("the admin is shown %d and %q, want %d and %q", v.Capacity, v.Trouble, test.want, test.why)
				}
				if n := len(s.hostIDs()); n > test.hosts {
					t.Errorf("there are %d hosts, though nobody asked for one", n)
				}
			})
		})
	}
}

// TestPoolRoomComesWithTheQuota: what a raised quota allows is room when it is
// known, and the node is told. Who waits for a host is counted.
func TestPoolRoomComesWithTheQuota(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.withMacs("")
		s.cloud.SetQuota(macQuota, 0)
		d, told := s.openWithRoom(t)
		time.Sleep(time.Minute)
		wantRoom(t, d, onMac(), 0, "quota")
		ended := make(chan error, 1)
		go func() {
			_, err := d.Allocate(within(t, 4*time.Hour), request("a", onMac())) // it was voted for before the quota was known
			ended <- err
		}()
		time.Sleep(time.Minute)
		for range 60 { // however often the pool asks AWS again
			wantRoom(t, d, onMac(), 0, "pool mac: ")
			time.Sleep(time.Minute)
		}
		told.Store(0)
		s.cloud.SetQuota(macQuota, 3)
		if err := <-ended; err != nil {
			t.Fatalf("Allocate = %v after the quota was raised", err)
		}
		time.Sleep(2 * time.Hour)
		if told.Load() == 0 {
			t.Error("the node was not told that there is room")
		}
		wantRoom(t, d, onMac(), 1, "")
	})
}

// TestPoolRoomByZone: a host in one zone is no room for a label that is to be in
// another one, by its option or its network.
func TestPoolRoomByZone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.cloud.SetQuota(macQuota, 10)
		s.cfg = "dedicated_pool: {mac: {type: mac2.metal, zones: [eu-central-1a, eu-central-1b], max: 1}}\n"
		d := s.start(t)
		time.Sleep(time.Minute)
		a, b := onMacIn("eu-central-1a"), onMacIn("eu-central-1b")
		wantRoom(t, d, a, 1, "")
		wantRoom(t, d, b, 1, "")
		if _, _, err := d.hosts.Reserve(within(t, 5*time.Minute), "mac", token("a"), []string{"eu-central-1a"}); err != nil {
			t.Fatal(err)
		}
		d.hosts.Released(within(t, time.Minute), "mac", token("a"))
		time.Sleep(time.Minute)
		const why = "its free hosts are in eu-central-1a, and it has 1 hosts, and may have 1 (1 available)"
		wantRoom(t, d, a, 1, "")
		wantRoom(t, d, b, 0, why)
		wantRoom(t, d, onMac(), 1, "")
		wantRoom(t, d, s.inSubnetOf(t, "eu-central-1a"), 1, "")
		wantRoom(t, d, s.inSubnetOf(t, "eu-central-1b"), 0, why)
		wantRoom(t, d, onMacIn("eu-central-1z"), 0, "has no subnet in eu-central-1z")
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		if _, _, err := d.hosts.Reserve(ctx, "mac", token("b"), []string{"eu-central-1b"}); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("Reserve = %v, want that the host is elsewhere", err)
		}
	})
}

// inSubnetOf is onMac in the network of one zone's subnet.
func (s *site) inSubnetOf(t *testing.T, zone string) model.LabelDefinition {
	t.Helper()
	subnets, err := s.cloud.Subnets(t.Context(), cloud.Query{})
	i := slices.IndexFunc(subnets, func(sub cloud.Subnet) bool { return sub.Zone == zone })
	if err != nil || i < 0 {
		t.Fatalf("subnets of %s: %v, %v", zone, subnets, err)
	}
	def := onMac()
	def.Resources.Network = subnets[i].ID
	return def
}

// TestPoolRoomWhileAWSIsAway: whatever a pool would say of its hosts then, the
// reason is AWS.
func TestPoolRoomWhileAWSIsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.withMacs("")
		d, told := s.openWithRoom(t)
		time.Sleep(time.Minute)
		wantRoom(t, d, onMac(), 2, "")
		s.cloud.Outage(30 * time.Minute)
		for _, later := range []time.Duration{time.Minute, 20 * time.Minute} {
			time.Sleep(later)
			wantRoom(t, d, onMac(), 0, "does not answer since")
		}
		told.Store(0)
		time.Sleep(12 * time.Minute)
		wantRoom(t, d, onMac(), 2, "")
		if told.Load() == 0 {
			t.Error("the node was not told that AWS is back")
		}
	})
}
