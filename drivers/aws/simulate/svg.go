package simulate

import (
	"fmt"
	"html"
	"io"
	"math"
	"strconv"
	"strings"
)

// The places of the chart, in pixels.
const (
	svgWidth, svgHeight = 1200, 640
	plotLeft, plotRight = 64, 1176
	hostsTop, hostsEnd  = 130, 470
	queueTop, queueEnd  = 518, 598
)

// layer is one of the areas that stand on each other.
type layer struct {
	name, colour string
	of           func(amounts) int64
}

// layers are all of them, the lowest first: together they are the hosts.
func layers() []layer {
	return []layer{
		{"executing a job", "#0f766e", func(a amounts) int64 { return a[executing] }},
		{"paid besides: starting, idle, before scrubbing", "#f59e0b", func(a amounts) int64 { return a.paid() - a[executing] }},
		{"pending: scrubbed, not paid", "#cbd5e1", func(a amounts) int64 { return a[pending] }},
	}
}

// WriteSVG draws hosts, what is paid of them and what is pending, and the queue
// over time.
func (r *Report) WriteSVG(w io.Writer) error {
	c := &chart{series: r.chart}
	c.head(r)
	c.hosts()
	c.queue()
	c.b.WriteString("</svg>\n")
	if _, err := io.WriteString(w, c.b.String()); err != nil {
		return fmt.Errorf("write chart: %w", err)
	}
	return nil
}

// chart is a picture that is being drawn.
type chart struct {
	series series
	b      strings.Builder
}

func (c *chart) add(format string, args ...any) { fmt.Fprintf(&c.b, format+"\n", args...) }

// text writes; what others named must not become part of the drawing.
func (c *chart) text(x, y float64, class, text string) {
	c.add(`<text x="%.1f" y="%.1f" class="%s">%s</text>`, x, y, class, html.EscapeString(text))
}

func (c *chart) head(r *Report) {
	title, said := r.headline()
	c.add(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img">`, svgWidth, svgHeight, svgWidth, svgHeight)
	c.add(`<title>%s</title><desc>%s</desc>`, html.EscapeString(title), html.EscapeString(said))
	c.b.WriteString(`<style>
text { font: 13px "Helvetica Neue", Helvetica, Arial, "DejaVu Sans", sans-serif; fill: #334155 }
.title { font-size: 20px; font-weight: 600; fill: #0f172a }
.label { font-size: 12px; fill: #64748b }
.right { font-size: 12px; fill: #64748b; text-anchor: end }
.middle { font-size: 12px; fill: #64748b; text-anchor: middle }
.grid { stroke: #e2e8f0; stroke-width: 1 }
.axis { stroke: #94a3b8; stroke-width: 1 }
</style>
`)
	c.add(`<rect width="%d" height="%d" fill="#ffffff"/>`, svgWidth, svgHeight)
	c.text(plotLeft, 38, "title", title)
	c.text(plotLeft, 62, "", said)
	x := float64(plotLeft)
	for _, l := range layers() {
		c.add(`<rect x="%.0f" y="78" width="12" height="12" rx="2" fill="%s"/>`, x, l.colour)
		c.text(x+18, 89, "label", l.name)
		x += 42 + 6.4*float64(len(l.name))
	}
}

// headline is what the chart says in words.
func (r *Report) headline() (title, said string) {
	s, name := r.Total.Sum, "all pools"
	if len(r.Pools) == 1 {
		name = "pool " + r.Pools[0].Name
	}
	title = fmt.Sprintf("Hosts of %s, %s to %s", name, r.Total.Start.Format("2 January 2006"), r.Total.End.Format("2 January 2006"))
	cost := ""
	if s.Cost.Known {
		cost = ", " + s.Cost.String()
	}
	said = fmt.Sprintf("%d jobs ran for %.0f h; %.0f host-hours were paid (%.2f for each%s), %.0f pending. 95 %% of the jobs waited %s or less.",
		s.Jobs, float64(s.Executed)/3600, float64(s.Paid)/3600, s.Overhead(), cost, float64(s.Pending)/3600, span(s.Wait.P95))
	return title, said
}

// hosts draws the areas.
func (c *chart) hosts() {
	most := 0.0
	for _, a := range c.series.parts {
		most = max(most, c.mean(a.hosts()))
	}
	top := c.scale(most, hostsTop, hostsEnd, 6, "hosts")
	base := make([]float64, len(c.series.parts))
	for _, l := range layers() {
		next := make([]float64, len(base))
		for i, a := range c.series.parts {
			next[i] = base[i] + c.mean(l.of(a))
		}
		c.area(base, next, top, hostsTop, hostsEnd, l.colour)
		base = next
	}
	c.times(hostsEnd)
}

// queue draws how many jobs waited.
func (c *chart) queue() {
	waiting, most := make([]float64, len(c.series.parts)), 0.0
	for i, a := range c.series.parts {
		waiting[i] = c.mean(a[queued])
		most = max(most, waiting[i])
	}
	top := c.scale(most, queueTop, queueEnd, 2, "jobs in the queue")
	c.area(make([]float64, len(waiting)), waiting, top, queueTop, queueEnd, "#e11d48")
	c.times(queueEnd)
}

// mean is how many there were on average in a part.
func (c *chart) mean(seconds int64) float64 { return float64(seconds) / float64(c.series.width) }

// scale draws the vertical axis, and returns what its top stands for.
func (c *chart) scale(most float64, from, to, steps int, name string) (top float64) {
	step := niceStep(most / float64(steps))
	top = max(step, math.Ceil(most/step)*step)
	c.text(plotLeft, float64(from)-8, "label", name)
	for v := 0.0; v <= top; v += step {
		y := float64(to) - v/top*float64(to-from)
		c.add(`<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" class="grid"/>`, plotLeft, plotRight, y, y)
		c.text(plotLeft-8, y+4, "right", fmt.Sprintf("%g", v))
	}
	return top
}

// niceStep is the next of 1, 2, 5, 10, 20 and so on.
func niceStep(least float64) float64 {
	for unit := 1.0; ; unit *= 10 {
		for _, n := range []float64{1, 2, 5} {
			if n*unit >= least {
				return n * unit
			}
		}
	}
}

// x is where a time is.
func (c *chart) x(at int64) float64 {
	all := c.series.width * int64(len(c.series.parts))
	return plotLeft + float64(at-c.series.start)/float64(all)*(plotRight-plotLeft)
}

// area fills what is between two lines, which go in steps.
func (c *chart) area(low, high []float64, top float64, from, to int, colour string) {
	y := func(v float64) string { return coordinate(float64(to) - v/top*float64(to-from)) }
	edge := func(i int) string { return coordinate(c.x(c.series.start + int64(i)*c.series.width)) }
	c.b.WriteString(`<path fill="` + colour + `" d="M` + edge(0) + " " + y(low[0]))
	last := y(low[0])
	step := func(to string, i int) {
		if to != last {
			c.b.WriteString("H" + edge(i) + "V" + to)
			last = to
		}
	}
	for i, v := range high {
		step(y(v), i)
	}
	for i := len(low) - 1; i >= 0; i-- {
		step(y(low[i]), i+1)
	}
	c.b.WriteString("H" + edge(0) + "Z\"/>\n")
}

// coordinate is a place with as many digits as can be seen.
func coordinate(v float64) string { return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64) }

// times draws the axis of time at a height.
func (c *chart) times(to int) {
	end := c.series.start + c.series.width*int64(len(c.series.parts))
	layout, marks := timeMarks(c.series.start, end)
	for _, m := range marks {
		x := c.x(m)
		c.add(`<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" class="axis"/>`, x, x, to, to+5)
		c.text(x, float64(to)+20, "middle", at(m).Format(layout))
	}
	c.add(`<line x1="%d" x2="%d" y1="%d" y2="%d" class="axis"/>`, plotLeft, plotRight, to, to)
}

// timeMarks are the times to be written, a dozen or fewer, all in UTC: full
// hours, days, Mondays or firsts of months.
func timeMarks(start, end int64) (layout string, marks []int64) {
	const most, day, monday = 15, int64(86400), 4 * int64(86400) // 5 January 1970 was one
	for _, step := range []int64{600, 1800, 3600, 2 * 3600, 6 * 3600, 12 * 3600, day, 2 * day, 7 * day, 14 * day} {
		if (end-start)/step > most {
			continue
		}
		layout = "2 Jan"
		if step < day {
			layout = "2 Jan 15:04"
		}
		for m := start - (start-monday)%step; m <= end; m += step {
			if m >= start {
				marks = append(marks, m)
			}
		}
		return layout, marks
	}
	months := int((end - start) / (30 * day))
	every := 1 + months/most
	first, _ := monthOf(start)
	for t, n := at(first), 0; t.Unix() <= end; t, n = t.AddDate(0, 1, 0), n+1 {
		if t.Unix() >= start && n%every == 0 {
			marks = append(marks, t.Unix())
		}
	}
	return "Jan 2006", marks
}
