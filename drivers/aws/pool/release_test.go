package pool

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// TestRelease is which host is released when.
func TestRelease(t *testing.T) {
	const day = 24 * time.Hour
	tests := []struct {
		name string
		cfg  func(c *Config)
		host func(b *bed) cloud.Host
		on   Event // after the first list
		wait time.Duration
		want bool
	}{
		{"young", nil, func(b *bed) cloud.Host { return b.mac("h-1", day-time.Minute) }, nil, 0, false},
		{"of age", nil, func(b *bed) cloud.Host { return b.mac("h-1", day) }, nil, 0, true},
		{"comes of age", nil, func(b *bed) cloud.Host { return b.mac("h-1", day-time.Hour) }, nil, time.Hour, true},
		{"a moment before", nil, func(b *bed) cloud.Host { return b.mac("h-1", day-time.Hour) }, nil, time.Hour - time.Second, false},
		{"in use", nil, func(b *bed) cloud.Host { return used(b.mac("h-1", 2*day)) }, nil, time.Hour, false},
		{"is scrubbed", nil, func(b *bed) cloud.Host { return in(b.mac("h-1", 2*day), cloud.HostPending) }, nil, 5 * time.Hour, false},
		{"is pending for too long", nil, func(b *bed) cloud.Host { return in(b.mac("h-1", 2*day), cloud.HostPending) }, nil, 6 * time.Hour, true},
		{"is pending, too young", nil, func(b *bed) cloud.Host { return in(b.mac("h-1", 0), cloud.HostPending) }, nil, 7 * time.Hour, false},
		{"is assessed", nil, func(b *bed) cloud.Host { return in(b.mac("h-1", 2*day), cloud.HostUnderAssessment) }, nil, time.Hour, false},
		{"a state to come", nil, func(b *bed) cloud.Host { return in(b.mac("h-1", 2*day), "configuring") }, nil, time.Hour, false},
		{"failed", nil, func(b *bed) cloud.Host { return in(b.mac("h-1", 2*day), cloud.HostPermanentFailure) }, nil, 0, true},
		{"failed, too young", nil, func(b *bed) cloud.Host { return in(b.mac("h-1", time.Hour), cloud.HostPermanentFailure) }, nil, time.Hour, false},
		{"failed with an instance on it", nil, func(b *bed) cloud.Host {
			h := in(b.mac("h-1", 2*day), cloud.HostPermanentFailure)
			h.Instances = []string{"i-1"}
			return h
		}, nil, time.Hour, false},
		{"its age is not told", nil, func(b *bed) cloud.Host {
			h := b.mac("h-1", 0)
			h.AllocationTime = time.Time{}
			return h
		}, nil, 48 * time.Hour, false},
		{"idles too short", func(c *Config) { c.IdleDelay = time.Hour }, func(b *bed) cloud.Host { return b.mac("h-1", day) }, nil, time.Hour - time.Second, false},
		{"idles long enough", func(c *Config) { c.IdleDelay = time.Hour }, func(b *bed) cloud.Host { return b.mac("h-1", day) }, nil, time.Hour, true},
		{"drained", func(c *Config) { c.IdleDelay = time.Hour }, func(b *bed) cloud.Host { return b.mac("h-1", day) }, Drain{true}, 0, true},
		{"drained, too young", nil, func(b *bed) cloud.Host { return b.mac("h-1", time.Hour) }, Drain{true}, time.Hour, false},
		{"of another type", func(c *Config) { c.IdleDelay, c.Type = time.Hour, "mac1.metal" }, func(b *bed) cloud.Host { return b.mac("h-1", day) }, nil, 0, true},
		{"of another zone", func(c *Config) { c.IdleDelay, c.Zones = time.Hour, []string{"z"} }, func(b *bed) cloud.Host { return b.mac("h-1", day) }, nil, 0, true},
		{"too many", func(c *Config) { c.IdleDelay, c.Max = time.Hour, 0 }, func(b *bed) cloud.Host { return b.mac("h-1", day) }, nil, 0, true},
		{"no Mac", func(c *Config) { c.MinAge = 0 }, func(b *bed) cloud.Host { return b.mac("h-1", time.Minute) }, nil, 0, true},
		{"only reported", func(c *Config) { c.ReportOnly = true }, func(b *bed) cloud.Host { return b.mac("h-1", 2*day) }, nil, time.Hour, false},
		{"not the owner", nil, func(b *bed) cloud.Host { return b.mac("h-1", day-time.Minute) }, Own{Owner: false}, time.Hour, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := macs()
			if tt.cfg != nil {
				tt.cfg(&cfg)
			}
			b := newBed(t, cfg)
			h := tt.host(b)
			acts := b.list(h)
			if tt.on != nil {
				acts = append(acts, b.step(tt.on)...)
			}
			acts = append(acts, b.wait(tt.wait, h)...)
			if got := len(only[ReleaseHosts](acts)) > 0; got != tt.want {
				t.Errorf("released: %v, want %v\n%+v", got, tt.want, b.Views())
			}
		})
	}
}

// TestReleaseTooMany: of the hosts above the maximum only those go at once that are too many.
func TestReleaseTooMany(t *testing.T) {
	cfg := macs()
	cfg.IdleDelay = time.Hour
	b := newBed(t, cfg)
	b.list(b.mac("h-1", 30*time.Hour), b.mac("h-2", 30*time.Hour), b.mac("h-3", 30*time.Hour))
	n := 0
	for _, a := range only[ReleaseHosts](b.acts) {
		n += len(a.Hosts)
	}
	if n != 1 {
		t.Errorf("%d hosts are released, want 1", n)
	}
}

// TestReleaseRefused is what follows from the answer to a release.
func TestReleaseRefused(t *testing.T) {
	young := cloud.NewError("Client.HostMinAllocationPeriodUnexpired", "You can release this host any time after 2026-03-02T09:00:00.000Z.")
	occupied := cloud.NewError("Client.InvalidHost.Occupied", "occupied")
	tests := []struct {
		name   string
		answer Released
		phase  Phase
		early  time.Duration // not before
		again  time.Duration // but then
	}{
		{"too young", Released{Refused: map[string]*cloud.Error{"h-1": young}}, Available, time.Hour - time.Second, time.Hour},
		{"occupied", Released{Refused: map[string]*cloud.Error{"h-1": occupied}}, Resting, 5*time.Minute - time.Second, 5 * time.Minute},
		{"another reason", Released{Refused: map[string]*cloud.Error{"h-1": cloud.NewError("SomethingNew", "?")}}, Resting, 5*time.Minute - time.Second, 5 * time.Minute},
		{"throttled", Released{Err: cloud.NewError("RequestLimitExceeded", "slow")}, Available, 29 * time.Second, 30 * time.Second},
		{"no answer", Released{Err: errors.New("reset")}, Releasing, 9 * time.Second, 10 * time.Second},
		{"no word of it", Released{}, Releasing, 9 * time.Second, 10 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t, macs())
			h := b.mac("h-1", 25*time.Hour)
			b.list(h)
			tt.answer.Action = must[ReleaseHosts](b).ID
			b.step(tt.answer)
			b.wantPhase("h-1", tt.phase)
			if a := b.Accounting(); a.Total != 1 || a.Paid != 1 {
				t.Errorf("accounting %+v", a)
			}
			if tt.phase != Available { // it may not be given away either
				b.step(Want{Token: "t", Zones: []string{"a"}, Until: b.clock.Add(time.Second)})
				none[Grant](b)
			}
			b.wait(tt.early, h)
			none[ReleaseHosts](b)
			b.wait(tt.again-tt.early, h)
			must[ReleaseHosts](b)
		})
	}
	t.Run("never answered", func(t *testing.T) {
		b := newBed(t, macs())
		h := b.mac("h-1", 25*time.Hour)
		b.list(h)
		must[ReleaseHosts](b)
		b.wait(5*time.Minute-time.Second, h)
		none[ReleaseHosts](b)
		b.wantPhase("h-1", Releasing)
		b.wait(time.Second, h)
		must[ReleaseHosts](b)
	})
	t.Run("not there", func(t *testing.T) {
		b := newBed(t, macs())
		b.list(b.mac("h-1", 25*time.Hour))
		b.step(Released{Action: must[ReleaseHosts](b).ID, Refused: map[string]*cloud.Error{"h-1": cloud.NewError("InvalidHostID.NotFound", "no")}})
		if a := b.Accounting(); a.Total != 0 || a.Ghosts != 1 {
			t.Errorf("accounting %+v", a)
		}
	})
	t.Run("said to be released, and listed on", func(t *testing.T) {
		b := newBed(t, macs())
		h := b.mac("h-1", 25*time.Hour)
		b.list(h)
		b.step(Released{Action: must[ReleaseHosts](b).ID, Released: []string{"h-1"}})
		b.wait(9*time.Minute, h)
		if a := b.Accounting(); a.Total != 0 || a.Ghosts != 1 {
			t.Errorf("lists may be late: %+v", a)
		}
		b.wait(3*time.Minute, h)
		if len(only[Alarm](b.acts)) == 0 || len(only[ReleaseHosts](b.acts)) == 0 {
			t.Errorf("it is there and paid for: %+v", b.Views())
		}
	})
}

// TestGhostsCount: a released host that lists still show takes a place.
func TestGhostsCount(t *testing.T) {
	cfg := macs()
	cfg.Max = 1
	b := newBed(t, cfg)
	h := b.mac("h-1", 25*time.Hour)
	b.list(h)
	b.step(Released{Action: must[ReleaseHosts](b).ID, Released: []string{"h-1"}})
	b.step(Want{Token: "t"})
	b.answer(nil, h)
	none[AllocateHost](b)
	b.answer(nil, in(h, cloud.HostReleased))
	must[AllocateHost](b)
}

// TestReleaseBatches: a request has a bounded number of hosts.
func TestReleaseBatches(t *testing.T) {
	b := newBed(t, macs())
	var hosts []cloud.Host
	for i := range 250 {
		hosts = append(hosts, b.mac("h-"+strings.Repeat("x", i+1), 25*time.Hour))
	}
	b.list(hosts...)
	var sizes []int
	for _, a := range only[ReleaseHosts](b.acts) {
		sizes = append(sizes, len(a.Hosts))
	}
	if len(sizes) != 3 || sizes[0] != 100 || sizes[2] != 50 {
		t.Errorf("requests of %v hosts", sizes)
	}
}
