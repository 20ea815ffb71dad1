package main

import (
	"slices"
	"testing"
	"time"
)

func TestPercentile(t *testing.T) {
	hundred := make([]int, 100)
	for i := range hundred {
		hundred[i] = 100 - i
	}
	for _, tt := range []struct {
		name   string
		values []int
		p      float64
		want   int
	}{
		{"nothing", nil, 50, 0},
		{"one", []int{7}, 99, 7},
		{"lower of two", []int{9, 1}, 50, 1},
		{"middle of three", []int{9, 1, 5}, 50, 5},
		{"median of many", slices.Clone(hundred), 50, 50},
		{"p99 of many", slices.Clone(hundred), 99, 99},
		{"largest", slices.Clone(hundred), 100, 100},
		{"smallest", slices.Clone(hundred), 0, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := percentile(tt.values, tt.p); got != tt.want {
				t.Errorf("percentile(%v) = %d, want %d", tt.p, got, tt.want)
			}
		})
	}
}

func TestSeries(t *testing.T) {
	of := func(count int, each time.Duration) load {
		return load{time.Second, slices.Repeat([]time.Duration{each}, count)}
	}
	node := series{of(30, 4*time.Millisecond), of(10, 2*time.Millisecond), of(20, 3*time.Millisecond)}
	limit := series{of(60, time.Millisecond), of(40, time.Millisecond), of(10, time.Millisecond)}
	if got := node.rate(); got != 20 {
		t.Errorf("rate = %v, want 20", got)
	}
	if got := node.percentile(99); got != 3*time.Millisecond {
		t.Errorf("p99 = %v, want 3ms", got)
	}
	if got := node.over(limit, load.rate); got != 0.5 { // of 0.5, 0.25 and 2
		t.Errorf("ratio of rates = %v, want 0.5", got)
	}
	if got := node.over(series{{took: time.Second}}, load.rate); got != 0 {
		t.Errorf("ratio to nothing = %v, want 0", got)
	}
}
