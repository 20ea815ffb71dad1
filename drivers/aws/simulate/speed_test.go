package simulate

import (
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/price"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/simulate/trace"
	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
)

// farm are the jobs of a large farm, as many have them: ten minutes each, and a
// million in a year, so that hundreds of hosts are there at once.
func farm(tb testing.TB, days int) trace.Trace {
	tb.Helper()
	w := trace.Example()
	w.Days, w.Jobs, w.Mean = days, float64(days)*1_000_000/366, 10*time.Minute
	jobs, err := trace.Generate(w)
	if err != nil {
		tb.Fatal(err)
	}
	return jobs
}

// ways are the settings that cost the most steps, or the most in each.
var ways = []struct {
	name            string
	scrub, patience time.Duration
}{
	{"plain", 0, 0}, {"scrubbing", 5 * time.Minute, 0}, {"patience", 0, time.Hour}, {"both", 5 * time.Minute, time.Hour},
}

// timed runs a farm and tells how long that took.
func timed(t *testing.T, jobs trace.Trace, scrub, patience time.Duration) time.Duration {
	t.Helper()
	p := Default()
	p.Max, p.ScrubbingDelay, p.Patience = 1000, scrub, patience
	start := time.Now()
	r := run(t, jobs.Jobs, p)
	took := time.Since(start)
	if r.Total.Sum.Jobs != len(jobs.Jobs) || r.Total.Sum.Executed != jobs.Run() {
		t.Errorf("scrubbing %v, patience %v: %+v", scrub, patience, r.Total.Sum)
	}
	t.Logf("%d jobs, scrubbing %v, patience %v: %d hosts at once, %d allocated: %v", r.Total.Sum.Jobs, scrub, patience, r.Total.Peaks.Hosts,
		r.Total.Sum.Allocations, took)
	return took
}

// TestMillionJobs: of a year of a large farm the books are right, in 10 seconds.
// A machine that is slow or busy has three times that, and one that is so busy
// that it says nothing is held against its own run in which nobody waits.
func TestMillionJobs(t *testing.T) {
	if !needs.Long() {
		t.Skip("FISH_LONG is not set")
	}
	jobs := farm(t, 366)
	plain := timed(t, jobs, 0, 0)
	for _, way := range ways[1:] {
		if took := timed(t, jobs, way.scrub, way.patience); took > max(30*time.Second, 5*plain) {
			t.Errorf("%s took %v, and plain %v", way.name, took, plain)
		}
	}
}

// TestSpeed: who waits, and what comes, is not gone through in each step. It
// is held against a run in which nobody waits for what comes: twice that is
// usual, and it was a hundred times that when it was gone through.
func TestSpeed(t *testing.T) {
	days := 36
	if testing.Short() {
		days = 6
	}
	jobs := farm(t, days)
	plain := timed(t, jobs, 0, 0)
	for _, way := range ways[1:] {
		if took := timed(t, jobs, way.scrub, way.patience); took > 12*plain {
			t.Errorf("%s took %v, and plain %v", way.name, took, plain)
		}
	}
}

// BenchmarkMillionJobs is what a million jobs cost.
func BenchmarkMillionJobs(b *testing.B) {
	jobs := farm(b, 366)
	for _, way := range ways {
		b.Run(way.name, func(b *testing.B) {
			p := Default()
			p.Max, p.ScrubbingDelay, p.Patience = 1000, way.scrub, way.patience
			for b.Loop() {
				if _, err := Run(b.Context(), Setup{Pools: []Pool{p}, Prices: price.Table{}}, jobs); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
