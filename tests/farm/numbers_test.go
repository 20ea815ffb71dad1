package farm

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestLatencies(t *testing.T) {
	var l Latencies
	if l.At(0.5) != 0 || l.String() != "p50 0s p99 0s max 0s" {
		t.Errorf("of nothing: %v", l)
	}
	for i := range 100 {
		l = append(l, time.Duration(100-i)*time.Millisecond)
	}
	if got, want := l.String(), "p50 51ms p99 100ms max 100ms"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestFlat(t *testing.T) {
	rising, saw := Series{}, Series{}
	for i := range 60 {
		rising = append(rising, int64(100+i))
		saw = append(saw, int64(100+i%5))
	}
	for _, tt := range []struct {
		name   string
		series Series
		slack  float64
		floor  int64
		flat   bool
	}{
		{"too short", Series{1, 1, 1}, 1, 1, false},
		{"constant", slices.Repeat(Series{7}, 9), 0, 0, true},
		{"never seen", make(Series, 9), 0, 0, false},
		{"up and down", saw, 0.01, 0, true},
		{"rising", rising, 0.05, 0, false},
		{"rising by less than the slack", rising, 0.2, 0, true},
		{"rising by less than the floor", rising, 0, 21, true},
		{"warming up", append(rising[:20:20], slices.Repeat(Series{1}, 40)...), 0, 0, true},
		{"falling", Series{9, 8, 7, 6, 5, 4, 3, 2, 1}, 0, 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.series.Flat(tt.slack, tt.floor); (err == nil) != tt.flat {
				t.Errorf("Flat() = %v, want flat %v", err, tt.flat)
			}
		})
	}
}

func TestSamplesTellWhatGrows(t *testing.T) {
	still, leak := slices.Repeat(Series{1}, 9), Series{}
	for i := range int64(9) {
		leak = append(leak, i*30<<20)
	}
	for _, tt := range []struct {
		name    string
		samples Samples
		want    string
	}{
		{"nothing", Samples{[]Series{still, still}, []Series{still, still}}, ""},
		{"memory", Samples{[]Series{still, leak}, []Series{still, still}}, "memory of node 1"},
		{"database", Samples{[]Series{still, still}, []Series{leak, still}}, "database of node 0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.samples.Flat(48 << 20)
			if (err != nil) != (tt.want != "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Flat() = %v, want %q", err, tt.want)
			}
		})
	}
}
