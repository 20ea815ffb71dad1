package pool

import (
	"testing"
	"time"
)

// TestQuarantineGoesOn: who restarts while it waits for what others did waits
// for the rest of that time, however often it is restarted.
func TestQuarantineGoesOn(t *testing.T) {
	cfg := macs()
	b := restored(t, cfg, nil)
	whole := cfg.WithDefaults().LaunchTimeout + cfg.WithDefaults().Settled
	for range 3 {
		b.wait(whole/4, b.mac("h-1", time.Hour))
		if got := b.Capacity(); got != 0 {
			t.Fatalf("room for %d before the time is over", got)
		}
		b = restoredAt(t, cfg, roundTrip(t, b.Saved()), b.clock)
	}
	b.wait(whole/4+time.Second, b.mac("h-1", time.Hour))
	if got := b.Capacity(); got != cfg.Max {
		t.Errorf("room for %d after the time, want %d", got, cfg.Max)
	}
}

// A time of the quarantine that a clock set wrong has written is not believed.
func TestQuarantineOfAWrongClock(t *testing.T) {
	cfg := macs()
	b := restored(t, cfg, &Saved{Quarantine: at("2036-03-02 08:00")})
	b.wait(cfg.WithDefaults().LaunchTimeout+cfg.WithDefaults().Settled, b.mac("h-1", time.Hour))
	if got := b.Capacity(); got != cfg.Max {
		t.Errorf("room for %d, want %d", got, cfg.Max)
	}
}

// TestKilledBeforeItKnowsTheOwner: what happens before a node has heard that it
// owns the pool does not make it forget that it did.
func TestKilledBeforeItKnowsTheOwner(t *testing.T) {
	b := newBed(t, macs())
	b.list(b.mac("h-1", time.Hour))
	b.step(Want{Token: "t1"})
	must[Grant](b)
	h := b.mac("h-1", time.Hour)
	again := New(macs(), roundTrip(t, b.Saved()))
	again.Step(b.clock, Own{Owner: false})
	again.Step(b.clock, Cancel{Token: "t1"})
	after := restoredAt(t, macs(), roundTrip(t, again.Saved()), b.clock)
	after.list(h)
	if got := after.Capacity(); got == 0 {
		t.Error("the restarted owner waits as if others had owned the pool")
	}
}
