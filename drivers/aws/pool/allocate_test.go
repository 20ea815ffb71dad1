package pool

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// zones are where the last step asked for hosts.
func (b *bed) zones() string {
	text := ""
	for _, a := range only[AllocateHost](b.acts) {
		text += a.Zone
	}
	return text
}

// TestAllocateAsNeeded is how many hosts are asked for, and where.
func TestAllocateAsNeeded(t *testing.T) {
	tests := []struct {
		name  string
		max   int
		hosts func(b *bed) []cloud.Host
		wants []Want
		want  string
	}{
		{"one for each", 5, nil, []Want{{}, {}, {}}, "aaa"},
		{"not above the maximum", 2, nil, []Want{{}, {}, {}}, "aa"},
		{"what there is counts, whatever its state", 4, func(b *bed) []cloud.Host {
			return []cloud.Host{b.in("h-1", cloud.HostPermanentFailure), b.in("h-2", "configuring"), b.in("h-3", cloud.HostPending)}
		}, []Want{{}, {}}, "a"},
		{"of another type and zone too", 2, func(b *bed) []cloud.Host {
			h := used(b.mac("h-1", time.Hour))
			h.Type, h.Zone = "mac1.metal", "z"
			return []cloud.Host{h}
		}, []Want{{}, {}}, "a"},
		{"released ones do not", 2, func(b *bed) []cloud.Host {
			return []cloud.Host{b.in("h-1", cloud.HostReleased), b.in("h-2", cloud.HostReleasedFailure)}
		}, []Want{{}, {}}, "aa"},
		{"where they may be", 5, nil, []Want{{Zones: []string{"b"}}, {Zones: []string{"z", "a"}}}, "ba"},
		{"none at all", 0, func(b *bed) []cloud.Host { return []cloud.Host{used(b.mac("h-1", 0))} }, []Want{{}}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := macs()
			cfg.Max = tt.max
			b := newBed(t, cfg)
			var hosts []cloud.Host
			if tt.hosts != nil {
				hosts = tt.hosts(b)
			}
			ask := must[Describe](b)
			for i, w := range tt.wants {
				w.Token = fmt.Sprint("t", i)
				b.step(w)
				none[AllocateHost](b)
			}
			b.step(Described{Action: ask.ID, Hosts: hosts})
			if got := b.zones(); got != tt.want {
				t.Errorf("asked for hosts in %q, want %q", got, tt.want)
			}
		})
	}
}

// TestAllocateRecounts: each decision for more hosts is made on a list that is
// newer than the last one.
func TestAllocateRecounts(t *testing.T) {
	b := newBed(t, macs())
	b.list()
	b.step(Want{Token: "t1"})
	must[AllocateHost](b)
	b.clock = b.clock.Add(time.Second)
	b.step(Want{Token: "t2"})
	none[AllocateHost](b)
	b.answer(errors.New("no"))
	none[AllocateHost](b)
	b.answer(nil)
	must[AllocateHost](b)
}

// TestDryZones: a zone without capacity is left for the next at once, and tried
// again later.
func TestDryZones(t *testing.T) {
	ice := cloud.NewError("InsufficientHostCapacity", "none")
	b := newBed(t, macs())
	b.step(Described{Action: must[Describe](b).ID})
	b.step(Want{Token: "t1"})
	for _, zone := range []string{"a", "b"} {
		ask := must[AllocateHost](b)
		if ask.Zone != zone {
			t.Fatalf("asked in %s, want %s", ask.Zone, zone)
		}
		b.step(Allocated{Action: ask.ID, Err: ice})
		b.answer(nil)
	}
	none[AllocateHost](b)
	if got := b.Capacity(); got != 0 {
		t.Errorf("capacity is %d without a wet zone", got)
	}
	b.wait(7*time.Minute-time.Second, []cloud.Host{}...)
	none[AllocateHost](b)
	b.wait(time.Second)
	if got := b.zones(); got != "a" {
		t.Errorf("asked in %q after the dry time, want a", got)
	}
}

// TestAllocateRefused is how long nothing is asked for, by the refusal.
func TestAllocateRefused(t *testing.T) {
	tests := []struct {
		name  string
		err   error
		pause time.Duration
		alarm bool
	}{
		{"quota", cloud.NewError("HostLimitExceeded", "limit"), 10 * time.Minute, true},
		{"throttled", cloud.NewError("RequestLimitExceeded", "slow"), 30 * time.Second, false},
		{"not allowed", cloud.NewError("UnauthorizedOperation", "no"), 30 * time.Second, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t, macs())
			b.list()
			b.step(Want{Token: "t1"})
			first := must[AllocateHost](b)
			b.step(Allocated{Action: first.ID, Err: tt.err})
			if got := one[Alarm](b) != nil; got != tt.alarm {
				t.Errorf("alarm: %v, want %v", got, tt.alarm)
			}
			if a := b.Accounting(); a.Open != 0 {
				t.Errorf("%d requests are open", a.Open)
			}
			b.wait(tt.pause-time.Second, []cloud.Host{}...)
			none[AllocateHost](b)
			b.wait(time.Second)
			if one[AllocateHost](b) == nil {
				b.list()
			}
			if again := must[AllocateHost](b); again.ClientToken == first.ClientToken {
				t.Error("a new host has the token of one that was refused")
			}
		})
	}
}

// TestAllocateUnsure: an answer that is lost makes no second host.
func TestAllocateUnsure(t *testing.T) {
	lost := errors.New("connection reset")
	start := func(t *testing.T) (*bed, AllocateHost) {
		b := newBed(t, macs())
		b.list()
		b.step(Want{Token: "t1", Until: b.clock.Add(2 * time.Hour)})
		return b, must[AllocateHost](b)
	}
	t.Run("asked again with the token", func(t *testing.T) {
		b, first := start(t)
		b.step(Allocated{Action: first.ID, Err: lost})
		b.wait(time.Minute, []cloud.Host{}...)
		again := must[AllocateHost](b)
		if again.ClientToken != first.ClientToken || again.Zone != first.Zone || !again.Decided.Equal(first.Decided) || again.ID == first.ID {
			t.Errorf("asked %+v, then %+v", first, again)
		}
		b.step(Allocated{Action: again.ID, Host: "h-1"})
		if a := b.Accounting(); a.Total != 1 || a.Open != 0 {
			t.Errorf("accounting %+v", a)
		}
	})
	t.Run("found in a list", func(t *testing.T) {
		b, first := start(t)
		h := b.mac("h-1", 0)
		h.ClientToken = first.ClientToken
		b.step(Allocated{Action: first.ID, Err: lost})
		b.list(h)
		if g := must[Grant](b); g.Host != "h-1" || b.Accounting().Open != 0 {
			t.Errorf("granted %+v, accounting %+v", g, b.Accounting())
		}
	})
	t.Run("never answered", func(t *testing.T) {
		b, first := start(t)
		b.wait(6*time.Minute, []cloud.Host{}...)
		if again := must[AllocateHost](b); again.ClientToken != first.ClientToken {
			t.Errorf("asked for another host")
		}
	})
	t.Run("nobody waits any more", func(t *testing.T) {
		b, first := start(t)
		b.step(Allocated{Action: first.ID, Err: lost})
		b.step(Cancel{"t1"})
		b.wait(4*time.Minute, []cloud.Host{}...)
		if a := b.Accounting(); a.Open != 1 || a.Phases[Requested] != 1 {
			t.Errorf("a host may be there: %+v", a)
		}
		b.wait(3*time.Minute, b.in("h-9", cloud.HostReleased))
		none[AllocateHost](b)
		if a := b.Accounting(); a.Total != 0 {
			t.Errorf("lists say that there is none: %+v", a)
		}
	})
	t.Run("refused after one that is not sure", func(t *testing.T) {
		b, first := start(t)
		b.step(Allocated{Action: first.ID, Err: lost})
		b.wait(time.Minute, []cloud.Host{}...)
		again := must[AllocateHost](b)
		b.step(Allocated{Action: again.ID, Err: cloud.NewError("HostLimitExceeded", "limit")})
		if a := b.Accounting(); a.Open != 1 {
			t.Errorf("the first try may have made a host: %+v", a)
		}
	})
	t.Run("an answer that comes too late", func(t *testing.T) {
		b, first := start(t)
		b.wait(6*time.Minute, []cloud.Host{}...)
		b.step(Allocated{Action: first.ID, Host: "h-1"})
		if a := b.Accounting(); a.Total != 1 {
			t.Errorf("accounting %+v", a)
		}
	})
}

// TestPatience is when what comes back is waited for.
func TestPatience(t *testing.T) {
	tests := []struct {
		name     string
		patience time.Duration
		host     func(b *bed) cloud.Host
		want     string
	}{
		{"none", 0, func(b *bed) cloud.Host { return b.in("h-1", cloud.HostPending) }, "a"},
		{"too little", time.Hour, func(b *bed) cloud.Host { return b.in("h-1", cloud.HostPending) }, "a"},
		{"enough", 2 * time.Hour, func(b *bed) cloud.Host { return b.in("h-1", cloud.HostPending) }, ""},
		{"not for one in use", 2 * time.Hour, func(b *bed) cloud.Host { return used(b.mac("h-1", 0)) }, "a"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := macs()
			cfg.Patience = tt.patience
			b := newBed(t, cfg)
			b.list(tt.host(b))
			b.step(Want{Token: "t1"})
			if got := b.zones(); got != tt.want {
				t.Fatalf("asked for hosts in %q, want %q", got, tt.want)
			}
			if tt.want != "" {
				return
			}
			b.wait(cfg.Patience+time.Minute, tt.host(b))
			if len(only[AllocateHost](b.acts)) == 0 {
				t.Error("it waits on though the host did not come back in time")
			}
		})
	}
}

// TestTokens: no two requests share one, of one node or of two.
func TestTokens(t *testing.T) {
	seen := map[string]bool{}
	for _, origin := range []string{"n1", "n2"} {
		for _, name := range []string{"mac", "mac2"} {
			cfg := macs()
			cfg.Origin, cfg.Name, cfg.Max = origin, name, 5
			b := newBed(t, cfg)
			for i := range 5 {
				b.step(Want{Token: fmt.Sprint(i)})
			}
			b.list()
			for _, a := range only[AllocateHost](b.acts) {
				if seen[a.ClientToken] || len(a.ClientToken) != 64 {
					t.Errorf("token %s of %s/%s", a.ClientToken, origin, name)
				}
				seen[a.ClientToken] = true
			}
		}
	}
	if len(seen) != 20 {
		t.Errorf("%d tokens, want 20", len(seen))
	}
}

// What is repeated is the same, also when the clock was set in between, or this
// is another process: EC2 refuses another request with the same token.
func TestRepeatedIsTheSame(t *testing.T) {
	for name, jump := range map[string]time.Duration{"forward": 3 * time.Hour, "back": -3 * time.Hour, "not": 0} {
		t.Run(name, func(t *testing.T) {
			cfg := macs()
			cfg.ScrubbingDelay = 5 * time.Minute
			b := newBed(t, cfg)
			h := b.mac("h-1", time.Hour)
			b.answer(nil, h)
			start := only[StartScrub](b.wait(6*time.Minute, h))
			b.step(Want{Token: "t1"})
			ask := only[AllocateHost](b.acts)
			if len(start) != 1 || len(ask) != 1 {
				t.Fatalf("%d scrubs and %d hosts are asked for", len(start), len(ask))
			}
			same := func(acts []Action) {
				t.Helper()
				for _, again := range only[StartScrub](acts) {
					start, again.ID, again.Again, again.Shown = append(start, again), start[0].ID, false, false
					if again != start[0] {
						t.Errorf("first %+v, then %+v", start[0], again)
					}
				}
				for _, again := range only[AllocateHost](acts) {
					ask, again.ID, again.Again = append(ask, again), ask[0].ID, false
					if again != ask[0] {
						t.Errorf("first %+v, then %+v", ask[0], again)
					}
				}
			}
			b.step(ScrubStarted{Action: start[0].ID, Err: errors.New("timeout")})
			b.step(Allocated{Action: ask[0].ID, Err: errors.New("timeout")})
			b.clock = b.clock.Add(jump)
			same(b.step(Tick{}))
			same(b.wait(2*time.Minute, h))
			if len(start) < 2 || len(ask) < 2 {
				t.Fatalf("%d scrubs and %d hosts are asked for", len(start), len(ask))
			}
			b = &bed{State: New(cfg, new(b.Saved())), t: t, clock: b.clock.Add(-2 * jump)}
			b.step(Own{Owner: true})
			b.step(Want{Token: "t1"})
			scrubs, hosts := len(start), len(ask)
			same(b.answer(nil, h))
			same(b.wait(10*time.Minute, h))
			if len(start) == scrubs || len(ask) == hosts {
				t.Errorf("after a restart %d scrubs and %d hosts are asked for", len(start)-scrubs, len(ask)-hosts)
			}
			if last := start[len(start)-1]; !last.Shown {
				t.Errorf("after 10 minutes lists are still late: %+v", last)
			}
		})
	}
}
