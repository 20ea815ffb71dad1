package simulate

import (
	"cmp"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/price"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/simulate/trace"
)

// Report is what came out. Times are whole seconds.
type Report struct {
	Pools []PoolReport `json:"pools"`
	// Total is of all pools together; its peaks are the sums of theirs.
	Total PoolReport `json:"total"`
	// LeftOut counts records of the trace that were no runs, Unmatched jobs that
	// were for none of the pools.
	LeftOut   int `json:"left_out"`
	Unmatched int `json:"unmatched"`

	chart series
}

// PoolReport is one pool.
type PoolReport struct {
	Name  string `json:"name"`
	Type  string `json:"type,omitempty"`
	Price Money  `json:"usd_per_hour"` // of a host
	// Start is when the first job came, End when the last host was released.
	Start  time.Time `json:"start"`
	End    time.Time `json:"end"`
	Peaks  Peaks     `json:"peaks"`
	Sum    Sum       `json:"sum"`
	Months []Month   `json:"months"`
}

// Month is the part of it all that was in one month of UTC, borders exact to
// the second. A job, and its wait, belongs to the month in which it came.
type Month struct {
	Month string `json:"month"` // such as 2026-03
	Sum
}

// Sum is what was in a time.
type Sum struct {
	Jobs int `json:"jobs"`
	// Executed is how long jobs ran; Occupied is that with the start and the
	// end of their instances.
	Executed int64 `json:"executed_seconds"`
	Occupied int64 `json:"occupied_seconds"`
	// Paid is how long hosts were paid for: Occupied, Idle and Cleaning, which
	// is with an instance that is there for the scrubbing alone.
	Paid     int64 `json:"paid_seconds"`
	Idle     int64 `json:"idle_seconds"`
	Cleaning int64 `json:"cleaning_seconds"`
	// Pending is how long hosts were there and not paid for.
	Pending int64 `json:"pending_seconds"`
	Queued  int64 `json:"queued_seconds"`
	Cost    Money `json:"cost_usd"`
	// Allocations is how many hosts were allocated.
	Allocations int  `json:"allocations"`
	Wait        Wait `json:"wait"`
}

// Utilisation is which part of the paid time jobs ran.
func (s Sum) Utilisation() float64 { return ratio(s.Executed, s.Paid) }

// Overhead is how much is paid for each hour that jobs ran.
func (s Sum) Overhead() float64 { return ratio(s.Paid, s.Executed) }

func ratio(a, b int64) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}

// Wait is for how many seconds jobs waited for a host, over all jobs: those
// that did not wait count too.
type Wait struct {
	P50 int64 `json:"p50_seconds"`
	P95 int64 `json:"p95_seconds"`
	Max int64 `json:"max_seconds"`
}

// waitOf sorts its argument.
func waitOf(waits []int32) Wait {
	if len(waits) == 0 {
		return Wait{}
	}
	slices.Sort(waits)
	// The nearest rank: so many percent of the jobs waited that long or less.
	rank := func(percent int) int64 { return int64(waits[(len(waits)*percent+99)/100-1]) }
	return Wait{P50: rank(50), P95: rank(95), Max: int64(waits[len(waits)-1])}
}

// Money is an amount in USD, if the price is known.
type Money struct {
	USD   float64
	Known bool
}

// costs is what a time costs.
func (m Money) costs(seconds int64) Money {
	return Money{USD: m.USD * float64(seconds) / 3600, Known: m.Known}
}

func (m Money) plus(o Money) Money { return Money{USD: m.USD + o.USD, Known: m.Known && o.Known} }

// report sums up; a world that is nil had no jobs.
func report(s Setup, worlds []*world) *Report {
	r := &Report{}
	var waits []int32
	byMonth := map[string][]int32{}
	for i, w := range worlds {
		p := PoolReport{Name: s.Pools[i].Name, Type: s.Pools[i].Type, Price: priceOf(s.Prices, s.Pools[i].Type), Months: []Month{}}
		if w != nil {
			p.fill(w, byMonth)
			waits = append(waits, w.waits...)
			r.chart.add(w.meter.chart)
		}
		r.Pools = append(r.Pools, p)
		r.Total.add(p, w != nil)
	}
	r.Total.Name = "total"
	r.Total.Sum.Wait = waitOf(waits)
	for i := range r.Total.Months {
		m := &r.Total.Months[i]
		m.Wait = waitOf(byMonth[m.Month])
	}
	return r
}

func priceOf(t price.Table, hostType string) Money {
	usd, known := t.Hourly(hostType)
	return Money{usd, known}
}

// fill sums up one pool, and adds its waits to those of the months.
func (p *PoolReport) fill(w *world, byMonth map[string][]int32) {
	p.Start, p.End, p.Peaks = at(w.jobs[0].Arrival), at(w.now), w.peaks
	p.Sum = sumOf(w.meter.total(), p.Price)
	p.Sum.Jobs, p.Sum.Allocations = len(w.jobs), len(w.hosts)
	job, allocated := 0, 0
	for _, m := range w.meter.months {
		month := Month{Month: at(m.start).Format("2006-01"), Sum: sumOf(m.amounts, p.Price)}
		first := job
		for job < len(w.jobs) && w.jobs[job].Arrival < m.end {
			job++
		}
		month.Jobs = job - first
		waits := slices.Clone(w.waits[first:job])
		month.Wait = waitOf(waits)
		byMonth[month.Month] = append(byMonth[month.Month], waits...)
		for ; allocated < len(w.hosts) && w.hosts[allocated].allocated < m.end; allocated++ {
			month.Allocations++
		}
		p.Months = append(p.Months, month)
	}
	p.Sum.Wait = waitOf(slices.Clone(w.waits))
}

func sumOf(a amounts, price Money) Sum {
	return Sum{
		Executed: a[executing], Occupied: a.occupied(), Paid: a.paid(), Idle: a[idle], Cleaning: a[cleaning],
		Pending: a[pending], Queued: a[queued], Cost: price.costs(a.paid()),
	}
}

// add adds another pool to the sum of all.
func (p *PoolReport) add(o PoolReport, used bool) {
	if !used {
		return
	}
	if p.Start.IsZero() {
		p.Start, p.Sum.Cost.Known = o.Start, true
	}
	if o.Start.Before(p.Start) {
		p.Start = o.Start
	}
	if o.End.After(p.End) {
		p.End = o.End
	}
	p.Peaks.Instances += o.Peaks.Instances
	p.Peaks.Hosts += o.Peaks.Hosts
	p.Peaks.Queue += o.Peaks.Queue
	p.Sum.add(o.Sum)
	for _, m := range o.Months {
		i, found := slices.BinarySearchFunc(p.Months, m.Month, func(m Month, name string) int { return cmp.Compare(m.Month, name) })
		if !found {
			p.Months = slices.Insert(p.Months, i, Month{Month: m.Month, Sum: Sum{Cost: Money{Known: true}}})
		}
		p.Months[i].Sum.add(m.Sum)
	}
}

// add adds all but the waits, which do not add up.
func (s *Sum) add(o Sum) {
	s.Jobs += o.Jobs
	s.Executed += o.Executed
	s.Occupied += o.Occupied
	s.Paid += o.Paid
	s.Idle += o.Idle
	s.Cleaning += o.Cleaning
	s.Pending += o.Pending
	s.Queued += o.Queued
	s.Cost = s.Cost.plus(o.Cost)
	s.Allocations += o.Allocations
}

// chartWidth is how long a part of the chart is, so that it has some hundreds.
func chartWidth(jobs []trace.Job) int64 {
	const parts = 1000
	span := jobs[len(jobs)-1].Arrival - jobs[0].Arrival + seconds(48*time.Hour)
	for _, width := range []int64{60, 120, 300, 600, 900, 1200, 1800, 3600, 2 * 3600, 3 * 3600, 6 * 3600, 12 * 3600} {
		if span/width <= parts {
			return width
		}
	}
	return max(86400, span/parts/86400*86400)
}

// add adds another series, which may begin and end elsewhere.
func (s *series) add(o series) {
	if s.parts == nil {
		*s = series{o.start, o.width, slices.Clone(o.parts)}
		return
	}
	if before := int((s.start - o.start) / s.width); before > 0 {
		s.parts = slices.Concat(make([]amounts, before), s.parts)
		s.start = o.start
	}
	shift := int((o.start - s.start) / s.width)
	for i, a := range o.parts {
		for i+shift >= len(s.parts) {
			s.parts = append(s.parts, amounts{})
		}
		s.parts[i+shift].add(a)
	}
}
