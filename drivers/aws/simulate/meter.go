package simulate

import "time"

// measure is what is counted over time.
type measure int

// A host is at every instant in exactly one of the first five.
const (
	executing measure = iota // a job runs on it
	starting                 // an instance for a job boots on it, or goes
	idle                     // it waits for a job, for its scrubbing or for its end
	cleaning                 // an instance is on it that is there for the scrubbing alone
	pending                  // EC2 scrubs it, which is not paid for
	queued                   // a job waits for a host
	measures
)

// amounts are seconds by measure.
type amounts [measures]int64

// paid is what is paid for.
func (a amounts) paid() int64 { return a[executing] + a[starting] + a[idle] + a[cleaning] }

// occupied is for how long there were instances of jobs.
func (a amounts) occupied() int64 { return a[executing] + a[starting] }

// hosts is for how long there were hosts.
func (a amounts) hosts() int64 { return a.paid() + a[pending] }

func (a *amounts) add(b amounts) {
	for m := range a {
		a[m] += b[m]
	}
}

// meter adds up over time how many hosts and jobs are in which state: for each
// month of UTC, and for each part of the chart. It is the one account that
// knows no single host; that of the hosts has to come to the same sums.
type meter struct {
	now    int64
	count  [measures]int64
	months []monthAmounts
	chart  series
}

// monthAmounts are the amounts of one month; its end is the start of the next.
type monthAmounts struct {
	start, end int64
	amounts    amounts
}

// series are amounts of parts of time that are equally long.
type series struct {
	start, width int64
	parts        []amounts
}

// newMeter begins to count at a time, nothing being there yet.
func newMeter(now, width int64) *meter {
	return &meter{now: now, chart: series{start: now - now%width, width: width, parts: make([]amounts, 1)}}
}

// advance counts what there was up to a time that is not before the last one.
func (m *meter) advance(to int64) {
	for m.now < to {
		month := m.month()
		part := int((m.now - m.chart.start) / m.chart.width)
		for part >= len(m.chart.parts) {
			m.chart.parts = append(m.chart.parts, amounts{})
		}
		until := min(to, month.end, m.chart.start+int64(part+1)*m.chart.width)
		d := until - m.now
		inMonth, inPart := &month.amounts, &m.chart.parts[part]
		for i, n := range m.count {
			inMonth[i] += n * d
			inPart[i] += n * d
		}
		m.now = until
	}
}

// month is the one of the present second.
func (m *meter) month() *monthAmounts {
	if n := len(m.months); n > 0 && m.now < m.months[n-1].end {
		return &m.months[n-1]
	}
	start, end := monthOf(m.now)
	m.months = append(m.months, monthAmounts{start: start, end: end})
	return &m.months[len(m.months)-1]
}

// monthOf are the borders of a time's month in UTC.
func monthOf(at int64) (start, end int64) {
	t := time.Unix(at, 0).UTC()
	first := time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
	return first.Unix(), first.AddDate(0, 1, 0).Unix()
}

// total is the sum of the months.
func (m *meter) total() (sum amounts) {
	for i := range m.months {
		sum.add(m.months[i].amounts)
	}
	return sum
}
