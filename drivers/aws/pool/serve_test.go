package pool

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// TestServe is who gets which host.
func TestServe(t *testing.T) {
	in := func(zone string, h cloud.Host) cloud.Host { h.Zone = zone; return h }
	old := func(b *bed) []cloud.Host {
		return []cloud.Host{b.mac("h-1", 9*time.Hour), in("b", b.mac("h-2", 3*time.Hour))}
	}
	tests := []struct {
		name  string
		hosts func(b *bed) []cloud.Host
		wants []Want
		want  string // token:host of the grants
	}{
		{"the youngest", old, []Want{{Token: "t1"}}, "t1:h-2"},
		{"first come", old, []Want{{Token: "t1"}, {Token: "t2"}, {Token: "t3"}}, "t1:h-2 t2:h-1"},
		{"only where it may be", old, []Want{{Token: "t1", Zones: []string{"c", "a"}}}, "t1:h-1"},
		{"who does not fit lets others pass", old, []Want{{Token: "t1", Zones: []string{"a"}}, {Token: "t2", Zones: []string{"a"}}, {Token: "t3"}}, "t1:h-1 t3:h-2"},
		{"only the type", func(b *bed) []cloud.Host {
			h := b.mac("h-1", time.Hour)
			h.Type = "mac1.metal"
			return []cloud.Host{h}
		}, []Want{{Token: "t1"}, {Token: "t2", Type: "mac1.metal"}}, "t2:h-1"},
		{"no host in use", func(b *bed) []cloud.Host { return []cloud.Host{used(b.mac("h-1", time.Hour))} }, []Want{{Token: "t1"}}, ""},
		{"no host without room", func(b *bed) []cloud.Host {
			h := b.mac("h-1", time.Hour)
			h.Free = 0
			return []cloud.Host{h}
		}, []Want{{Token: "t1"}}, ""},
		{"a host of which nothing is said", func(b *bed) []cloud.Host {
			h := b.mac("h-1", time.Hour)
			h.Free = -1
			return []cloud.Host{h}
		}, []Want{{Token: "t1"}}, "t1:h-1"},
		{"no failed host", func(b *bed) []cloud.Host { return []cloud.Host{b.in("h-1", cloud.HostPermanentFailure)} }, []Want{{Token: "t1"}}, ""},
		{"no host in an unknown state", func(b *bed) []cloud.Host { return []cloud.Host{b.in("h-1", "configuring")} }, []Want{{Token: "t1"}}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t, macs())
			b.list(tt.hosts(b)...)
			var got []string
			for _, w := range tt.wants {
				w.Until = b.clock.Add(time.Hour)
				for _, g := range only[Grant](b.step(w)) {
					got = append(got, g.Token+":"+g.Host)
				}
			}
			if got := strings.Join(got, " "); got != tt.want {
				t.Errorf("granted %q, want %q", got, tt.want)
			}
		})
	}
}

// in is a host in a state.
func (b *bed) in(id, state string) cloud.Host { return in(b.mac(id, time.Hour), state) }

func TestServeInOrder(t *testing.T) {
	b := newBed(t, macs())
	b.list(used(b.mac("h-1", time.Hour)))
	for i, since := range []string{"07:50", "07:10", "07:30"} {
		b.step(Want{Token: fmt.Sprint("t", i), Since: at("2026-03-02 " + since), Zones: []string{"a"}})
	}
	b.list(b.mac("h-1", time.Hour))
	for _, want := range []string{"t1", "t2", "t0"} {
		if got := must[Grant](b); got.Token != want {
			t.Fatalf("served %s, want %s", got.Token, want)
		}
		b.step(Cancel{want})
	}
}

// TestRefuse is who gets an answer at once.
func TestRefuse(t *testing.T) {
	tests := []struct {
		name   string
		before []Event
		want   Want
		reason string
	}{
		{"not the owner", []Event{Own{Owner: false}}, Want{Token: "t"}, "not run by this node"},
		{"draining", []Event{Drain{true}}, Want{Token: "t"}, "drained"},
		{"too late", nil, Want{Token: "t", Until: at("2026-03-02 07:00")}, "its time was over"},
		{"another type", nil, Want{Token: "t", Type: "mac1.metal"}, "no mac1.metal"},
		{"another zone", nil, Want{Token: "t", Zones: []string{"z"}}, "no mac2.metal"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t, macs())
			b.list()
			for _, e := range tt.before {
				b.step(e)
			}
			b.step(tt.want)
			if got := must[Refuse](b); got.Token != "t" || !strings.Contains(got.Reason, tt.reason) {
				t.Errorf("refused with %q, want %q", got.Reason, tt.reason)
			}
			if a := b.Accounting(); a.Waiting != 0 {
				t.Errorf("%d wait", a.Waiting)
			}
		})
	}
	t.Run("who waits when it begins", func(t *testing.T) {
		for _, e := range []Event{Own{Owner: false}, Drain{true}} {
			b := newBed(t, macs())
			b.list(used(b.mac("h-1", 0)), used(b.mac("h-2", 0)))
			b.step(Want{Token: "t"})
			b.step(e)
			must[Refuse](b)
		}
	})
	t.Run("who waited too long", func(t *testing.T) {
		b := newBed(t, macs())
		hosts := []cloud.Host{used(b.mac("h-1", 0)), used(b.mac("h-2", 0))}
		b.list(hosts...)
		b.step(Want{Token: "t", Until: b.clock.Add(10 * time.Minute)})
		b.wait(10*time.Minute-time.Second, hosts...)
		none[Refuse](b)
		b.wait(time.Second, hosts...)
		if got := must[Refuse](b); !strings.Contains(got.Reason, "it has 2 hosts, and may have 2 (2 busy)") {
			t.Errorf("refused with %q", got.Reason)
		}
	})
}

// TestWantAgain: an answer that was lost is asked for again.
func TestWantAgain(t *testing.T) {
	b := newBed(t, macs())
	h := b.mac("h-1", time.Hour)
	b.list(h)
	b.step(Want{Token: "t1"})
	first := must[Grant](b)
	b.clock = b.clock.Add(time.Minute)
	b.step(Want{Token: "t1"})
	if again := must[Grant](b); again.Host != first.Host || !again.Until.After(first.Until) {
		t.Errorf("granted %+v, and then %+v", first, again)
	}
	b.list(used(h))
	b.wantPhase("h-1", Busy)
	b.step(Want{Token: "t1"})
	if again := must[Grant](b); again.Host != first.Host {
		t.Errorf("with an instance on its host it got %+v", again)
	}
	b.step(Want{Token: "t2", Until: b.clock.Add(time.Hour)})
	b.step(Want{Token: "t2", Until: b.clock.Add(time.Minute)})
	if a := b.Accounting(); a.Waiting != 1 {
		t.Errorf("%d wait, want 1", a.Waiting)
	}
	b.wait(time.Minute)
	must[Refuse](b)
}

// TestLaunch is what the end of a launch means for the host.
func TestLaunch(t *testing.T) {
	refused := cloud.NewError("InsufficientCapacityOnHost", "not free")
	unsure := cloud.NewError("InternalError", "who knows")
	unsure.Unsure = true
	tests := []struct {
		name   string
		events []Event
		phase  Phase
		after  Phase // with lists that show an idle host, when they must show all
	}{
		{"nothing told", nil, Reserved, Available},
		{"started", []Event{Launched{Token: "t1", Instance: "i-1"}}, Reserved, Available},
		{"the host refused", []Event{Launched{Token: "t1", Err: refused}}, Resting, Available},
		{"the label was wrong", []Event{Launched{Token: "t1", Err: cloud.NewError("InvalidAMIID.Malformed", "no")}}, Available, Available},
		{"cancelled", []Event{Cancel{"t1"}}, Available, Available},
		{"not sure", []Event{Launched{Token: "t1", Err: unsure}}, Reserved, Available},
		{"no answer", []Event{Launched{Token: "t1", Err: errors.New("timeout")}}, Reserved, Available},
		{"refused after one that is not sure", []Event{Launched{Token: "t1", Err: unsure}, Launched{Token: "t1", Err: refused}}, Reserved, Available},
		{"cancelled after one that is not sure", []Event{Launched{Token: "t1", Err: unsure}, Cancel{"t1"}}, Reserved, Available},
		{"of an unknown token", []Event{Launched{Token: "t9", Instance: "i-1"}, Cancel{"t9"}}, Reserved, Available},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t, macs())
			h := b.mac("h-1", time.Hour)
			b.list(h)
			b.step(Want{Token: "t1"})
			must[Grant](b)
			for _, e := range tt.events {
				b.step(e)
			}
			b.wantPhase("h-1", tt.phase)
			b.wait(4*time.Minute+30*time.Second, h)
			b.wantPhase("h-1", tt.phase)
			b.wait(7*time.Minute, h)
			b.wantPhase("h-1", tt.after)
			if _, ok := b.Holder("t1"); ok {
				t.Error("the token has the host on")
			}
		})
	}
}

// TestLaunchRefusedOften: somebody should know.
func TestLaunchRefusedOften(t *testing.T) {
	b := newBed(t, macs())
	h := b.mac("h-1", time.Hour)
	b.list(h)
	alarms := 0
	for i := range 5 {
		b.step(Want{Token: fmt.Sprint("t", i), Zones: []string{"a"}})
		b.step(Launched{Token: must[Grant](b).Token, Err: cloud.NewError("InsufficientCapacityOnHost", "not free")})
		alarms += len(only[Alarm](b.acts))
		b.wait(6*time.Minute, h)
	}
	if alarms == 0 {
		t.Error("nobody was told")
	}
}

// TestCapacity is how many requests could be served.
func TestCapacity(t *testing.T) {
	tests := []struct {
		name string
		make func(b *bed)
		want int
	}{
		{"nothing there", func(b *bed) { b.list() }, 2},
		{"one idle", func(b *bed) { b.list(b.mac("h-1", 0)) }, 2},
		{"one busy", func(b *bed) { b.list(used(b.mac("h-1", 0))) }, 1},
		{"scrubbed", func(b *bed) { b.list(b.in("h-1", cloud.HostPending), b.in("h-2", cloud.HostPending)) }, 0},
		{"one waits", func(b *bed) { b.list(); b.step(Want{Token: "t"}) }, 1},
		{"more than the maximum", func(b *bed) { b.list(used(b.mac("h-1", 0)), used(b.mac("h-2", 0)), used(b.mac("h-3", 0))) }, 0},
		{"one is reserved", func(b *bed) { b.list(b.mac("h-1", 0)); b.step(Want{Token: "t"}) }, 1},
		{"not the owner", func(b *bed) { b.list(b.mac("h-1", 0)); b.step(Own{Owner: false}) }, 0},
		{"draining", func(b *bed) { b.list(b.mac("h-1", 0)); b.step(Drain{true}) }, 0},
		{"just taken over", func(b *bed) { b.step(Own{Owner: false}); b.step(Own{Owner: true}); b.list(b.mac("h-1", 0)) }, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t, macs())
			tt.make(b)
			if got := b.Capacity(); got != tt.want {
				t.Errorf("capacity is %d, want %d\n%+v", got, tt.want, b.Views())
			}
		})
	}
}

// TestViews is what a person sees of each host.
func TestViews(t *testing.T) {
	cfg := scrubbing()
	cfg.Max, cfg.IdleDelay = 9, time.Hour
	b := newBed(t, cfg)
	hosts := []cloud.Host{
		b.mac("h-1", time.Hour), used(b.mac("h-2", time.Hour)), b.in("h-3", cloud.HostPending), b.in("h-4", cloud.HostPermanentFailure),
		b.in("h-5", "configuring"), b.mac("h-6", 2*time.Hour),
	}
	b.list(hosts...)
	b.step(Want{Token: "t1", Zones: []string{"a"}})
	b.step(Launched{Token: "t1", Err: cloud.NewError("InsufficientCapacityOnHost", "not free")})
	b.step(Want{Token: "t2", Zones: []string{"b"}})
	want := []struct {
		id      string
		phase   Phase
		release string // from 08:00 of the day it is
		why     string
	}{
		{"h-1", Resting, "23h0m0s", "a launch was refused: not free"}, {"h-2", Busy, "23h0m0s", ""}, {"h-3", Scrubbing, "23h0m0s", "AWS scrubs it"},
		{"h-4", Failed, "23h0m0s", "failed for good"}, {"h-5", Unknown, "", "AWS calls its state configuring"}, {"h-6", Available, "22h0m0s", ""},
		{"", Requested, "", "asked for 1 times"},
	}
	views := b.Views()
	if len(views) != len(want) {
		t.Fatalf("views %+v", views)
	}
	for i, w := range want {
		v, release := views[i], ""
		if !v.Release.IsZero() {
			release = v.Release.Sub(b.clock).String()
		}
		if v.ID != w.id || v.Phase != w.phase || release != w.release || !strings.Contains(v.Why, w.why) || w.why == "" && v.Why != "" {
			t.Errorf("view %+v, want %+v", v, w)
		}
	}
}

// Who does not own the pool any more gives out nothing, also not what it gave
// before: the host may be another's soon.
func TestNoGrantOfAFormerOwner(t *testing.T) {
	b := newBed(t, macs())
	b.answer(nil, b.mac("h-1", time.Hour))
	b.step(Want{Token: "t1"})
	must[Grant](b)
	b.step(Own{})
	b.step(Want{Token: "t1"})
	none[Grant](b)
	must[Refuse](b)
}
