package simulate

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/simulate/trace"
)

// TestSweepOfBursts: where jobs come all at once and may wait, a pool is cheapest
// far below the number of jobs that could run at once, and a sweep looks there by itself.
func TestSweepOfBursts(t *testing.T) {
	var jobs []trace.Job
	for day := range int64(3) {
		for range 40 {
			jobs = append(jobs, trace.Job{Arrival: day*86400 + 9*3600, Run: 600})
		}
	}
	setup := Setup{Pools: []Pool{Default()}, Seed: 1}
	for _, target := range []time.Duration{3 * time.Hour, 9 * time.Hour} {
		grid := Grid{WaitP95: target}
		swept, err := Sweep(t.Context(), setup, trace.Trace{Jobs: jobs}, grid)
		if err != nil {
			t.Fatal(err)
		}
		for n := range 50 {
			grid.Max = append(grid.Max, n+1)
		}
		all, err := Sweep(t.Context(), setup, trace.Trace{Jobs: jobs}, grid)
		if err != nil {
			t.Fatal(err)
		}
		got, best := swept.Pools[0][0], all.Pools[0][0]
		t.Logf("%s: max %d found, %d is best", target, got.Max, best.Max)
		if !got.Within || got.Sum.Paid > best.Sum.Paid*110/100 {
			t.Errorf("%s: found max %d with %s paid, and %d has %s", target, got.Max, hoursOf(got.Sum.Paid), best.Max, hoursOf(best.Sum.Paid))
		}
	}
}

// TestSweepTellsWhatIsMissing: a sweep over a part of the jobs is not taken for
// one over all.
func TestSweepTellsWhatIsMissing(t *testing.T) {
	p := Default()
	p.Match.Label = "mac"
	jobs := trace.Trace{Jobs: []trace.Job{{Run: 60, Label: "mac"}, {Run: 60, Label: "linux"}}, LeftOut: 3}
	swept, err := Sweep(t.Context(), Setup{Pools: []Pool{p}}, jobs, Grid{Max: []int{1}})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := swept.WriteTable(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"3 records of the trace", "1 jobs are for none of the pools"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}
