package main

import (
	"cmp"
	"slices"
	"time"
)

// percentile is the smallest value that p percent of all do not exceed; 0 of
// none. It sorts its argument.
func percentile[T cmp.Ordered](values []T, p float64) T {
	if len(values) == 0 {
		var zero T
		return zero
	}
	slices.Sort(values)
	i := int(p/100*float64(len(values))+0.999999) - 1
	return values[min(max(i, 0), len(values)-1)]
}

// median is the middle value, the lower one of two.
func median[T cmp.Ordered](values []T) T { return percentile(slices.Clone(values), 50) }

// load is what a repetition measured.
type load struct {
	took      time.Duration
	latencies []time.Duration
}

func (l load) rate() float64 { return float64(len(l.latencies)) / l.took.Seconds() }

// series are the repetitions of one measurement.
type series []load

// rate is the median of the repetitions' rates.
func (s series) rate() float64 {
	return medianOf(s, load.rate)
}

// percentile is the median of the repetitions' percentiles.
func (s series) percentile(p float64) time.Duration {
	return medianOf(s, func(l load) time.Duration { return percentile(l.latencies, p) })
}

// over is the median of the ratios of repetitions that took turns, of this to
// other.
func (s series) over(other series, figure func(load) float64) float64 {
	ratios := make([]float64, 0, len(s))
	for i := range min(len(s), len(other)) {
		if d := figure(other[i]); d > 0 {
			ratios = append(ratios, figure(s[i])/d)
		}
	}
	return median(ratios)
}

func medianOf[V any, T cmp.Ordered](values []V, figure func(V) T) T {
	figures := make([]T, len(values))
	for i, v := range values {
		figures[i] = figure(v)
	}
	return median(figures)
}

// p50 is a figure of a load, in seconds.
func p50(l load) float64 { return percentile(l.latencies, 50).Seconds() }
