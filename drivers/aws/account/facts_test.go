package account

import (
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/price"
)

// TestUsed: what counts to quotas, and how much.
func TestUsed(t *testing.T) {
	of := func(id, typ, state string) cloud.Instance {
		return cloud.Instance{ID: id, Type: typ, State: state, VCPUs: 1} // made with fewer than its type has
	}
	spot := of("i-s", "c5.large", cloud.Running)
	spot.Spot = true
	onHost := of("i-h", "c5.large", cloud.Running)
	onHost.HostID = "h-1"
	both := of("i-b", "c5.large", cloud.Running)
	mine := func(inst cloud.Instance, missing bool) Sighting {
		s := Sighting{Instance: inst, First: noon(), Last: noon()}
		if missing {
			s.Missing = noon().Add(time.Second)
		}
		return s
	}
	for _, test := range []struct {
		name         string
		use          []cloud.Instance
		mine         sightings
		holds        map[string]hold
		code         string
		all, running int
	}{
		{name: "the type's vCPUs", use: []cloud.Instance{of("i-1", "c5.large", cloud.Running)}, code: stdOnDemand, all: 2, running: 2},
		{name: "its own where the type is not known", use: []cloud.Instance{of("i-1", "m5.large", cloud.Running)}, code: stdOnDemand, all: 1, running: 1},
		{name: "pending runs", use: []cloud.Instance{of("i-1", "c5.large", cloud.Pending)}, code: stdOnDemand, all: 2, running: 2},
		{name: "stopped does not", use: []cloud.Instance{of("i-1", "c5.large", cloud.Stopped), of("i-2", "c5.large", cloud.ShuttingDown)}, code: stdOnDemand, all: 4},
		{name: "terminated counts not at all", use: []cloud.Instance{of("i-1", "c5.large", cloud.Terminated)}, code: stdOnDemand},
		{name: "spot is apart", use: []cloud.Instance{spot}, code: stdSpot, all: 2, running: 2},
		{name: "spot is not on demand", use: []cloud.Instance{spot}, code: stdOnDemand},
		{name: "on a host counts to nothing", use: []cloud.Instance{onHost}, code: stdOnDemand},
		{name: "in both lists counts once", use: []cloud.Instance{both}, mine: sightings{"i-b": mine(both, false)}, code: stdOnDemand, all: 2, running: 2},
		{name: "ours that others' list lacks", mine: sightings{"i-b": mine(both, false)}, code: stdOnDemand, all: 2, running: 2},
		{name: "ours that no list shows any more", mine: sightings{"i-b": mine(both, true)}, code: stdOnDemand},
		{name: "ours that ended since", use: []cloud.Instance{both}, mine: sightings{"i-b": mine(of("i-b", "c5.large", cloud.Terminated), false)}, code: stdOnDemand},
		{name: "on its way", holds: map[string]hold{"t": {Need: Need{Token: "t", Type: "c5.large"}}}, code: stdOnDemand, all: 2, running: 2},
		{name: "on its way as spot", holds: map[string]hold{"t": {Need: Need{Token: "t", Type: "c5.large", Spot: true}}}, code: stdSpot, all: 2, running: 2},
		{name: "on its way to a host", holds: map[string]hold{"t": {Need: Need{Token: "t", Type: "c5.large", OnHost: true}}}, code: stdOnDemand},
		{name: "a host on its way", holds: map[string]hold{"t": {Need: Need{Token: "t", Type: "c5.large", Host: true}}}, code: stdOnDemand},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := facts{use: test.use, useAsked: noon().Add(time.Minute), mine: test.mine, holds: test.holds,
				types: map[string]cloud.InstanceType{"c5.large": {Name: "c5.large", VCPUs: 2}}}
			if got, want := f.used()[test.code], (Use{test.all, test.running}); got != want {
				t.Errorf("used of %s = %+v, want %+v", test.code, got, want)
			}
		})
	}
}

// TestBill: what is on the bill of an instance, and what for.
func TestBill(t *testing.T) {
	tags := func(instance, purpose string) cloud.Tags {
		return cloud.Tags{cloud.TagNode: node, cloud.TagInstance: instance, cloud.TagPurpose: purpose}
	}
	one := func(instance, purpose, typ, state, host string) Sighting {
		return Sighting{Instance: cloud.Instance{Type: typ, State: state, HostID: host, Tags: tags(instance, purpose)}}
	}
	host := func(node, state string) HostSighting {
		t := tags(inst, cloud.PurposePool)
		t[cloud.TagNode] = node
		return HostSighting{Host: cloud.Host{Type: "mac2.metal", State: state, Tags: t}}
	}
	prices, err := price.New(map[string]float64{"c5.large": 1, "mac2.metal": 10})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name      string
		mine      []Sighting
		hosts     []HostSighting
		holds     []hold
		instances int
		hourly    float64
		unpriced  string
	}{
		{name: "runs", mine: []Sighting{one(inst, cloud.PurposeWork, "c5.large", cloud.Running, "")}, instances: 1, hourly: 1},
		{name: "stands still, and may go on", mine: []Sighting{one(inst, cloud.PurposeWork, "c5.large", cloud.Stopped, "")}, instances: 1, hourly: 1},
		{name: "without a purpose", mine: []Sighting{one(inst, "", "c5.large", cloud.Running, "")}, instances: 1, hourly: 1},
		{name: "ended", mine: []Sighting{one(inst, cloud.PurposeWork, "c5.large", cloud.ShuttingDown, "")}},
		{name: "another instance's", mine: []Sighting{one("aws/other", cloud.PurposeWork, "c5.large", cloud.Running, "")}},
		{name: "no environment", mine: []Sighting{one(inst, cloud.PurposeStep, "c5.large", cloud.Running, "")}, hourly: 1},
		{name: "on a host", mine: []Sighting{one(inst, cloud.PurposeWork, "mac2.metal", cloud.Running, "h-1")}, instances: 1},
		{name: "scrubs a host", mine: []Sighting{one(inst, cloud.PurposeScrub, "mac2.metal", cloud.Running, "h-1")}},
		{name: "without a price", mine: []Sighting{one(inst, cloud.PurposeWork, "q1.large", cloud.Running, "")}, instances: 1, unpriced: "q1.large"},
		{name: "twice without a price", mine: []Sighting{one(inst, "", "q1.large", cloud.Running, ""), one(inst, "", "q1.large", cloud.Running, "")}, instances: 2, unpriced: "q1.large"},
		{name: "a host", hosts: []HostSighting{host(node, cloud.HostAvailable)}, hourly: 10},
		{name: "a pending host, which ends that by itself", hosts: []HostSighting{host(node, cloud.HostPending)}, hourly: 10},
		{name: "a released host", hosts: []HostSighting{host(node, cloud.HostReleased)}},
		{name: "another node's host", hosts: []HostSighting{host("node-2", cloud.HostAvailable)}},
		{name: "on its way", holds: []hold{{Need: Need{Type: "c5.large"}, instance: inst}}, instances: 1, hourly: 1},
		{name: "another instance's on its way", holds: []hold{{Need: Need{Type: "c5.large"}, instance: "aws/other"}}},
		{name: "on its way to a host", holds: []hold{{Need: Need{Type: "mac2.metal", OnHost: true}, instance: inst}}, instances: 1},
		{name: "a host on its way", holds: []hold{{Need: Need{Type: "mac2.metal", Host: true}, instance: inst}}, hourly: 10},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := facts{mine: sightings{}, mineAsked: noon(), hosts: hostSightings{}, hostsAsked: noon(), holds: map[string]hold{}}
			for i, s := range test.mine {
				f.mine[string(rune('a'+i))] = s
			}
			for i, h := range test.hosts {
				f.hosts[string(rune('a'+i))] = h
			}
			for i, h := range test.holds {
				f.holds[string(rune('a'+i))] = h
			}
			got := f.bill(node, inst, prices, []string{"mac"})
			if !got.Known || got.Instances != test.instances || got.Hourly != test.hourly || strings.Join(got.Unpriced, " ") != test.unpriced {
				t.Errorf("bill = %+v, want %d for %v, unpriced %q", got, test.instances, test.hourly, test.unpriced)
			}
		})
	}
	if (&facts{mineAsked: noon()}).bill(node, inst, prices, []string{"mac"}).Known {
		t.Error("the bill of one with pools is known before its hosts are")
	}
	if !(&facts{mineAsked: noon()}).bill(node, inst, prices, nil).Known {
		t.Error("the bill of one without pools is not known without hosts")
	}
}

// TestEndIsSeen: an instance that EC2 takes away is left out of the lists of
// what is there, and is known all the same with the reason.
func TestEndIsSeen(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.capacity(large)
		w.pass(5 * time.Second)
		got := w.mustLaunch("t-1", Need{Type: large, Spot: true})
		w.pass(time.Minute)
		w.ec2.Interrupt(got.ID, "instance-terminated-no-capacity")
		w.pass(5 * time.Minute)
		list, _ := w.m.Instances()
		if len(list) != 1 || list[0].State != cloud.Terminated || !strings.Contains(list[0].Reason.Code, "Spot") || !list[0].Missing.IsZero() {
			w.Errorf("instances = %+v, want the one that ended, and why", list)
		}
		w.pass(3 * time.Hour)
		if list, _ := w.m.Instances(); len(list) != 0 {
			w.Errorf("instances = %+v, want it forgotten", list)
		}
	})
}

// TestWhatEndedIsNotListed: EC2 lists it for an hour, and we ask for it once.
func TestWhatEndedIsNotListed(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.capacity(large)
		w.pass(5 * time.Second)
		for _, token := range []string{"t-1", "t-2", "t-3"} {
			got := w.mustLaunch(token, Need{Type: large})
			w.pass(time.Minute)
			if err := w.ec2.TerminateInstances(w.Context(), []string{got.ID}); err != nil {
				w.Fatal(err)
			}
		}
		w.pass(5 * time.Minute)
		w.api.mu.Lock()
		before := w.api.listed
		w.api.mu.Unlock()
		w.pass(10 * time.Minute)
		w.api.mu.Lock()
		defer w.api.mu.Unlock()
		if n := w.api.listed - before; n != 0 {
			w.Errorf("%d times something was listed that has ended", n)
		}
	})
}

// TestEndOfALostLaunchIsSeen: the launch was done, nobody knows, and it ended at
// once: no list of what is there ever showed it.
func TestEndOfALostLaunchIsSeen(t *testing.T) {
	inWorld(t, Options{Brakes: Brakes{MaxInstances: 1}}, func(w *world) {
		w.capacity(large)
		w.pass(5 * time.Second)
		w.ec2.Inject(fakeec2.Fault{Action: "RunInstances", Done: true})
		heal := w.ec2.Inject(fakeec2.Fault{Action: "DescribeInstances", Times: -1})
		w.ec2.FailNextLaunch("Client.VolumeLimitExceeded", "Volume limit exceeded")
		if _, err := w.launch(w.m, "t-1", Need{Type: large}); err == nil {
			w.Fatal("the reply was not lost")
		}
		w.pass(3 * time.Minute)
		heal()
		w.pass(time.Minute)
		if list, _ := w.m.Instances(); len(list) != 1 || list[0].State != cloud.Terminated || !strings.Contains(list[0].Reason.Code, "VolumeLimit") {
			w.Errorf("instances = %+v, want the one that ended, and why", list)
		}
		w.wantCapacity(1, "max_instances")
	})
}

// TestSubscribe: who watches is woken by what changes, once for all that
// changed since it looked, and by nothing else.
func TestSubscribe(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.capacity(large)
		w.pass(time.Minute)
		changed, stop := w.m.Subscribe()
		woken := func() bool {
			select {
			case <-changed:
				return true
			default:
				return false
			}
		}
		w.pass(10 * time.Minute)
		if woken() {
			w.Error("woken by nothing")
		}
		got := w.mustLaunch("t-1", Need{Type: large})
		w.mustLaunch("t-2", Need{Type: large})
		if !woken() || woken() {
			w.Error("two launches are not one event")
		}
		w.pass(2 * time.Minute)
		if !woken() {
			w.Error("not woken by machines that run")
		}
		if err := w.ec2.TerminateInstances(w.Context(), []string{got.ID}); err != nil {
			w.Fatal(err)
		}
		w.pass(2 * time.Minute)
		if !woken() {
			w.Error("not woken by an end")
		}
		w.ec2.Outage(time.Minute)
		w.pass(50 * time.Second)
		if !woken() {
			w.Error("not woken by an outage")
		}
		stop()
		w.pass(10 * time.Minute)
		if woken() {
			w.Error("woken after the end of the subscription")
		}
		if len(w.m.subs) != 0 {
			w.Errorf("%d subscriptions are left", len(w.m.subs))
		}
	})
}
