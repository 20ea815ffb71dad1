package pool

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// TestRoomByZone: what is free in one zone is none for who asks for another.
func TestRoomByZone(t *testing.T) {
	full := func(b *bed) {
		b.list(used(b.mac("h-1", time.Hour)), b.mac("h-2", time.Hour)) // both in a, and there may be 2
	}
	for _, tt := range []struct {
		name  string
		make  func(b *bed)
		zones []string
		want  int
		why   string
	}{
		{"nothing there", func(b *bed) { b.list() }, []string{"b"}, 2, ""},
		{"of a zone that it does not use", func(b *bed) { b.list() }, []string{"z"}, 0, "of the zones asked for it can allocate in none, but in a, b"},
		{"free where it is", full, []string{"a"}, 1, ""},
		{"and in one of several", full, []string{"b", "a"}, 1, ""},
		{"and not elsewhere", full, []string{"b"}, 0, "its free hosts are in a, and it has 2 hosts, and may have 2 (1 available, 1 busy)"},
		{"who waits for another zone is in nobody's way", func(b *bed) { full(b); b.step(Want{Token: "t", Zones: []string{"b"}}) }, []string{"a"}, 1, ""},
		{"who waits for the same one is", func(b *bed) { b.list(); b.step(Want{Token: "t", Zones: []string{"b"}}) }, []string{"b"}, 1, ""},
		{"who waits takes of what there may be", func(b *bed) { b.list(); b.step(Want{Token: "t", Zones: []string{"b"}}) }, []string{"a"}, 1, ""},
		{"of another type", func(b *bed) {
			old := b.mac("h-1", time.Hour)
			old.Type = "mac1.metal"
			b.list(old, used(b.mac("h-2", time.Hour)))
		}, nil, 0, "it has 2 hosts, and may have 2"},
		{"in use", func(b *bed) { b.list(used(b.mac("h-1", time.Hour)), b.in("h-2", cloud.HostPending)) }, nil, 0, "(1 busy, 1 scrubbing)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t, macs())
			tt.make(b)
			r := b.Room()
			if got := r.For(tt.zones); got != tt.want {
				t.Errorf("room for %v is %d, want %d: %+v", tt.zones, got, tt.want, r)
			}
			if got := r.Trouble(tt.zones); tt.want == 0 && !strings.Contains(got, tt.why) {
				t.Errorf("trouble of %v is %q, want %q", tt.zones, got, tt.why)
			}
		})
	}
}

// TestRefusedByZone: who waited in vain hears that the hosts are elsewhere, not
// that they are in use.
func TestRefusedByZone(t *testing.T) {
	cfg := macs()
	cfg.Max = 1
	b := newBed(t, cfg)
	h := b.mac("h-1", time.Hour)
	b.list(h)
	b.step(Want{Token: "t", Zones: []string{"b"}, Until: b.clock.Add(time.Minute)})
	b.wait(time.Minute, h)
	want := "its free hosts are in a, and it has 1 hosts, and may have 1 (1 available)"
	if got := must[Refuse](b); !strings.Contains(got.Reason, want) {
		t.Errorf("refused with %q, want %q", got.Reason, want)
	}
}

// TestRoomOfNoMaximum: a pool that is to have no host says so to who asks, and
// gives out what it has.
func TestRoomOfNoMaximum(t *testing.T) {
	cfg := macs()
	cfg.Max = 0
	b := newBed(t, cfg)
	b.list()
	if got := b.trouble(); !strings.Contains(got, "it has 0 hosts, and may have 0") {
		t.Errorf("trouble is %q", got)
	}
	b.step(Want{Token: "t"})
	if got := must[Refuse](b); !strings.Contains(got.Reason, "max is 0") {
		t.Errorf("refused with %q", got.Reason)
	}
	b.list(b.mac("h-1", time.Hour)) // of before, and it is paid for
	if got := b.Room().For(nil); got != 1 {
		t.Errorf("room is %d, want the host that is there", got)
	}
}

// TestRoomOfWaiting: who waits for few zones gets what is in them, and who takes
// any gets the rest; more there is not.
func TestRoomOfWaiting(t *testing.T) {
	r := Room{Free: map[string]int{"a": 1, "b": 1}, Waiting: []Waiting{{[]string{"a"}, 1}, {nil, 1}}}
	for _, zones := range [][]string{nil, {"a"}, {"b"}} {
		if got := r.For(zones); got != 0 {
			t.Errorf("room for %v is %d, want none: both are taken", zones, got)
		}
	}
	r.Waiting = r.Waiting[:1]
	if a, b := r.For([]string{"a"}), r.For([]string{"b"}); a != 0 || b != 1 {
		t.Errorf("room is %d in a and %d in b, want 0 and 1", a, b)
	}
	more := r
	more.New, more.Zones = 1, []string{"b"}
	if !more.Grew(r) || r.Grew(more) || r.Grew(r) {
		t.Error("what may be allocated is not seen as more room, or as less")
	}
}

// TestRoomIsExact: whatever waits and is free, as many as there is room for can
// be served after all who wait, and no more; also by a node that had it told.
func TestRoomIsExact(t *testing.T) {
	zone := rapid.SampledFrom([]string{"a", "b", "c"})
	rapid.Check(t, func(t *rapid.T) {
		r := Room{
			Free: rapid.MapOf(zone, rapid.IntRange(0, 1)).Draw(t, "free"), New: rapid.IntRange(0, 2).Draw(t, "new"),
			Zones: rapid.SliceOfDistinct(zone, rapid.ID[string]).Draw(t, "wet"),
		}
		q := queue{byToken: map[string]*waiting{}}
		for range rapid.IntRange(0, 4).Draw(t, "waiting") {
			q.order = append(q.order, &waiting{Want: Want{Zones: rapid.SliceOfDistinct(zone, rapid.ID[string]).Draw(t, "waits in")}})
		}
		r.Waiting = q.kinds("")
		zones := rapid.SliceOfDistinct(zone, rapid.ID[string]).Draw(t, "asks in")
		got := r.For(zones)
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var told Room
		if err := json.Unmarshal(text, &told); err != nil || told.For(zones) != got {
			t.Fatalf("another node reads %s, %v, as %d, want %d", text, err, told.For(zones), got)
		}
		var seekers [][]string
		for _, w := range q.order {
			seekers = append(seekers, w.Zones)
		}
		before := most(r, seekers)
		for range got {
			seekers = append(seekers, zones)
		}
		if after := most(r, seekers); after != before+got {
			t.Errorf("%d of those who wait can be served, and %d with %d more: %+v", before, after, got, r)
		}
		if after := most(r, append(seekers, zones)); after != before+got {
			t.Errorf("%d of those who wait can be served, and %d with one more than %d: %+v", before, after, got, r)
		}
	})
}

// most is how many of those who seek a host in some zones can have one: by trying all ways.
func most(r Room, seekers [][]string) int {
	if len(seekers) == 0 {
		return 0
	}
	best := most(r, seekers[1:])
	for zone, n := range r.Free {
		if n > 0 && within(seekers[0], zone) {
			r.Free[zone]--
			best = max(best, 1+most(r, seekers[1:]))
			r.Free[zone]++
		}
	}
	if r.New > 0 && anyWithin(seekers[0], r.Zones) {
		r.New--
		best = max(best, 1+most(r, seekers[1:]))
	}
	return best
}

// TestWaitingKinds: those who are content with the same are counted together,
// in whatever order they name it.
func TestWaitingKinds(t *testing.T) {
	q := queue{byToken: map[string]*waiting{}}
	for _, zones := range [][]string{nil, {"b", "a"}, {"a", "b"}, {"b"}, {"b", "b"}} {
		q.order = append(q.order, &waiting{Want: Want{Type: "x", Zones: zones}})
	}
	q.order = append(q.order, &waiting{Want: Want{Type: "y"}})
	want := []Waiting{{nil, 1}, {[]string{"a", "b"}, 2}, {[]string{"b"}, 2}}
	if diff := cmp.Diff(want, q.kinds("x")); diff != "" {
		t.Errorf("kinds (-want +got):\n%s", diff)
	}
}
