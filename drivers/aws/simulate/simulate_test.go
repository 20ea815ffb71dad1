package simulate

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/simulate/trace"
)

func run(t *testing.T, jobs []trace.Job, pools ...Pool) *Report {
	t.Helper()
	r, err := Run(t.Context(), Setup{Pools: pools, Seed: 1}, trace.Trace{Jobs: jobs})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestOneJob is added up by hand. The host is allocated at 0 and seen at 10 s,
// when the job is launched: boot 420 s, run 600 s, shutdown 60 s, scrub 5400 s. It
// is seen back 10 s later and idles 300 s; then an instance for scrubbing goes in
// 60 s, and all again until the host is a day old when it comes back.
func TestOneJob(t *testing.T) {
	start := time.Date(2026, time.March, 2, 9, 0, 0, 0, time.UTC).Unix()
	got := run(t, []trace.Job{{Arrival: start, Run: 600}}, Default())
	firstCycle := int64(10 + 420 + 600 + 60 + 5400)
	cycle := int64(10 + 300 + 60 + 5400)
	cycles := (86400 - firstCycle + cycle - 1) / cycle // the last one ends after the day
	want := Sum{
		Jobs: 1, Executed: 600, Occupied: 420 + 600 + 60, Queued: 10, Allocations: 1, Wait: Wait{10, 10, 10},
		Idle: 10 + cycles*(10+300) + 10, Cleaning: cycles * 60, Pending: 5400 * (1 + cycles), Cost: Money{Known: true},
	}
	want.Paid = want.Occupied + want.Idle + want.Cleaning
	want.Cost.USD = 0.65 * float64(want.Paid) / 3600
	if diff := cmp.Diff(want, got.Total.Sum); diff != "" {
		t.Errorf("-by hand +simulation:\n%s", diff)
	}
	if got.Total.End.Unix()-start != want.Paid+want.Pending {
		t.Errorf("it ends after %d s, want %d", got.Total.End.Unix()-start, want.Paid+want.Pending)
	}
	if diff := cmp.Diff(Peaks{Instances: 1, Hosts: 1, Queue: 1}, got.Total.Peaks); diff != "" {
		t.Errorf("peaks: %s", diff)
	}
}

// The goal of the whole pool: of four weeks of CI no more than 1.5 hours are
// paid for each hour of a job, and 95 % of the jobs wait less than 15 minutes.
func TestGoal(t *testing.T) {
	jobs, err := trace.Generate(trace.Example())
	if err != nil {
		t.Fatal(err)
	}
	for _, scrub := range []Spread{Fixed(90 * time.Minute), Between(40*time.Minute, 110*time.Minute), Fixed(110 * time.Minute)} {
		p := Default()
		p.ScrubbingDelay, p.Patience, p.Scrub = time.Minute, 10*time.Minute, scrub
		s := run(t, jobs.Jobs, p).Total.Sum
		t.Logf("scrub %s: %.2f paid for each hour, p95 %s", scrub, s.Overhead(), span(s.Wait.P95))
		if s.Overhead() > 1.5 || s.Wait.P95 >= 15*60 {
			t.Errorf("scrub %s: %.2f hours paid for each hour of a job, p95 of the wait %s", scrub, s.Overhead(), span(s.Wait.P95))
		}
	}
}

// TestMonths: what goes over the border of a year is split there to the second,
// and the months come to the whole, of each pool and of all.
func TestMonths(t *testing.T) {
	border := time.Date(2027, time.January, 1, 0, 0, 0, 0, time.UTC).Unix()
	jobs := []trace.Job{{Arrival: border - 1010, Run: 2000, Label: "a"}, {Arrival: border - 50, Run: 100, Label: "b"}, {Arrival: border + 7, Run: 1, Label: "b"}}
	a, b := Default(), Default()
	a.Name, a.Match.Label = "a", "a"
	b.Name, b.Type, b.Match.Label = "b", "mac2-m2.metal", "b"
	r := run(t, jobs, a, b)
	first := r.Pools[0].Months
	// Launched 10 s after it came, and executed after 420 s of boot: 580 s before the border.
	if len(first) != 2 || first[0].Month != "2026-12" || first[0].Executed != 580 || first[1].Executed != 1420 || first[0].Jobs != 1 || first[1].Jobs != 0 {
		t.Errorf("months: %+v", first)
	}
	if first[0].Allocations != 1 || first[1].Allocations != 0 || first[0].Paid != 1010 {
		t.Errorf("December: %+v", first[0])
	}
	for _, p := range append(slices.Clone(r.Pools), r.Total) {
		sum := Sum{Cost: Money{Known: true}, Wait: p.Sum.Wait}
		for _, m := range p.Months {
			sum.add(m.Sum)
		}
		sum.Cost.USD, p.Sum.Cost.USD = 0, 0 // cents of rounding; the seconds they are of are exact
		if diff := cmp.Diff(p.Sum, sum); diff != "" {
			t.Errorf("%s: -sum +months:\n%s", p.Name, diff)
		}
	}
	if m := r.Total.Months; m[0].Jobs != 2 || m[1].Jobs != 1 || r.Total.Sum.Executed != 2101 {
		t.Errorf("all pools: %+v", r.Total)
	}
}

// TestShare: each job goes to the first pool that it matches, and those for
// none are counted.
func TestShare(t *testing.T) {
	intel, silicon := Default(), Default()
	intel.Name, intel.Zones, intel.Match = "intel", []string{"a", "b", "empty"}, Match{Label: "*x64*"}
	intel.Capacity = map[string]int{"b": 1, "empty": 0}
	silicon.Name, silicon.Match = "silicon", Match{Pool: "m?", Arch: "arm64", Name: "ci*", Stage: "test"}
	jobs := []trace.Job{
		{Label: "macos-x64"}, {Label: "x64", Zone: "b"}, {Label: "x64", Zone: "c"}, {Label: "x64", Zone: "empty"}, {Pool: "m2", Arch: "arm64", Name: "ci-1", Stage: "test"},
		{Pool: "m22", Arch: "arm64", Name: "ci-1", Stage: "test"}, {Pool: "m2", Arch: "arm64", Name: "ci", Stage: "build"},
	}
	shares, unmatched := share([]Pool{intel, silicon}, jobs)
	if len(shares[0]) != 2 || len(shares[1]) != 1 || unmatched != 4 {
		t.Errorf("shares %v, %d unmatched", shares, unmatched)
	}
	if _, err := Run(t.Context(), Setup{Pools: []Pool{intel}}, trace.Trace{Jobs: jobs[4:]}); err == nil || !strings.Contains(err.Error(), "none of the 3 jobs is for one of the pools") {
		t.Errorf("no job matches: %v", err)
	}
}

func TestValidate(t *testing.T) {
	for want, change := range map[string]func(*Pool){
		"max is 0":                             func(p *Pool) { p.Max = 0 },
		"AWS takes a Mac host back after 24h":  func(p *Pool) { p.MinAge = time.Hour },
		"shutdown is 1.5s: want whole seconds": func(p *Pool) { p.Shutdown = 1500 * time.Millisecond },
		"notice is -1s":                        func(p *Pool) { p.Notice = -time.Second },
		"patience is 8785h0m0s: want whole seconds, and no more than 8784h": func(p *Pool) { p.Patience = maxDelay + time.Hour },
		"quota is -1":                                 func(p *Pool) { p.Quota = -1 },
		"no zone has capacity":                        func(p *Pool) { p.Capacity = map[string]int{"a": 0} },
		`match: "[" is no pattern`:                    func(p *Pool) { p.Match.Label = "[" },
		"zones are missing: want at least one":        func(p *Pool) { p.Zones = nil },
		"type is missing: want an instance type such": func(p *Pool) { p.Type = "" },
	} {
		p := Default()
		change(&p)
		if err := (Setup{Pools: []Pool{p}}).Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if err := (Setup{}).Validate(); err == nil {
		t.Error("no pool is no error")
	}
	if err := (Setup{Pools: []Pool{Default(), Default()}}).Validate(); err == nil || !strings.Contains(err.Error(), `two pools are called "mac"`) {
		t.Errorf("the same name twice: %v", err)
	}
}

// TestCheck: accounts that differ by a second are found out.
func TestCheck(t *testing.T) {
	jobs := []trace.Job{{Arrival: 1000, Run: 60}, {Arrival: 1060, Run: 60}}
	for name, change := range map[string]func(*world){
		"a second that was not executed": func(w *world) { w.meter.months[0].amounts[executing]-- },
		"a wait that nobody had":         func(w *world) { w.waits[1]++ },
		"a job that did not end":         func(w *world) { w.ended-- },
		"a job that never started":       func(w *world) { w.waits[0] = waiting },
		"a gap in a host's account":      func(w *world) { w.hosts[0].spent[idle]-- },
		"paid while pending":             func(w *world) { w.hosts[0].spent[idle]++; w.hosts[0].spent[pending]-- },
		"a host that is not released":    func(w *world) { w.hosts[0].released = 0 },
		"a host released too soon":       func(w *world) { w.MinAge = 48 * time.Hour; w.hosts[0].released -= 86400 },
		"a month that lost a second":     func(w *world) { w.meter.months[0].amounts[pending]-- },
		"a chart that lost a second":     func(w *world) { w.meter.chart.parts[0][idle]-- },
		"a host too many":                func(w *world) { w.peaks.Hosts = 51 },
		"a host that is still there":     func(w *world) { w.meter.count[idle]++ },
	} {
		w := newWorld(Default(), jobs, 1, 600)
		if err := w.run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := w.check(); err != nil {
			t.Fatal(err)
		}
		change(w)
		if err := w.check(); err == nil {
			t.Errorf("%s is not found", name)
		}
	}
}

// A zone that is empty and a quota that is used up make jobs wait, and lose none.
func TestScarcity(t *testing.T) {
	var jobs []trace.Job
	for i := range int64(40) {
		jobs = append(jobs, trace.Job{Arrival: 1000 + i, Run: 3600})
	}
	p := Default()
	p.Zones, p.Capacity, p.Quota, p.Max = []string{"a", "b"}, map[string]int{"a": 3, "b": 4}, 6, 50
	r := run(t, jobs, p)
	if r.Total.Peaks.Hosts != 6 || r.Total.Sum.Jobs != 40 || r.Total.Sum.Wait.Max < 10*3600 {
		t.Errorf("peaks %+v, %+v", r.Total.Peaks, r.Total.Sum)
	}
	p.Quota = 0
	if r := run(t, jobs, p); r.Total.Peaks.Hosts != 7 {
		t.Errorf("with 7 hosts in the zones: %+v", r.Total.Peaks)
	}
}

func TestRunIsInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, Setup{Pools: []Pool{Default()}}, trace.Trace{Jobs: []trace.Job{{Arrival: 1}}}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that it was cancelled", err)
	}
}

// TestSweep: of the settings that keep the wait the cheapest is first, and what
// it says of a setting is what a run of it says.
func TestSweep(t *testing.T) {
	w := trace.Example()
	w.Days, w.Jobs = 3, 300
	jobs, err := trace.Generate(w)
	if err != nil {
		t.Fatal(err)
	}
	setup := Setup{Pools: []Pool{Default()}, Seed: 1}
	grid := Grid{ScrubbingDelay: []time.Duration{time.Minute, 10 * time.Minute}, Patience: []time.Duration{0, 10 * time.Minute}, WaitP95: 5 * time.Minute}
	swept, err := Sweep(t.Context(), setup, jobs, grid)
	if err != nil {
		t.Fatal(err)
	}
	points := swept.Pools[0]
	if len(points) < 20 || len(points)%4 != 0 {
		t.Fatalf("%d settings", len(points))
	}
	for i, p := range points {
		if p.Within != (p.Sum.Wait.P95 <= 300) {
			t.Errorf("%+v: within the wait?", p)
		}
		if i > 0 && p.Within && (!points[i-1].Within || points[i-1].Sum.Paid > p.Sum.Paid) {
			t.Errorf("%d before %d: %+v, %+v", i-1, i, points[i-1], p)
		}
	}
	best := setup.Pools[0]
	best.Max, best.ScrubbingDelay = points[0].Max, time.Duration(points[0].ScrubbingDelay)*time.Second
	best.Patience = time.Duration(points[0].Patience) * time.Second
	if diff := cmp.Diff(points[0].Sum, run(t, jobs.Jobs, best).Total.Sum); diff != "" || !points[0].Within {
		t.Errorf("the best setting: -sweep +run:\n%s", diff)
	}
	var b bytes.Buffer
	grid.Max, grid.WaitP95 = []int{2}, 0
	if swept, err = Sweep(t.Context(), setup, jobs, grid); err != nil {
		t.Fatal(err)
	}
	if err := swept.WriteTable(&b); err != nil || !strings.Contains(b.String(), "No setting keeps the wait") {
		t.Errorf("two hosts: %v\n%s", err, b.String())
	}
	grid.Max = make([]int, maxPoints)
	if _, err := Sweep(t.Context(), setup, jobs, grid); err == nil || !strings.Contains(err.Error(), "too many") {
		t.Errorf("a grid without end: %v", err)
	}
}

// TestForms: each form of output is what programs read, whatever pools are called.
func TestForms(t *testing.T) {
	p := Default()
	p.Name, p.Type = `<&">`, "mac9.metal" // nobody knows its price
	r := run(t, []trace.Job{{Arrival: 1_700_000_000, Run: 60}}, p)
	r.LeftOut, r.Unmatched = 2, 3
	var table, text, lines, chart bytes.Buffer
	if err := errors.Join(r.WriteTable(&table), r.WriteJSON(&text), r.WriteCSV(&lines), r.WriteSVG(&chart)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"whose price is not known", "2023-11", "unknown", "2 records of the trace are no finished runs", "3 jobs are for none"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("no %q in the table:\n%s", want, table.String())
		}
	}
	var parsed struct {
		Total struct {
			Sum struct {
				Executed int64    `json:"executed_seconds"`
				Cost     *float64 `json:"cost_usd"`
			} `json:"sum"`
			Months []struct {
				Month string `json:"month"`
				Paid  int64  `json:"paid_seconds"`
			} `json:"months"`
		} `json:"total"`
	}
	if err := json.Unmarshal(text.Bytes(), &parsed); err != nil {
		t.Fatal(err)
	}
	if s := parsed.Total; s.Sum.Executed != 60 || s.Sum.Cost != nil || s.Months[0].Month != "2023-11" || s.Months[0].Paid == 0 {
		t.Errorf("JSON: %+v", parsed)
	}
	rows, err := csv.NewReader(&lines).ReadAll()
	if err != nil || len(rows) != 2 || rows[1][0] != p.Name || rows[1][4] != "60" || rows[1][12] != "" {
		t.Errorf("CSV: %v, %v", rows, err)
	}
	for d := xml.NewDecoder(&chart); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("the chart is no XML: %v", err)
		}
	}
}

func TestReadSetup(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pools.yml")
	read := func(text string) (Setup, []string, error) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return ReadSetup(file, Default(), map[string]float64{"mac2.metal": 0.7})
	}
	s, warnings, err := read("prices: {mac2.metal: 0.6, mac1.metal: 1}\ndedicated_pool:\n  b: {type: mac1.metal, zone: z, max: 3, scrub: 40m-50m, nothing: 1}\n" +
		"  a: {scrubbing_delay: 0, patience: 2m, release_delay: 30h, match: {label: x}, capacity: {a: 4}}\n")
	if err != nil {
		t.Fatal(err)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], "line 3: dedicated_pool.b.nothing: unknown key") {
		t.Errorf("warnings: %v", warnings)
	}
	a, b := s.Pools[0], s.Pools[1]
	if a.Name != "a" || a.Type != "mac2.metal" || a.ScrubbingDelay != 0 || a.Patience != 2*time.Minute || a.MinAge != 30*time.Hour || a.Match.Label != "x" || a.Capacity["a"] != 4 {
		t.Errorf("a: %+v", a)
	}
	if b.Max != 3 || b.Zones[0] != "z" || b.Scrub.String() != "40m-50m" || b.ScrubbingDelay != 5*time.Minute || b.Boot.String() != "7m" {
		t.Errorf("b: %+v", b)
	}
	if got, want := []Money{priceOf(s.Prices, "mac2.metal"), priceOf(s.Prices, "mac1.metal")}, []Money{{0.7, true}, {1, true}}; !cmp.Equal(got, want) {
		t.Errorf("prices: %v, want %v", got, want)
	}
	for text, want := range map[string]string{
		"dedicated_pool: {a: {boot: soon}}":                `line 1: dedicated_pool.a.boot`,
		"dedicated_pool: {a: {zone: x, zones: [y]}}":       "dedicated_pool.a: want either zone or zones",
		"dedicated_pool: {a: {max: 0}}":                    "max is 0",
		"prices: {mac2: 1}\ndedicated_pool: {a: {max: 1}}": `prices: "mac2" is no instance type`,
		"seed: 1": "there is no pool",
		"[":       file + ": parse YAML: line 1",
	} {
		if _, _, err := read(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	if _, _, err := ReadSetup(file+"x", Default(), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}
