package pool

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

func scrubbing() Config {
	cfg := macs()
	cfg.ScrubbingDelay = 5 * time.Minute
	return cfg
}

// TestScrub is which host is scrubbed when.
func TestScrub(t *testing.T) {
	const day = 24 * time.Hour
	tests := []struct {
		name string
		cfg  func(c *Config)
		host func(b *bed) cloud.Host
		on   Event
		wait time.Duration
		want bool
	}{
		{"off by default", func(c *Config) { c.ScrubbingDelay = 0 }, nil, nil, 10 * time.Hour, false},
		{"idles too short", nil, nil, nil, 5*time.Minute - time.Second, false},
		{"idles long enough", nil, nil, nil, 5 * time.Minute, true},
		{"in use", nil, func(b *bed) cloud.Host { return used(b.mac("h-1", time.Hour)) }, nil, time.Hour, false},
		{"failed", nil, func(b *bed) cloud.Host { return b.in("h-1", cloud.HostPermanentFailure) }, nil, time.Hour, false},
		{"is assessed", nil, func(b *bed) cloud.Host { return b.in("h-1", cloud.HostUnderAssessment) }, nil, time.Hour, false},
		{"is scrubbed already", nil, func(b *bed) cloud.Host { return b.in("h-1", cloud.HostPending) }, nil, time.Hour, false},
		{"near the end of its day", nil, func(b *bed) cloud.Host { return b.mac("h-1", day-15*time.Minute) }, nil, 14 * time.Minute, false},
		{"nearer to it than a scrub takes", nil, func(b *bed) cloud.Host { return b.mac("h-1", day-time.Hour) }, nil, 6 * time.Minute, true},
		{"the margin", func(c *Config) { c.ScrubMargin = time.Hour }, func(b *bed) cloud.Host { return b.mac("h-1", day-time.Hour) }, nil, 6 * time.Minute, false},
		{"its age is not told", nil, func(b *bed) cloud.Host { h := b.mac("h-1", 0); h.AllocationTime = time.Time{}; return h }, nil, time.Hour, false},
		{"no Mac", func(c *Config) { c.MinAge, c.IdleDelay = 0, day }, nil, nil, time.Hour, false},
		{"drained: it is paid for all the same", nil, nil, Drain{true}, 5 * time.Minute, true},
		{"not the owner", nil, nil, Own{Owner: false}, time.Hour, false},
		{"only reported", func(c *Config) { c.ReportOnly = true }, nil, nil, time.Hour, false},
		{"reserved", nil, nil, Want{Token: "t", Zones: []string{"a"}}, 9 * time.Minute, false},
		{"who waits needs another", nil, nil, Want{Token: "t", Zones: []string{"b"}}, 9 * time.Minute, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := scrubbing()
			if tt.cfg != nil {
				tt.cfg(&cfg)
			}
			b := newBed(t, cfg)
			h := b.mac("h-1", time.Hour)
			if tt.host != nil {
				h = tt.host(b)
			}
			b.list(h)
			if tt.on != nil {
				b.step(tt.on)
			}
			if got := len(only[StartScrub](b.wait(tt.wait, h))) > 0; got != tt.want {
				t.Errorf("scrubbed: %v, want %v\n%+v", got, tt.want, b.Views())
			}
		})
	}
}

// scrubbed is a pool with a host that is just to be scrubbed.
func scrubbed(t *testing.T) (*bed, cloud.Host, StartScrub) {
	t.Helper()
	b := newBed(t, scrubbing())
	h := b.mac("h-1", time.Hour)
	b.list(h)
	b.wait(5*time.Minute, h)
	return b, h, must[StartScrub](b)
}

// TestScrubLife is a scrub from the idle host back to it.
func TestScrubLife(t *testing.T) {
	b, h, start := scrubbed(t)
	if start.Host != "h-1" || start.Zone != "a" || start.Type != "mac2.metal" || len(start.ClientToken) != 64 {
		t.Errorf("start %+v", start)
	}
	b.wantPhase("h-1", Scrubbing)
	if a := b.Accounting(); a.Paid != 1 {
		t.Errorf("until it is pending it is paid for: %+v", a)
	}
	b.step(ScrubStarted{Action: start.ID, Instance: "i-1"})
	end := must[EndScrub](b)
	if end.Instance != "i-1" || end.Host != "h-1" {
		t.Errorf("end %+v", end)
	}
	b.step(ScrubEnded{Action: end.ID})
	b.wait(10*time.Minute, in(h, cloud.HostPending))
	b.wantPhase("h-1", Scrubbing)
	if a := b.Accounting(); a.Paid != 0 {
		t.Errorf("it is pending, and not paid for: %+v", a)
	}
	b.wait(50*time.Minute, in(h, cloud.HostPending))
	b.wait(time.Minute, h)
	b.wantPhase("h-1", Available)
	if got := b.ScrubTimes(); got.Count != 1 || got.P50 < 59*time.Minute || got.P50 > 62*time.Minute {
		t.Errorf("observed %+v", got)
	}
	if v := b.Views()[0]; v.Unpaid < 55*time.Minute || v.Unpaid > time.Hour {
		t.Errorf("unpaid for %v", v.Unpaid)
	}
	b.wait(5*time.Minute+10*time.Second, h) // and once more
	again := must[StartScrub](b)
	if again.ClientToken == start.ClientToken {
		t.Error("two scrubs have one token")
	}
}

// TestScrubUnsure: an instance that may be there is never forgotten.
func TestScrubUnsure(t *testing.T) {
	lost := errors.New("reset")
	t.Run("start", func(t *testing.T) {
		b, h, start := scrubbed(t)
		for range 20 {
			b.step(ScrubStarted{Action: start.ID, Err: lost})
			b.wantPhase("h-1", Scrubbing)
			b.wait(5*time.Minute, h)
			again := only[StartScrub](b.acts)
			if len(again) == 0 || again[0].ClientToken != start.ClientToken || !again[0].Decided.Equal(start.Decided) {
				t.Fatalf("asked %+v, then %+v", start, again)
			}
			start = again[len(again)-1]
		}
		b.step(ScrubStarted{Action: start.ID, Instance: "i-1"})
		must[EndScrub](b)
	})
	t.Run("end", func(t *testing.T) {
		b, h, start := scrubbed(t)
		b.step(ScrubStarted{Action: start.ID, Instance: "i-1"})
		end := must[EndScrub](b)
		for range 20 {
			b.step(ScrubEnded{Action: end.ID, Err: lost})
			b.wait(5*time.Minute, used(h))
			again := only[EndScrub](b.acts)
			if len(again) == 0 {
				t.Fatal("given up")
			}
			end = again[len(again)-1]
		}
		b.step(ScrubEnded{Action: end.ID, Err: cloud.NewError("InvalidInstanceID.NotFound", "old")})
		b.wait(time.Hour, in(h, cloud.HostPending))
		none[EndScrub](b)
	})
	t.Run("no answer at all", func(t *testing.T) {
		b, h, start := scrubbed(t)
		b.wait(5*time.Minute, h)
		if again := must[StartScrub](b); again.ClientToken != start.ClientToken {
			t.Error("another token")
		}
	})
	t.Run("not found yet", func(t *testing.T) {
		b, h, start := scrubbed(t)
		b.step(ScrubStarted{Action: start.ID, Instance: "i-1"})
		b.step(ScrubEnded{Action: must[EndScrub](b).ID, Err: cloud.NewError("InvalidInstanceID.NotFound", "new")})
		b.wait(10*time.Second, h)
		must[EndScrub](b)
	})
	t.Run("it has ended already", func(t *testing.T) {
		b, h, start := scrubbed(t)
		b.step(ScrubStarted{Action: start.ID, Err: cloud.NewError("IdempotentInstanceTerminated", "was i-1")})
		b.wait(10*time.Minute, in(h, cloud.HostPending))
		none[EndScrub](b)
		b.wantPhase("h-1", Scrubbing)
	})
	t.Run("after a restart", func(t *testing.T) {
		for _, known := range []bool{false, true} {
			b, _, start := scrubbed(t)
			if known {
				b.step(ScrubStarted{Action: start.ID, Instance: "i-1"})
			}
			saved := b.Saved()
			b = restored(t, macs(), &saved) // even if scrubbing is off now
			if known {
				if end := must[EndScrub](b); end.Instance != "i-1" {
					t.Errorf("ended %+v", end)
				}
			} else if again := must[StartScrub](b); again.ClientToken != start.ClientToken {
				t.Errorf("asked %+v, then %+v", start, again)
			}
			b.wantPhase("h-1", Scrubbing)
		}
	})
}

// TestScrubRefused: a host that can not be scrubbed is left alone, longer each time.
func TestScrubRefused(t *testing.T) {
	tests := []struct {
		name  string
		err   error
		phase Phase
		alarm bool
	}{
		{"the host refused", cloud.NewError("InsufficientCapacityOnHost", "no"), Resting, false},
		{"the image does not fit", cloud.NewError("InvalidParameterCombination", "no"), Available, true},
		{"not allowed", cloud.NewError("UnauthorizedOperation", "no"), Available, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b, h, start := scrubbed(t)
			b.step(ScrubStarted{Action: start.ID, Err: tt.err})
			b.wantPhase("h-1", tt.phase)
			if got := one[Alarm](b) != nil; got != tt.alarm {
				t.Errorf("alarm: %v, want %v", got, tt.alarm)
			}
			b.wait(30*time.Minute-time.Second, h)
			none[StartScrub](b)
			b.wait(time.Second, h)
			b.step(ScrubStarted{Action: must[StartScrub](b).ID, Err: tt.err})
			b.wait(time.Hour-time.Second, h)
			none[StartScrub](b)
			b.wait(time.Second, h)
			must[StartScrub](b)
		})
	}
	t.Run("it did nothing", func(t *testing.T) {
		b, h, start := scrubbed(t)
		b.step(ScrubStarted{Action: start.ID, Instance: "i-1"})
		b.step(ScrubEnded{Action: must[EndScrub](b).ID})
		b.wait(4*time.Minute, h)
		b.wantPhase("h-1", Scrubbing)
		b.wait(3*time.Minute, h)
		b.wantPhase("h-1", Available)
		b.wait(20*time.Minute, h)
		none[StartScrub](b)
	})
}

// TestSettle: a host that AWS calls available after a scrub is not believed at once.
func TestSettle(t *testing.T) {
	cfg := macs()
	cfg.PendingToAvailable = 3 * time.Minute
	b := newBed(t, cfg)
	h := b.mac("h-1", time.Hour)
	b.list(in(h, cloud.HostPending))
	b.list(h)
	b.wantPhase("h-1", Settling)
	b.step(Want{Token: "t", Zones: []string{"a"}})
	none[Grant](b)
	b.wait(3*time.Minute-time.Second, h)
	none[Grant](b)
	b.wait(time.Second, h)
	must[Grant](b)
}

// TestScrubTimes is what is known of observed scrubs.
func TestScrubTimes(t *testing.T) {
	var d durations
	for i := range 300 {
		d.add(time.Duration(i%100+1) * time.Minute)
	}
	if want := (Durations{Count: 300, P50: 50 * time.Minute, P95: 95 * time.Minute}); d.known != want {
		t.Errorf("known %+v, want %+v", d.known, want)
	}
	if len(d.last) != kept {
		t.Errorf("%d are kept", len(d.last))
	}
	s := New(macs(), &Saved{ScrubTimes: d.last, ScrubCount: 300})
	s.Step(at("2026-03-02 08:00"), Tick{})
	if s.ScrubTimes() != d.known {
		t.Errorf("restored %+v, want %+v", s.ScrubTimes(), d.known)
	}
	one := New(macs(), &Saved{ScrubTimes: []time.Duration{time.Hour}, ScrubCount: 1})
	one.Step(at("2026-03-02 08:00"), Tick{})
	if got := one.ScrubTimes(); got.P50 != time.Hour || got.P95 != time.Hour {
		t.Errorf("of one: %+v", got)
	}
	if got := New(macs(), nil).ScrubTimes(); got.Count != 0 || got.P50 != 110*time.Minute {
		t.Errorf("of none: %+v", got)
	}
}

// Where many hosts idle at once their scrubs begin one after the other, so that
// launches of machines that work do not wait behind them; who waits for his turn
// can serve. Of a large pool all have begun in the time that a scrub takes.
func TestScrubTurns(t *testing.T) {
	for _, n := range []int{20, 300} {
		cfg := scrubbing()
		cfg.Max = n
		b := newBed(t, cfg)
		var hosts []cloud.Host
		for i := range n {
			hosts = append(hosts, b.mac(fmt.Sprintf("h-%03d", i), time.Hour))
		}
		b.list(hosts...)
		starts := only[StartScrub](b.wait(cfg.ScrubbingDelay))
		if len(starts) != scrubsAtOnce {
			t.Errorf("of %d hosts %d are scrubbed at once, want %d", n, len(starts), scrubsAtOnce)
		}
		if a := b.Accounting(); a.Phases[Available] != n-scrubsAtOnce {
			t.Errorf("the others can not serve: %+v", a.Phases)
		}
		if next := only[StartScrub](b.wait(time.Minute)); len(next) < 6 || len(next) > 10 {
			t.Errorf("of %d hosts %d more are scrubbed in a minute", n, len(next))
		}
		b.wait(scrubAll)
		if a := b.Accounting(); a.Phases[Available] != 0 {
			t.Errorf("of %d hosts some have no turn: %+v", n, a.Phases)
		}
	}
}
