package pool

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// The tests of this file are named after faults that a pool of Macs had before
// this one. Each fails where the fault is.

// TestFaultReleasedBeforeItsDay: a missing delay made every idle Mac "too old":
// release at once, refused, and the next request bought another.
func TestFaultReleasedBeforeItsDay(t *testing.T) {
	b := newBed(t, macs()) // no delay is configured
	h := b.mac("h-1", 0)
	b.list(h)
	b.wait(23*time.Hour+59*time.Minute, h)
	none[ReleaseHosts](b)
	b.step(Want{Token: "t"})
	none[AllocateHost](b)
	if g := must[Grant](b); g.Host != "h-1" {
		t.Errorf("granted %+v", g)
	}
}

// TestFaultRefusedReleaseForgotten: hosts whose release was refused vanished
// from the books, and were paid for on.
func TestFaultRefusedReleaseForgotten(t *testing.T) {
	b := newBed(t, macs())
	hosts := []cloud.Host{b.mac("h-1", 25*time.Hour), b.mac("h-2", 25*time.Hour)}
	b.list(hosts...)
	for range 10 {
		ask := must[ReleaseHosts](b)
		refused := map[string]*cloud.Error{}
		for _, id := range ask.Hosts {
			refused[id] = cloud.NewError("Client.InvalidHost.Occupied", "occupied")
		}
		b.step(Released{Action: ask.ID, Refused: refused})
		if a := b.Accounting(); a.Total != 2 || a.Paid != 2 {
			t.Fatalf("accounting %+v", a)
		}
		b.step(Want{Token: "t", Until: b.clock.Add(time.Second)})
		none[AllocateHost](b)
		b.wait(5*time.Minute, hosts...)
	}
	ask := must[ReleaseHosts](b)
	b.step(Released{Action: ask.ID, Released: ask.Hosts})
	if a := b.Accounting(); a.Total != 0 {
		t.Errorf("accounting %+v", a)
	}
}

// TestFaultMaximumExceeded: requests at the same time each counted the hosts
// without those that the others were about to get.
func TestFaultMaximumExceeded(t *testing.T) {
	cfg := macs()
	cfg.Max = 3
	b := newBed(t, cfg)
	b.list(used(b.mac("h-1", time.Hour)))
	asked := 0
	for i := range 20 {
		b.step(Want{Token: fmt.Sprint("t", i)})
		asked += len(only[AllocateHost](b.acts))
		if i%3 == 0 { // lists that do not have the new ones yet
			b.list(used(b.mac("h-1", time.Hour)))
			asked += len(only[AllocateHost](b.acts))
		}
	}
	if asked != 2 {
		t.Errorf("%d hosts are asked for, want 2", asked)
	}
}

// TestFaultMacByName: which hosts have to stay a day was told by the prefix of
// the type's name.
func TestFaultMacByName(t *testing.T) {
	for _, typ := range []string{"mac1.metal", "mac-m4.metal", "mac-m4pro.metal", "mac-m4max.metal", "mac-m3ultra.metal", "u7i-12tb.metal"} {
		for _, minAge := range []time.Duration{0, MacMinAge} {
			cfg := macs()
			cfg.Type, cfg.MinAge = typ, minAge
			b := newBed(t, cfg)
			h := b.mac("h-1", time.Hour)
			h.Type = typ
			b.list(h)
			if got := one[ReleaseHosts](b) != nil; got != (minAge == 0) {
				t.Errorf("%s with a minimum of %v: released %v", typ, minAge, got)
			}
		}
	}
}

// TestFaultConfigChanged: hosts were found by type and zone, and those of
// before a change of the config were paid for and never looked at again.
func TestFaultConfigChanged(t *testing.T) {
	changes := map[string]func(c *Config){
		"type": func(c *Config) { c.Type = "mac2-m2.metal" }, "zones": func(c *Config) { c.Zones = []string{"z"} },
		"max": func(c *Config) { c.Max = 0 }, "removed": func(c *Config) { *c = Config{Name: "mac", MinAge: MacMinAge} },
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, macs())
			hosts := []cloud.Host{b.mac("h-1", time.Hour), used(b.mac("h-2", time.Hour))}
			b.list(hosts...)
			saved := b.Saved()
			cfg := macs()
			cfg.IdleDelay = 100 * time.Hour
			change(&cfg)
			b = restored(t, cfg, &saved)
			b.list(hosts...)
			if a := b.Accounting(); a.Total != 2 || a.Phases[Busy] != 1 || a.Phases[Available] != 1 {
				t.Fatalf("accounting %+v", a)
			}
			b.step(Want{Token: "t", Type: "mac2.metal", Zones: []string{"a"}, Until: b.clock.Add(time.Hour)})
			if g := must[Grant](b); g.Host != "h-1" {
				t.Errorf("what is paid for is of no use: %+v", g)
			}
			b.step(Cancel{"t"})
			b.wait(23*time.Hour, hosts...)
			if a := only[ReleaseHosts](b.acts); len(a) == 0 || !slices.Equal(a[0].Hosts, []string{"h-1"}) {
				t.Errorf("released %+v", a)
			}
		})
	}
}

// TestFaultOldPool: hosts of the version before are found by their tags alone,
// and are as old as AWS says.
func TestFaultOldPool(t *testing.T) {
	b := restored(t, macs(), nil)
	h := b.mac("h-1", 23*time.Hour)
	h.Tags = cloud.Tags{cloud.TagOldPool: "mac", cloud.TagOldPoolPrefix + "mac": ""}
	b.wait(11*time.Minute, h)
	b.wantPhase("h-1", Available)
	if v := b.Views()[0]; !v.Allocated.Equal(h.AllocationTime) || !v.Release.Equal(h.AllocationTime.Add(24*time.Hour)) {
		t.Errorf("view %+v", v)
	}
	b.wait(time.Hour, h)
	if len(only[ReleaseHosts](b.acts)) == 0 {
		t.Error("it is a day old, and not released")
	}
}

// TestFaultOutageHoldsAll: one call that hung held up the whole pool.
func TestFaultOutageHoldsAll(t *testing.T) {
	b := newBed(t, scrubbing())
	b.list(b.mac("h-1", time.Hour), b.mac("h-2", 25*time.Hour), b.mac("h-3", 2*time.Hour))
	must[ReleaseHosts](b)
	b.wait(5 * time.Minute)
	if n := len(only[StartScrub](b.acts)); n != 2 {
		t.Fatalf("%d scrubs, want 2", n)
	}
	// None of all these calls is ever answered. Half an hour later:
	b.wait(30 * time.Minute)
	if len(b.acts) > 200 {
		t.Errorf("%d actions in 30 minutes without an answer", len(b.acts))
	}
	if len(only[Alarm](b.acts)) == 0 {
		t.Error("nobody was told")
	}
	b.step(Want{Token: "t", Until: b.clock.Add(time.Minute)})
	b.wait(time.Minute)
	must[Refuse](b)
	b.answer(nil, b.mac("h-4", time.Hour))
	b.step(Want{Token: "t2", Zones: []string{"a"}})
	must[Grant](b)
}

// TestFaultReservedScrubbed: what to scrub and release was decided first, and
// done later, when the host was reserved.
func TestFaultReservedScrubbed(t *testing.T) {
	for _, age := range []time.Duration{time.Hour, 24*time.Hour - 5*time.Minute} {
		b := newBed(t, scrubbing())
		h := b.mac("h-1", age)
		b.list(h)
		b.wait(5*time.Minute-time.Second, h)
		b.clock = b.clock.Add(time.Second) // all is due in this step
		b.step(Want{Token: "t"})
		must[Grant](b)
		none[StartScrub](b)
		none[ReleaseHosts](b)
		b.wait(9*time.Minute, h)
		if len(only[StartScrub](b.acts))+len(only[ReleaseHosts](b.acts)) > 0 {
			t.Errorf("of a reserved host: %+v", b.acts)
		}
	}
}

// TestFaultReservationLost: a reservation lived until the next list, which did
// not know of the launch that was on its way.
func TestFaultReservationLost(t *testing.T) {
	b := newBed(t, macs())
	h := b.mac("h-1", time.Hour)
	b.step(Described{Action: must[Describe](b).ID, Hosts: []cloud.Host{h}})
	b.step(Want{Token: "t1", Zones: []string{"a"}})
	must[Grant](b)
	b.step(Want{Token: "t2", Zones: []string{"a"}, Until: b.clock.Add(time.Hour)})
	for i := range 20 {
		b.answer(nil, h)
		if i == 5 {
			b.step(Launched{Token: "t1", Err: errors.New("timeout")})
		}
		if g := one[Grant](b); g != nil && b.clock.Before(at("2026-03-02 08:05")) {
			t.Fatalf("%+v at %v", g, b.clock)
		}
	}
	b.wantPhase("h-1", Reserved)
	b.list(used(h))
	b.wantPhase("h-1", Busy)
	// A list that was sent before the launch comes after one that shows it.
	b.step(Described{Sent: b.clock.Add(-time.Minute), Hosts: []cloud.Host{h}})
	b.wantPhase("h-1", Busy)
	// And one that was sent after it, and is late.
	b.clock = b.clock.Add(time.Minute)
	b.step(Described{Sent: b.clock, Hosts: []cloud.Host{h}})
	b.wantPhase("h-1", Busy)
	none[Grant](b)
}

// TestFaultFailedHost: a failed host was released again and again, twice in one
// call, before its time, and then scrubbed.
func TestFaultFailedHost(t *testing.T) {
	b := newBed(t, scrubbing())
	h := in(b.mac("h-1", 20*time.Hour), cloud.HostPermanentFailure)
	acts := append(b.list(h), b.wait(4*time.Hour-time.Second, h)...)
	if len(only[StartScrub](acts))+len(only[ReleaseHosts](acts)) > 0 {
		t.Fatalf("before its time: %+v", acts)
	}
	if n := len(only[Alarm](acts)); n != 1 {
		t.Errorf("%d alarms, want 1", n)
	}
	acts = b.wait(time.Hour, h) // without an answer
	releases := only[ReleaseHosts](acts)
	if len(releases) == 0 || len(releases) > 13 {
		t.Fatalf("%d releases in an hour", len(releases))
	}
	for _, r := range releases {
		if !slices.Equal(r.Hosts, []string{"h-1"}) {
			t.Errorf("released %v", r.Hosts)
		}
	}
	if n := len(only[Alarm](acts)); n != 0 {
		t.Errorf("%d alarms more", n)
	}
	last := releases[len(releases)-1]
	b.step(Released{Action: last.ID, Refused: map[string]*cloud.Error{"h-1": cloud.NewError("Client.InvalidHost.Occupied", "no")}})
	b.wantPhase("h-1", Failed)
	if len(only[Alarm](b.acts)) != 0 {
		t.Error("told again")
	}
}

// TestFaultTwoOwners: two nodes with one pool both ran it, each with its own maximum.
func TestFaultTwoOwners(t *testing.T) {
	cfg := macs()
	cfg.Max = 1
	one, two := newBed(t, cfg), &bed{State: New(cfg, nil), t: t, clock: at("2026-03-02 08:00")}
	one.list()
	two.step(Want{Token: "t"})
	must[Refuse](two)
	if two.Capacity() != 0 || one.Capacity() != 1 {
		t.Errorf("capacities %d and %d", one.Capacity(), two.Capacity())
	}
	one.step(Want{Token: "t"})
	ask := must[AllocateHost](one)
	one.step(Own{Owner: false})
	if acts := one.wait(time.Hour); len(acts) > 0 {
		t.Errorf("who is not the owner does %+v", acts)
	}
	// What the first has under way comes to be known before the second acts.
	two.step(Own{Owner: true})
	two.step(Want{Token: "t2"})
	h := two.mac("h-1", 0)
	h.ClientToken = ask.ClientToken
	two.wait(9*time.Minute, h)
	none[AllocateHost](two)
	none[Grant](two)
	two.wait(2*time.Minute, h)
	none[AllocateHost](two)
	must[Grant](two)
}

// TestFaultSightings: one list without a host is no proof that it is gone.
func TestFaultSightings(t *testing.T) {
	b := newBed(t, macs())
	h := b.mac("h-1", time.Hour)
	b.list(h)
	b.list()
	b.step(Want{Token: "t", Zones: []string{"a"}})
	none[Grant](b) // but it is not given away either
	b.step(Cancel{"t"})
	b.wantPhase("h-1", Available)
	b.list(h)
	b.wantPhase("h-1", Available)
	b.wait(4*time.Minute, []cloud.Host{}...)
	b.wantPhase("h-1", Available)
	b.wait(2*time.Minute, []cloud.Host{}...)
	b.wantPhase("h-1", Lost)
	if len(only[Alarm](b.acts)) != 1 {
		t.Errorf("actions %+v", b.acts)
	}
	b.list(h)
	b.wantPhase("h-1", Available)
	b.wait(2*time.Hour, b.in("h-9", cloud.HostReleased))
	if a := b.Accounting(); a.Total != 0 {
		t.Errorf("it is shown on: %+v", a)
	}
}

// TestListsOutOfOrder: of lists that come by themselves an older one, and one
// that was sent before something was done, changes nothing.
func TestListsOutOfOrder(t *testing.T) {
	b := newBed(t, macs())
	h := b.mac("h-1", time.Hour)
	b.step(Described{Sent: b.clock, Partial: true, Hosts: []cloud.Host{h}})
	b.clock = b.clock.Add(time.Minute)
	b.step(Described{Sent: b.clock, Partial: true, Hosts: []cloud.Host{in(h, cloud.HostPending)}})
	b.wantPhase("h-1", Scrubbing)
	b.step(Described{Sent: b.clock.Add(-30 * time.Second), Partial: true, Hosts: []cloud.Host{h}})
	b.wantPhase("h-1", Scrubbing)
	b.clock = b.clock.Add(time.Minute)
	b.step(Described{Sent: b.clock, Partial: true, Hosts: []cloud.Host{h}})
	b.wantPhase("h-1", Available)
	b.clock = b.clock.Add(time.Minute)
	b.step(Want{Token: "t", Zones: []string{"a"}})
	b.step(Cancel{"t"})
	b.step(Described{Sent: b.clock.Add(-time.Second), Partial: true, Hosts: []cloud.Host{in(h, cloud.HostPending)}})
	b.wantPhase("h-1", Available)
}

// TestFaultLostScrub: killed between the launch of a machine for a scrub and its
// end, that machine stayed, without a mark, and its host was in use for ever
// without a word. Whoever has what is on a host is known over restarts.
func TestFaultLostScrub(t *testing.T) {
	saidOf := func(acts []Action, host string) (n int) {
		for _, a := range only[Alarm](acts) {
			if a.Host == host {
				n++
			}
		}
		return n
	}
	b := newBed(t, macs())
	adopted, given := used(b.mac("h-1", 30*time.Hour)), b.mac("h-2", 3*time.Hour)
	b.list(adopted, given)
	b.step(Want{Token: "t"})
	if g := must[Grant](b); g.Host != "h-2" {
		t.Fatalf("granted %+v", g)
	}
	given = used(given)
	b.step(Launched{Token: "t", Instance: given.Instances[0]})
	acts := b.wait(5*time.Hour, adopted, given)
	if n := saidOf(acts, "h-1"); n != 0 {
		t.Errorf("%d alarms in 5 hours", n)
	}
	acts = b.wait(40*time.Hour, adopted, given)
	if n := saidOf(acts, "h-1"); n != 1 {
		t.Errorf("%d alarms of the host that the pool gave to nobody, want 1", n)
	}
	if n := saidOf(acts, "h-2"); n != 0 {
		t.Errorf("%d alarms of the host that a token has", n)
	}
	saved := b.Saved()
	again := restored(t, macs(), &saved)
	again.clock = b.clock
	acts = again.wait(40*time.Hour, adopted, given)
	if n, m := saidOf(acts, "h-1"), saidOf(acts, "h-2"); n != 1 || m != 0 {
		t.Errorf("after a restart %d and %d alarms, want 1 and 0", n, m)
	}
	for _, v := range again.Views() {
		if said := v.Why != ""; said != (v.ID == "h-1") {
			t.Errorf("%s is %v: %q", v.ID, v.Phase, v.Why)
		}
	}
	// A host that AWS keeps for a day anyhow is told of when it could go.
	b = newBed(t, macs())
	young := used(b.mac("h-3", time.Hour))
	b.list(young)
	if n := saidOf(b.wait(22*time.Hour+59*time.Minute, young), "h-3"); n != 0 {
		t.Errorf("%d alarms before its day", n)
	}
	if n := saidOf(b.wait(2*time.Hour, young), "h-3"); n != 1 {
		t.Errorf("%d alarms after its day, want 1", n)
	}
}
