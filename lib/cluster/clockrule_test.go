package cluster

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
)

// TestClockTold: an answer counts by half of what the way took; two that are
// certainly too far off end the link.
func TestClockTold(t *testing.T) {
	began := time.Now()
	type answer struct {
		number uint64
		way    time.Duration // until the answer
		ahead  time.Duration // of the neighbour's clock, when it answers
		apart  bool
	}
	for _, tt := range []struct {
		name    string
		answers []answer
		offset  time.Duration
	}{
		{"the way is counted", []answer{{1, time.Second, 7 * time.Second, false}}, 7 * time.Second},
		{"the newest counts", []answer{{1, 0, 7 * time.Second, false}, {2, 0, -3 * time.Second, false}}, -3 * time.Second},
		{"nobody asked", []answer{{7, 0, time.Hour, false}, {9, 0, time.Hour, false}}, time.Second},
		{"too late", []answer{{1, clockPatience + 1, time.Hour, false}, {2, clockPatience + 1, time.Hour, false}}, time.Second},
		{"once too far", []answer{{1, 0, time.Hour, false}, {2, 0, 0, false}, {3, 0, time.Hour, false}}, time.Hour},
		{"twice too far", []answer{{1, 0, time.Hour, false}, {2, 0, time.Hour, true}}, time.Hour},
		{"twice too far behind", []answer{{1, 0, -time.Hour, false}, {2, 0, -time.Hour, true}}, -time.Hour},
		{"perhaps too far", []answer{{1, 4 * time.Second, 61 * time.Second, false}, {2, 4 * time.Second, 61 * time.Second, false}}, 61 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, now := newClock(time.Second, began), began
			for i, a := range tt.answers {
				if i == 0 || !c.doubted {
					now = now.Add(clockEvery)
				}
				want := []any{wire.ClockAsk{Number: uint64(i + 1)}} //nolint:gosec // a small number
				if diff := cmp.Diff(want, c.take(now, now)); diff != "" {
					t.Fatalf("take (-want +got):\n%s", diff)
				}
				if more := c.take(now, now); more != nil {
					t.Errorf("asks twice: %v", more)
				}
				told := now.Add(a.way / 2).Add(a.ahead)
				now = now.Add(a.way)
				if got := c.told(wire.ClockTold{Number: a.number, Wall: told.UnixNano()}, now, now); got != a.apart {
					t.Errorf("told %d = %v, want %v", i+1, got, a.apart)
				}
			}
			if c.offset != tt.offset {
				t.Errorf("offset = %v, want %v", c.offset, tt.offset)
			}
		})
	}
}

// TestClockIsBounded: what others are told of a clock that is off by centuries is
// far off too, and on the right side.
func TestClockIsBounded(t *testing.T) {
	for _, tt := range []struct {
		wall int64
		want int32
	}{
		{1800000000e9 + 7e9, 7000},
		{1800000000e9 - 40*24*3600e9, math.MinInt32}, // would wrap to ten days ahead
		{math.MaxInt64, math.MaxInt32},
		{math.MinInt64, math.MinInt32},
	} {
		now, wall := time.Now(), time.Unix(1800000000, 0)
		c := newClock(0, now)
		now = now.Add(clockEvery)
		c.take(now, wall)
		c.told(wire.ClockTold{Number: 1, Wall: tt.wall}, now, wall)
		if got := c.millis(); got != tt.want {
			t.Errorf("a neighbour at %d is told to be %d ms ahead, want %d", tt.wall, got, tt.want)
		}
	}
}

// TestClockAnswers: each question once, the newest of many.
func TestClockAnswers(t *testing.T) {
	now, wall := time.Now(), time.Unix(1800000000, 0)
	c := newClock(0, now)
	c.answer = 3
	c.answer = 4
	if diff := cmp.Diff([]any{wire.ClockTold{Number: 4, Wall: wall.UnixNano()}}, c.take(now, wall)); diff != "" {
		t.Errorf("take (-want +got):\n%s", diff)
	}
	if more := c.take(now, wall); more != nil {
		t.Errorf("answers twice: %v", more)
	}
}
