package pool

import (
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// TestLife is one request and its host from the first to the last day.
func TestLife(t *testing.T) {
	b := newBed(t, macs())
	b.step(Described{Action: must[Describe](b).ID})
	b.step(Want{Token: "t1", Until: b.clock.Add(time.Hour)})
	ask := must[AllocateHost](b)
	if ask.Zone != "a" || ask.Type != "mac2.metal" || ask.Slot != 0 || len(ask.ClientToken) != 64 {
		t.Fatalf("asked for %+v", ask)
	}
	b.step(Allocated{Action: ask.ID, Host: "h-1"})
	b.wantPhase("h-1", Requested)
	h := b.mac("h-1", 0)
	b.step(Described{Action: must[Describe](b).ID, Hosts: []cloud.Host{h}})
	if g := must[Grant](b); g.Host != "h-1" || g.Token != "t1" || g.Zone != "a" || !g.Until.Equal(b.clock.Add(5*time.Minute)) {
		t.Fatalf("granted %+v", g)
	}
	b.step(Launched{Token: "t1", Instance: "i-h-1"})
	b.wantPhase("h-1", Reserved)
	b.wait(20*time.Second, used(h))
	b.wantPhase("h-1", Busy)
	if host, ok := b.Holder("t1"); !ok || host != "h-1" {
		t.Errorf("t1 has %q, %v", host, ok)
	}
	b.wait(3*time.Hour, used(h))
	b.wait(time.Hour, in(h, cloud.HostPending))
	b.wantPhase("h-1", Scrubbing)
	b.wait(2*time.Minute, h)
	b.wantPhase("h-1", Available)
	b.wait(19*time.Hour, h)
	b.wantPhase("h-1", Available)
	none[ReleaseHosts](b)
	b.wait(time.Hour, h)
	release := only[ReleaseHosts](b.acts)
	if len(release) == 0 || release[0].Hosts[0] != "h-1" {
		t.Fatalf("not released after a day: %+v", b.Views())
	}
	b.step(Released{Action: release[len(release)-1].ID, Released: []string{"h-1"}})
	if a := b.Accounting(); a.Total != 0 || a.Ghosts != 1 {
		t.Errorf("after the release: %+v", a)
	}
	b.wait(10*time.Minute, in(h, cloud.HostReleased))
	if a := b.Accounting(); a.Ghosts != 0 {
		t.Errorf("a list says that it is released: %+v", a)
	}
}
