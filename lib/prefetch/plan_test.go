package prefetch

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

var t0 = time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)

// wish is one of a label that was made so many hours after t0.
func wish(name string, version int, instance string, hour int) Wish {
	return Wish{Instance: instance, Label: model.Label{
		UID: model.UID{name[0], byte(version)}, Name: name, Version: version, CreatedAt: t0.Add(time.Duration(hour) * time.Hour),
	}}
}

func TestPlan(t *testing.T) {
	a, b, c, d := wish("a", 1, "vm", 1), wish("b", 1, "vm", 2), wish("c", 1, "docker", 3), wish("d", 1, "vm", 4)
	all := []Wish{a, b, c, d}
	now := t0.Add(24 * time.Hour)
	late := func(d time.Duration) Past { return Past{Failed: 1, Next: now.Add(d)} }
	for _, tt := range []struct {
		name  string
		past  map[Key]Past
		busy  []string
		begin []Wish
		again time.Time
	}{
		{name: "one of each instance, the newest label first", begin: []Wish{c, d}},
		{name: "busy", busy: []string{"vm"}, begin: []Wish{c}},
		{name: "done", past: map[Key]Past{d.Key(): {Done: true}}, begin: []Wish{c, b}},
		{name: "failed ones wait their turn", past: map[Key]Past{d.Key(): {Failed: 2, Next: now}, b.Key(): {Failed: 1, Next: now}}, begin: []Wish{c, a}},
		{name: "paused ones do not hold up others", past: map[Key]Past{d.Key(): late(time.Hour)}, begin: []Wish{c, b}, again: now.Add(time.Hour)},
		{
			name:  "the first pause that ends",
			past:  map[Key]Past{a.Key(): late(3), b.Key(): late(1), c.Key(): {Done: true}, d.Key(): late(2)},
			again: now.Add(1),
		},
		{
			name: "nothing to do, ever",
			past: map[Key]Past{a.Key(): {Done: true}, b.Key(): {Done: true}, c.Key(): {Done: true}, d.Key(): {Done: true}},
		},
		{
			name: "no look at a time while the instance is busy anyway",
			past: map[Key]Past{a.Key(): late(3), b.Key(): late(1), c.Key(): {Done: true}}, busy: []string{"vm"},
		},
	} {
		busy := map[string]bool{}
		for _, name := range tt.busy {
			busy[name] = true
		}
		begin, again := Plan(all, tt.past, busy, now)
		if diff := cmp.Diff(tt.begin, begin); diff != "" || !again.Equal(tt.again) {
			t.Errorf("%s: again at %v, want %v; begin (-want +got):\n%s", tt.name, again, tt.again, diff)
		}
	}
}

func TestNewest(t *testing.T) {
	label := func(name string, version int) model.Label { return model.Label{Name: name, Version: version} }
	got := Newest([]model.Label{label("b", 3), label("a", -1), label("b", 10), label("b", 4), label("a", -2)})
	if diff := cmp.Diff([]model.Label{label("a", -1), label("b", 10)}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSettle(t *testing.T) {
	a, b, c := wish("a", 1, "vm", 1), wish("b", 1, "vm", 2), wish("c", 1, "vm", 3)
	a.Cached = true
	gone, away := wish("d", 1, "vm", 4), wish("e", 1, "vm", 5)
	labels := []model.Label{a.Label, b.Label, c.Label, away.Label}
	past := map[Key]Past{a.Key(): {Failed: 3}, b.Key(): {Failed: 2, Reason: "x"}, gone.Key(): {Done: true}, away.Key(): {Done: true}}
	got := Settle([]Wish{a, b, c}, past, labels)
	want := map[Key]Past{a.Key(): {Done: true}, b.Key(): {Failed: 2, Reason: "x"}, away.Key(): {Done: true}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	b.Cached = false
	if got := Settle([]Wish{b}, map[Key]Past{b.Key(): {Done: true}}, labels); !got[b.Key()].Done {
		t.Error("what was here and was evicted is wished again")
	}
}

func TestPauses(t *testing.T) {
	for failed, want := range map[int]time.Duration{1: time.Minute, 2: 2 * time.Minute, 6: 32 * time.Minute, 7: time.Hour, 1_000_000: time.Hour} {
		if got := pauseAfter(failed); got != want {
			t.Errorf("after %d failures: %v, want %v", failed, got, want)
		}
	}
}
