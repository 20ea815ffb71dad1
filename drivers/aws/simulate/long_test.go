package simulate

import (
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
	jobs := make([]trace.Job, 9)
	for i := range jobs {
		jobs[i].Run = 10 * 365 * 86400
	}
	_, err := Run(t.Context(), Setup{Pools: []Pool{p}}, trace.Trace{Jobs: jobs})
	if err == nil || !strings.Contains(err.Error(), "waits for 68 years: want a larger max than 1") {
		t.Errorf("eight jobs of ten years on one host: %v", err)
	}
}
