package store

import (
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

func TestSteady(t *testing.T) {
	begin := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	type reading struct{ elapsed, wall, want time.Duration } // wall and want: since begin
	for _, test := range []struct {
		name     string
		readings []reading
	}{
		{"runs along", []reading{{0, 0, 0}, {time.Minute, time.Minute, time.Minute}, {240 * time.Hour, 240 * time.Hour, 240 * time.Hour}}},
		{"small steps add up", []reading{
			{time.Hour, time.Hour + 4*time.Minute, time.Hour + 4*time.Minute},
			{2 * time.Hour, 2*time.Hour + 8*time.Minute, 2*time.Hour + 8*time.Minute},
		}},
		{"a step ahead that is taken back", []reading{
			{time.Minute, 720 * time.Hour, time.Minute},
			{time.Hour, 721 * time.Hour, time.Hour},
			{61 * time.Minute, 61 * time.Minute, 61 * time.Minute},
			{62 * time.Minute, 720 * time.Hour, 62 * time.Minute}, // another begins anew
			{121 * time.Minute, 721 * time.Hour, 121 * time.Minute},
		}},
		{"a step ahead that lasts", []reading{
			{time.Minute, 720 * time.Hour, time.Minute},
			{61 * time.Minute, 721 * time.Hour, 721 * time.Hour},
			{62 * time.Minute, 721*time.Hour + time.Minute, 721*time.Hour + time.Minute},
		}},
		{"a step back", []reading{
			{time.Minute, -720 * time.Hour, -720 * time.Hour},
			{2 * time.Minute, 2 * time.Minute, 2*time.Minute - 720*time.Hour - time.Minute},
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := steady{begin: begin}
			for _, r := range test.readings {
				if got := c.read(begin.Add(r.wall), r.elapsed).Sub(begin); got != r.want {
					t.Errorf("read() %v after the beginning, with the wall clock at %v, is %v, want %v", r.elapsed, r.wall, got, r.want)
				}
			}
		})
	}
}

func TestAnchor(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	at := func(d time.Duration) model.HLC { return model.HLC(now.Add(d).UnixNano()) }
	for _, test := range []struct {
		name     string
		wall     time.Duration
		last     model.HLC
		believed time.Time
		want     time.Duration // since now
	}{
		{"a new database", time.Hour, 0, time.Time{}, time.Hour},
		{"a restart", time.Minute, at(0), now.Add(-time.Hour), 0},
		{"years ahead", 80000 * time.Hour, at(0), time.Time{}, 0},
		{"years ahead for the second time", 80000 * time.Hour, at(80000 * time.Hour), now, 0},
		{"the clock was set back", -time.Hour, at(0), time.Time{}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := anchor(now.Add(test.wall), test.last, test.believed).Sub(now); got != test.want {
				t.Errorf("anchor() = %v, want %v", got, test.want)
			}
		})
	}
}
