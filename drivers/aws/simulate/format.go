package simulate

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// WriteJSON writes everything, for programs. A price that nobody knows is null.
func (r *Report) WriteJSON(w io.Writer) error { return writeJSON(w, r) }

func writeJSON(w io.Writer, data any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	if err := e.Encode(data); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	return nil
}

// WriteCSV writes a line for each pool and month, for spreadsheets; times are
// seconds, which add up.
func (r *Report) WriteCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	lines := [][]string{{
		"pool", "type", "month", "jobs", "executed", "occupied", "paid", "idle", "cleaning", "pending", "queued",
		"allocations", "cost_usd", "wait_p50", "wait_p95", "wait_max",
	}}
	for _, p := range r.Pools {
		for _, m := range p.Months {
			line := []string{p.Name, p.Type, m.Month}
			for _, n := range []int64{int64(m.Jobs), m.Executed, m.Occupied, m.Paid, m.Idle, m.Cleaning, m.Pending, m.Queued, int64(m.Allocations)} {
				line = append(line, strconv.FormatInt(n, 10))
			}
			line = append(line, m.Cost.plain())
			for _, n := range []int64{m.Wait.P50, m.Wait.P95, m.Wait.Max} {
				line = append(line, strconv.FormatInt(n, 10))
			}
			lines = append(lines, line)
		}
	}
	if err := out.WriteAll(lines); err != nil {
		return fmt.Errorf("write CSV: %w", err)
	}
	return nil
}

// WriteTable writes what a person looks at.
func (r *Report) WriteTable(w io.Writer) error {
	var b strings.Builder
	for i := range r.Pools {
		r.Pools[i].table(&b)
	}
	if len(r.Pools) > 1 {
		r.Total.table(&b)
	}
	leftOut(&b, r.LeftOut, r.Unmatched)
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write table: %w", err)
	}
	return nil
}

// leftOut tells what of a trace is not in the result.
func leftOut(b *strings.Builder, records, unmatched int) {
	if records > 0 {
		fmt.Fprintf(b, "%d records of the trace are no finished runs, and were left out.\n", records)
	}
	if unmatched > 0 {
		fmt.Fprintf(b, "%d jobs are for none of the pools, and were left out.\n", unmatched)
	}
}

func (p *PoolReport) table(b *strings.Builder) {
	switch {
	case p.Type == "":
		fmt.Fprintf(b, "All pools\n")
	case p.Price.Known:
		fmt.Fprintf(b, "Pool %s of %s at %.4g USD an hour\n", p.Name, p.Type, p.Price.USD)
	default:
		fmt.Fprintf(b, "Pool %s of %s, whose price is not known\n", p.Name, p.Type)
	}
	if p.Sum.Jobs == 0 {
		b.WriteString("  no job is for it\n\n")
		return
	}
	fmt.Fprintf(b, "  from %s to %s\n", p.Start.Format(minute), p.End.Format(minute))
	fmt.Fprintf(b, "  most at once: %d instances, %d hosts, %d jobs in the queue; longest wait %s\n\n",
		p.Peaks.Instances, p.Peaks.Hosts, p.Peaks.Queue, span(p.Sum.Wait.Max))
	rows := [][]string{{
		"MONTH", "JOBS", "HOSTS", "EXECUTED", "OCCUPIED", "PAID", "PENDING", "USED", "PAID/RUN", "COST", "QUEUE", "P50", "P95", "MAX",
	}}
	for _, m := range p.Months {
		rows = append(rows, m.row(m.Month))
	}
	rows = append(rows, p.Sum.row("total"))
	align(b, rows)
	b.WriteByte('\n')
}

const minute = "2006-01-02 15:04"

// row is a line of the table; host-hours with their unit, so that nobody has to guess.
func (s Sum) row(name string) []string {
	return []string{
		name, strconv.Itoa(s.Jobs), strconv.Itoa(s.Allocations), hoursOf(s.Executed), hoursOf(s.Occupied), hoursOf(s.Paid),
		hoursOf(s.Pending), fmt.Sprintf("%.0f%%", 100*s.Utilisation()), fmt.Sprintf("%.2f", s.Overhead()), s.Cost.String(),
		hoursOf(s.Queued), span(s.Wait.P50), span(s.Wait.P95), span(s.Wait.Max),
	}
}

func hoursOf(seconds int64) string { return fmt.Sprintf("%.1f h", float64(seconds)/3600) }

// span is a time as people say it.
func span(seconds int64) string {
	d := time.Duration(seconds) * time.Second
	if d >= time.Hour {
		d = d.Round(time.Minute)
	}
	return short(d)
}

// String is the amount for people.
func (m Money) String() string {
	if !m.Known {
		return "unknown"
	}
	return fmt.Sprintf("$%.2f", m.USD)
}

func (m Money) plain() string {
	if !m.Known {
		return ""
	}
	return strconv.FormatFloat(m.USD, 'f', 4, 64)
}

// MarshalJSON writes a number, or null where nobody knows.
func (m Money) MarshalJSON() ([]byte, error) {
	if !m.Known {
		return []byte("null"), nil
	}
	return []byte(m.plain()), nil
}

// align writes rows, of which the first is the header: the first column to the
// left, numbers to the right.
func align(b *strings.Builder, rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i == 0 {
				b.WriteString("  " + cell + pad)
				continue
			}
			b.WriteString("  " + pad + cell)
		}
		b.WriteByte('\n')
	}
}
