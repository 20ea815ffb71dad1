package pool

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestConfigValidate(t *testing.T) {
	tests := []struct {
		name string
		set  func(c *Config)
		want string // part of the error; empty: there is none
	}{
		{"whole", func(*Config) {}, ""},
		{"no name", func(c *Config) { c.Name = "" }, "no name"},
		{"max below 0", func(c *Config) { c.Max = -1 }, "max is -1: want 0 or more"},
		{"no type", func(c *Config) { c.Type = "" }, "type is missing: want"},
		{"no zones", func(c *Config) { c.Zones = nil }, "zones are missing: want"},
		{"a zone twice", func(c *Config) { c.Zones = []string{"a", "b", "a"} }, `zone "a"`},
		{"an empty zone", func(c *Config) { c.Zones = []string{""} }, `zone ""`},
		{"a delay below 0", func(c *Config) { c.ScrubbingDelay = -time.Second }, "scrubbing_delay is -1s: want 0 or more"},
		{"a pool that is removed", func(c *Config) { *c = Config{Name: "mac"} }, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := macs()
			tt.set(&c)
			err := c.Validate()
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Validate() = %v, want %q", err, tt.want)
			}
		})
	}
}

// TestConfigDefaults: what is off by 0 stays off, all else has a value.
func TestConfigDefaults(t *testing.T) {
	c := reflect.ValueOf(Config{}.WithDefaults())
	off := map[string]bool{"MinAge": true, "ScrubbingDelay": true, "IdleDelay": true, "PendingToAvailable": true, "Patience": true}
	for i := range c.NumField() {
		name := c.Type().Field(i).Name
		if d, ok := c.Field(i).Interface().(time.Duration); ok && (d == 0) != off[name] {
			t.Errorf("%s is %v", name, d)
		}
	}
	if c := (Config{DryTime: time.Hour}).WithDefaults(); c.DryTime != time.Hour {
		t.Errorf("a value that is set becomes %v", c.DryTime)
	}
}

func TestPhase(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range Phases() {
		if seen[p.String()] || p.String() == "" {
			t.Errorf("phase %d is %q", p, p)
		}
		seen[p.String()] = true
	}
	if got := Phase(99).String(); got != "invalid" {
		t.Errorf("phase 99 is %q", got)
	}
	if text, err := json.Marshal(map[Phase]Phase{Busy: Scrubbing}); err != nil || string(text) != `{"busy":"scrubbing"}` {
		t.Errorf("as JSON: %s, %v", text, err)
	}
}

// TestSavedIsWhole: a State that is restored and saved again has lost nothing.
func TestSavedIsWhole(t *testing.T) {
	cfg := scrubbing()
	cfg.Max = 5
	b := newBed(t, cfg)
	b.list(b.mac("h-1", time.Hour), b.mac("h-2", 30*time.Hour), used(b.mac("h-3", time.Hour)))
	b.wait(5 * time.Minute)
	b.step(Want{Token: "t1"})
	b.list(b.mac("h-4", time.Hour), b.mac("h-1", time.Hour), b.mac("h-2", 30*time.Hour), used(b.mac("h-3", time.Hour)))
	b.step(Want{Token: "t2", Zones: []string{"b"}})
	b.step(Launched{Token: "t1", Instance: "i-1"})
	saved := b.Saved()
	if len(saved.Hosts) != 4 || len(saved.Reservations) != 1 || len(saved.Scrubs) != 1 || len(saved.Releasing) != 1 || len(saved.Requests) != 1 {
		t.Fatalf("saved %+v", saved)
	}
	after := restoredAt(t, cfg, roundTrip(t, saved), b.clock)
	if got := after.Saved(); !reflect.DeepEqual(*roundTrip(t, got), *roundTrip(t, saved)) {
		t.Errorf("saved\n%+v, restored\n%+v", saved, got)
	}
	if a, before := after.Accounting(), b.Accounting(); a.Total != before.Total {
		t.Errorf("%+v, and after the restart %+v", before, a)
	}
}

func restoredAt(t *testing.T, cfg Config, saved *Saved, now time.Time) *bed {
	t.Helper()
	b := &bed{State: New(cfg, saved), t: t, clock: now}
	b.step(Own{Owner: true})
	return b
}

// TestSavedBeforeTheFirstStep: nothing is lost by a process that is killed at once.
func TestSavedBeforeTheFirstStep(t *testing.T) {
	saved := &Saved{Owned: true, Generation: 7, Hosts: []KnownHost{{ID: "h-1"}}}
	if got := New(macs(), saved).Saved(); !reflect.DeepEqual(got, *saved) {
		t.Errorf("saved %+v", got)
	}
}

// TestRestart: what was under way goes on, and nothing is done twice.
func TestRestart(t *testing.T) {
	start := func(t *testing.T) *bed {
		b := newBed(t, macs())
		b.list(b.mac("h-1", time.Hour))
		b.step(Want{Token: "t1", Zones: []string{"a"}})
		must[Grant](b)
		return b
	}
	again := func(t *testing.T, b *bed) *bed { return restoredAt(t, macs(), roundTrip(t, b.Saved()), b.clock) }
	t.Run("a reservation", func(t *testing.T) {
		b := start(t)
		h := b.mac("h-1", time.Hour)
		b = again(t, b)
		b.list(h)
		b.wantPhase("h-1", Reserved)
		b.step(Want{Token: "t1"})
		if g := must[Grant](b); g.Host != "h-1" {
			t.Errorf("granted %+v", g)
		}
	})
	t.Run("a request", func(t *testing.T) {
		b := start(t)
		h := b.mac("h-1", time.Hour)
		b.step(Want{Token: "t2", Zones: []string{"b"}})
		ask := must[AllocateHost](b)
		b = again(t, b)
		b.step(Want{Token: "t3", Zones: []string{"b"}})
		none[AllocateHost](b) // not before it is known what there is
		b.list(h)
		if a := must[AllocateHost](b); a.ClientToken != ask.ClientToken || !a.Decided.Equal(ask.Decided) {
			t.Errorf("asked %+v, and then %+v", ask, a)
		}
	})
	t.Run("a host that no list has yet", func(t *testing.T) {
		b := start(t)
		h := b.mac("h-1", time.Hour)
		b.step(Want{Token: "t2", Zones: []string{"b"}})
		b.step(Allocated{Action: must[AllocateHost](b).ID, Host: "h-2"})
		b = again(t, b)
		b.step(Want{Token: "t3", Zones: []string{"b"}})
		b.list(h)
		none[AllocateHost](b)
	})
	t.Run("a release", func(t *testing.T) {
		b := newBed(t, macs())
		h := b.mac("h-1", 25*time.Hour)
		b.list(h)
		must[ReleaseHosts](b)
		b = again(t, b)
		must[ReleaseHosts](b)
		b.step(Want{Token: "t1", Zones: []string{"a"}})
		b.list(h)
		none[Grant](b)
	})
	t.Run("draining", func(t *testing.T) {
		b := start(t)
		b.step(Drain{true})
		b = again(t, b)
		b.step(Want{Token: "t2"})
		must[Refuse](b)
	})
	t.Run("not as the owner", func(t *testing.T) {
		b := start(t)
		b.step(Own{Owner: false})
		h := b.mac("h-1", time.Hour)
		b = again(t, b)
		b.list(h)
		b.step(Want{Token: "t2", Zones: []string{"a"}})
		none[Grant](b)
	})
}
