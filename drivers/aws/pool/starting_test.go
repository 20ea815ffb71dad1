package pool

import (
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// TestNewHostIsPending: AWS calls a host pending also for its first moments.
// That is no scrub: it is waited for, no second one is bought for the same
// request, and it is no example of how long scrubs take.
func TestNewHostIsPending(t *testing.T) {
	for _, patience := range []time.Duration{0, time.Minute} {
		cfg := macs()
		cfg.Patience, cfg.PendingToAvailable = patience, 5*time.Minute
		b := newBed(t, cfg)
		b.list()
		b.step(Want{Token: "t1"})
		b.step(Allocated{Action: must[AllocateHost](b).ID, Host: "h-1"})
		h := b.mac("h-1", 0)
		for range 3 {
			b.clock = b.clock.Add(time.Second)
			b.list(in(h, cloud.HostPending))
			none[AllocateHost](b)
			b.wantPhase("h-1", Requested)
		}
		b.clock = b.clock.Add(time.Second)
		b.list(h)
		if g := must[Grant](b); g.Host != "h-1" || g.Token != "t1" {
			t.Errorf("patience %v: granted %+v", patience, g)
		}
		if got := b.ScrubTimes(); got.Count != 0 {
			t.Errorf("patience %v: its start counts as a scrub: %+v", patience, got)
		}
	}
}

// A new host that the first lists do not show yet is on its way all the same:
// no second one is bought for the same request.
func TestNewHostIsNotListedYet(t *testing.T) {
	b := newBed(t, macs())
	b.list()
	b.step(Want{Token: "t1"})
	b.step(Allocated{Action: must[AllocateHost](b).ID, Host: "h-1"})
	for range 3 {
		b.answer(nil) // without it
		none[AllocateHost](b)
	}
}

// So it is for the process after a restart, which has it in no list at all.
func TestNewHostIsNotListedAfterRestart(t *testing.T) {
	cfg := macs()
	cfg.Max = 3
	b := newBed(t, cfg)
	b.list()
	b.step(Want{Token: "t1"})
	b.step(Allocated{Action: must[AllocateHost](b).ID, Host: "h-1"})
	b = restoredAt(t, cfg, roundTrip(t, b.Saved()), b.clock)
	b.step(Want{Token: "t1"})
	for range 3 {
		b.answer(nil) // without it
		none[AllocateHost](b)
	}
	b.answer(nil, b.mac("h-1", 0))
	if g := must[Grant](b); g.Host != "h-1" {
		t.Errorf("granted %+v", g)
	}
}

// A host that stays pending is one that is scrubbed, whoever began that.
func TestPendingForLong(t *testing.T) {
	b := newBed(t, macs())
	h := in(b.mac("h-1", 0), cloud.HostPending)
	b.list(h)
	b.wantPhase("h-1", Requested)
	b.wait(b.cfg.Settled+time.Second, h)
	b.wantPhase("h-1", Scrubbing)
}
