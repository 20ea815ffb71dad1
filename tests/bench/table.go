package main

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
)

// line is one row of the table.
type line struct {
	what, goal, measured, verdict, detail string
}

// table collects the results in the order in which they were measured.
type table struct{ lines []line }

// String is the table as text, and how many goals were met.
func (t *table) String() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "what\tgoal\tmeasured\tverdict\tbeside it") // a Builder takes everything
	met, goals := 0, 0
	for _, l := range t.lines {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", l.what, l.goal, l.measured, l.verdict, l.detail)
		if l.verdict != "" {
			goals++
		}
		if l.verdict == pass {
			met++
		}
	}
	_ = w.Flush()
	fmt.Fprintf(&b, "%d of %d goals met\n", met, goals)
	return b.String()
}

const (
	pass  = "PASS"
	short = "short"
)

func verdict(ok bool) string {
	if ok {
		return pass
	}
	return short
}

// note adds a figure without a goal.
func (t *table) note(what, measured, detail string) {
	t.lines = append(t.lines, line{what: what, goal: "-", measured: measured, detail: detail})
}

// under adds a duration that has to be less than the goal.
func (t *table) under(what string, got, goal time.Duration, detail string) {
	t.lines = append(t.lines, line{what, "< " + brief(goal), brief(got), verdict(got < goal), detail})
}

// less and atLeast add a number in the unit that the format shows.
func (t *table) less(what, format string, got, goal float64, detail string) {
	t.lines = append(t.lines, line{what, "< " + fmt.Sprintf(format, goal), fmt.Sprintf(format, got), verdict(got < goal), detail})
}

func (t *table) atLeast(what, format string, got, goal float64, detail string) {
	t.lines = append(t.lines, line{what, ">= " + fmt.Sprintf(format, goal), fmt.Sprintf(format, got), verdict(got >= goal), detail})
}

// brief prints a duration with three digits.
func brief(d time.Duration) string {
	switch {
	case d >= 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d >= time.Second:
		return fmt.Sprintf("%.2f s", d.Seconds())
	case d >= 10*time.Millisecond:
		return fmt.Sprintf("%.0f ms", float64(d)/float64(time.Millisecond))
	case d >= time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	}
	return fmt.Sprintf("%d us", d.Microseconds())
}

func megabytes(n uint64) float64 { return float64(n) / (1 << 20) }
