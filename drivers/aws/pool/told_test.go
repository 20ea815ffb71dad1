package pool

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// idleMac is a pool that has one free host of an age, and is told every change
// when it happens.
func idleMac(t *testing.T, age time.Duration) (*bed, cloud.Host) {
	t.Helper()
	cfg := macs()
	cfg.ScrubbingDelay = 5 * time.Minute
	b := newBed(t, cfg)
	h := b.mac("h-1", age)
	b.step(Described{Action: must[Describe](b).ID, Hosts: []cloud.Host{h}})
	b.wantPhase("h-1", Available)
	return b, h
}

// scrubbed has the host scrubbed once, as it is told.
func (b *bed) scrubbed(h cloud.Host) {
	b.t.Helper()
	b.wait(5 * time.Minute)
	start := only[StartScrub](b.acts)
	if len(start) != 1 {
		b.t.Fatalf("%d scrubs begin after the delay, want one: %+v", len(start), b.Views())
	}
	b.step(ScrubStarted{Action: start[0].ID, Instance: "i-1"})
	b.step(ScrubEnded{Action: must[EndScrub](b).ID})
	b.clock = b.clock.Add(time.Minute)
	b.step(Described{Partial: true, Hosts: []cloud.Host{in(h, cloud.HostPending)}})
	b.wantPhase("h-1", Scrubbing)
	b.wait(90 * time.Minute)
	b.step(Described{Partial: true, Hosts: []cloud.Host{h}})
}

// A scrub that is seen at once is none that came to nothing: the next one
// begins after the delay, and not after the pause of a failure.
func TestScrubSeenAtOnce(t *testing.T) {
	b, h := idleMac(t, time.Hour)
	for range 3 {
		b.scrubbed(h)
		b.wantPhase("h-1", Available)
	}
}

// An idle host is scrubbed also when it comes back only to be released, as that
// time is not paid; near its end it is not.
func TestScrubToTheEnd(t *testing.T) {
	b, h := idleMac(t, 23*time.Hour)
	b.scrubbed(h)
	if release := only[ReleaseHosts](b.acts); len(release) != 1 {
		t.Errorf("not released when it came back after a day: %+v", b.Views())
	}
	b, _ = idleMac(t, 23*time.Hour+50*time.Minute)
	b.wait(5 * time.Minute)
	none[StartScrub](b)
}

// A request that AWS never answers for certain is told to a person, once, and is
// not counted on, though it is sent again.
func TestUnansweredIsTold(t *testing.T) {
	b := newBed(t, macs())
	b.list()
	b.step(Want{Token: "t1", Until: b.clock.Add(24 * time.Hour)})
	alarms := 0
	for i := range 8 {
		b.step(Allocated{Action: must[AllocateHost](b).ID, Err: errors.New("connection reset")})
		alarms += len(only[Alarm](b.acts))
		if got := b.Capacity(); (got == 0) != (i >= 3) {
			t.Errorf("after %d tries there is room for %d", i+1, got)
		}
		for end := b.clock.Add(10 * time.Minute); one[AllocateHost](b) == nil && b.clock.Before(end); {
			b.clock = b.Next()
			b.step(Tick{})
			if d := one[Describe](b); d != nil && one[AllocateHost](b) == nil {
				b.step(Described{Action: d.ID})
			}
		}
	}
	if why := b.trouble(); alarms != 1 || !strings.Contains(why, "it is not known what came of it: connection reset") {
		t.Errorf("%d alarms, and the trouble is %q", alarms, why)
	}
	b.step(Allocated{Action: must[AllocateHost](b).ID, Host: "h-1"})
	if b.Capacity() != 1 {
		t.Errorf("after an answer there is room for %d, want 1", b.Capacity())
	}
}

// An answer that is partial says that all else is as before: with it a host can
// be asked for, and hosts that were released are forgotten in time.
func TestPartialAnswer(t *testing.T) {
	b := newBed(t, macs())
	b.step(Described{Action: must[Describe](b).ID, Partial: true})
	b.step(Want{Token: "t1"})
	ask := must[AllocateHost](b)
	b.step(Allocated{Action: ask.ID, Host: "h-1"})
	b.step(Described{Action: must[Describe](b).ID, Partial: true})
	none[Describe](b)
	h := b.mac("h-1", 0)
	b.step(Described{Partial: true, Hosts: []cloud.Host{h}})
	b.step(Cancel{Token: must[Grant](b).Token})
	b.clock = b.clock.Add(MacMinAge)
	b.step(Tick{})
	b.wait(time.Minute)
	b.step(Described{Partial: true, Hosts: []cloud.Host{in(h, cloud.HostReleased)}})
	if a := b.Accounting(); a.Total != 0 || a.Ghosts != 0 {
		t.Fatalf("released: %+v", a)
	}
	for range 3 {
		b.wait(time.Hour)
		if d := only[Describe](b.acts); len(d) > 0 {
			b.step(Described{Action: d[len(d)-1].ID, Partial: true})
		}
	}
	if len(b.ghosts) != 0 {
		t.Errorf("%d released hosts are known for ever", len(b.ghosts))
	}
}
