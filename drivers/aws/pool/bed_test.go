package pool

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// bed is a pool whose outside is played by the test, step by step.
type bed struct {
	*State
	t     *testing.T
	clock time.Time
	acts  []Action // of the last step
}

func at(text string) time.Time {
	t, err := time.Parse("2006-01-02 15:04", text)
	if err != nil {
		panic(err)
	}
	return t
}

// macs is a pool as most have it.
func macs() Config {
	return Config{Name: "mac", Origin: "node", Type: "mac2.metal", Zones: []string{"a", "b"}, Max: 2, MinAge: MacMinAge}
}

// newBed is a pool that is owned and never had a host.
func newBed(t *testing.T, cfg Config) *bed { return restored(t, cfg, &Saved{Owned: true}) }

func restored(t *testing.T, cfg Config, saved *Saved) *bed {
	t.Helper()
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	b := &bed{State: New(cfg, saved), t: t, clock: at("2026-03-02 08:00")}
	b.step(Own{Owner: true})
	return b
}

func (b *bed) step(e Event) []Action {
	b.t.Helper()
	b.acts = b.Step(b.clock, e)
	if next := b.Next(); !next.IsZero() && !next.After(b.clock) {
		b.t.Fatalf("after %#v: the next tick is due at %v, and it is %v", e, next, b.clock)
	}
	b.check()
	return b.acts
}

// check is what holds between any two steps.
func (b *bed) check() {
	b.t.Helper()
	if err := consistent(b.State); err != nil {
		b.t.Fatal(err)
	}
}

// wait lets time pass with all its ticks, and collects their actions. Lists
// that are asked for do not come, unless there are hosts to answer with.
func (b *bed) wait(d time.Duration, hosts ...cloud.Host) []Action {
	b.t.Helper()
	var all []Action
	end := b.clock.Add(d)
	for {
		next := b.Next()
		if next.IsZero() || next.After(end) {
			break
		}
		b.clock = next
		all = append(all, b.step(Tick{})...)
		for hosts != nil {
			id := one[Describe](b)
			if id == nil {
				break
			}
			all = append(all, b.step(Described{Action: id.ID, Hosts: hosts})...)
		}
	}
	b.clock = end
	b.acts = all
	return all
}

// list gives the pool a list that is the truth of this instant.
func (b *bed) list(hosts ...cloud.Host) []Action {
	b.t.Helper()
	return b.step(Described{Hosts: hosts})
}

// answer waits until the pool asks for a list, and answers.
func (b *bed) answer(err error, hosts ...cloud.Host) []Action {
	b.t.Helper()
	ask := one[Describe](b)
	for ask == nil {
		if b.Next().IsZero() || b.Next().After(b.clock.Add(time.Hour)) {
			b.t.Fatal("no list is asked for within an hour")
		}
		b.clock = b.Next()
		b.step(Tick{})
		ask = one[Describe](b)
	}
	return b.step(Described{Action: ask.ID, Hosts: hosts, Err: err})
}

// one is the only action of a type among those of the last step, nil if there is none.
func one[A Action](b *bed) *A {
	b.t.Helper()
	all := only[A](b.acts)
	if len(all) == 0 {
		return nil
	}
	if len(all) > 1 {
		b.t.Fatalf("%d actions of a kind, want one: %+v", len(all), all)
	}
	return &all[0]
}

// must is the only action of a type of the last step.
func must[A Action](b *bed) A {
	b.t.Helper()
	a := one[A](b)
	if a == nil {
		var zero A
		b.t.Fatalf("no %T among %+v\nhosts %+v", zero, b.acts, b.Views())
	}
	return *a
}

// none fails if there was an action of the type in the last step.
func none[A Action](b *bed) {
	b.t.Helper()
	if a := only[A](b.acts); len(a) > 0 {
		b.t.Fatalf("unwanted action: %+v\nhosts %+v", a, b.Views())
	}
}

func only[A Action](all []Action) []A {
	var out []A
	for _, a := range all {
		if a, ok := a.(A); ok {
			out = append(out, a)
		}
	}
	return out
}

// phase is the phase of a host, by its view.
func (b *bed) phase(id string) Phase {
	b.t.Helper()
	for _, v := range b.Views() {
		if v.ID == id {
			return v.Phase
		}
	}
	b.t.Fatalf("no host %s", id)
	return 0
}

func (b *bed) wantPhase(id string, want Phase) {
	b.t.Helper()
	if got := b.phase(id); got != want {
		b.t.Fatalf("host %s is %v, want %v\n%+v", id, got, want, b.Views())
	}
}

// mac is an idle host, allocated so long ago.
func (b *bed) mac(id string, age time.Duration) cloud.Host {
	return cloud.Host{ID: id, Type: "mac2.metal", Zone: "a", State: cloud.HostAvailable, AllocationTime: b.clock.Add(-age), Free: 1}
}

func used(h cloud.Host) cloud.Host {
	h.Instances, h.Free = []string{"i-" + h.ID}, 0
	return h
}

func in(h cloud.Host, state string) cloud.Host {
	h.State = state
	if state != cloud.HostAvailable {
		h.Instances, h.Free = nil, 0
	}
	return h
}

// consistent is what holds for every state at any time.
func consistent(s *State) error {
	if !slices.IsSortedFunc(s.hosts, func(a, b *host) int { return compare(a.id, b.id) }) || len(s.byID) != len(s.hosts) {
		return fmt.Errorf("the hosts are out of order")
	}
	var count [phases]int
	tokens := map[string]string{}
	for _, h := range s.hosts {
		count[h.phase]++
		if s.byID[h.id] != h || h.removed || h.touched {
			return fmt.Errorf("host %s is not in order: %+v", h.id, h)
		}
		if want := s.phaseOf(h); h.phase != want {
			return fmt.Errorf("host %s is %v, and the facts say %v", h.id, h.phase, want)
		}
		if h.res != nil && h.holder == "" {
			return fmt.Errorf("host %s is reserved for nobody", h.id)
		}
		if h.phase == Reserved || h.phase == Busy && h.holder != "" {
			if other := tokens[h.holder]; other != "" {
				return fmt.Errorf("%s has two hosts, %s and %s", h.holder, other, h.id)
			}
			tokens[h.holder] = h.id
		}
		if s.ghosts[h.id] != nil {
			return fmt.Errorf("host %s is known, and a ghost too", h.id)
		}
		if h.timer > 0 && s.timers[h.timer-1].host != h {
			return fmt.Errorf("host %s has another's timer", h.id)
		}
	}
	if count != s.count {
		return fmt.Errorf("the hosts by phase are %v, counted are %v", count, s.count)
	}
	a := s.Accounting()
	sum := 0
	for _, p := range Phases() {
		sum += a.Phases[p]
	}
	if sum != a.Total || a.Total != len(s.hosts)+len(s.requests) || len(s.queue.byToken) != len(s.queue.order) {
		return fmt.Errorf("the accounting does not add up: %+v", a)
	}
	return errors.Join(indexed(s), planned(s))
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// trouble is why a request that comes now would have to wait; empty if it would not.
func (b *bed) trouble() string {
	if r := b.Room(); r.For(nil) == 0 {
		return r.Trouble(nil)
	}
	return ""
}
