package simulate

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/simulate/trace"
)

// TestLongJobs: a pool that waits for a long job is not stuck, whoever waits
// with it.
func TestLongJobs(t *testing.T) {
	p := Default()
	p.Max = 1
	jobs := []trace.Job{{Run: 20 * 86400}, {Run: 20 * 86400}, {Run: 60}}
	if r := run(t, jobs, p); r.Total.Sum.Executed != 40*86400+60 {
		t.Errorf("executed %s", hoursOf(r.Total.Sum.Executed))
	}
}

// TestWaitOfALifetime: what is longer than can be counted is told as what it is.
func TestWaitOfALifetime(t *testing.T) {
	p := Default()
	p.Max = 1
	jobs := make([]trace.Job, 8)
	for i := range jobs {
		jobs[i].Run = 10 * 365 * 86400
	}
	_, err := Run(t.Context(), Setup{Pools: []Pool{p}}, trace.Trace{Jobs: jobs})
	if err == nil || !strings.Contains(err.Error(), "waits for 68 years: want a larger max than 1") {
		t.Errorf("jobs of ten years each on one host: %v", err)
	}
}

// TestNoTime: jobs and hosts that take no time at all are odd, and no reason to crash.
func TestNoTime(t *testing.T) {
	p := Default()
	p.Type, p.MinAge, p.ScrubbingDelay, p.Shutdown, p.Notice, p.Boot, p.Scrub = "c5.metal", 0, 0, 0, 0, Fixed(0), Fixed(0)
	r := run(t, []trace.Job{{Arrival: 1772409600}, {Arrival: 1772409600}}, p)
	if err := errors.Join(r.WriteSVG(io.Discard), r.WriteTable(io.Discard), r.WriteJSON(io.Discard), r.WriteCSV(io.Discard)); err != nil {
		t.Error(err)
	}
	if r.Total.Sum.Jobs != 2 || len(r.Total.Months) != 1 || r.Total.Months[0].Jobs != 2 {
		t.Errorf("%+v", r.Total)
	}
}

// TestQuietTimes: weeks without a job are no fault of the pool, before and after
// which it does what there is to do.
func TestQuietTimes(t *testing.T) {
	const month = 31 * 86400
	jobs := []trace.Job{{Run: 60}, {Arrival: month, Run: 60}, {Arrival: 50 * 12 * month, Run: 60}}
	r := run(t, jobs, Default())
	if s := r.Total.Sum; s.Jobs != 3 || s.Executed != 180 || s.Allocations != 3 {
		t.Errorf("%+v", s)
	}
}
