package simulate

import (
	"errors"
	"fmt"
)

// check holds the two accounts against each other: that of the meter, which
// counts over time, and those of the hosts, each by itself; and both against the
// jobs. An error is a fault of this program.
func (w *world) check() error {
	if err := errors.Join(w.checkJobs(), w.checkHosts()); err != nil {
		return fmt.Errorf("pool %s: the accounts do not come to the same, so nothing of this can be relied on: %w", w.Name, err)
	}
	return nil
}

func (w *world) checkJobs() error {
	var run, waited int64
	for i := range w.jobs {
		if w.waits[i] == waiting {
			return fmt.Errorf("job %d never started", i)
		}
		run += w.jobs[i].Run
		waited += int64(w.waits[i])
	}
	total := w.meter.total()
	switch {
	case w.started != len(w.jobs) || w.ended != len(w.jobs):
		return fmt.Errorf("%d jobs came, %d started and %d ended", len(w.jobs), w.started, w.ended)
	case total[executing] != run:
		return fmt.Errorf("jobs ran for %d s, hosts executed for %d s", run, total[executing])
	case total[queued] != waited:
		return fmt.Errorf("jobs waited for %d s, the queue was %d s long", waited, total[queued])
	case w.peaks.Hosts > int64(w.Max):
		return fmt.Errorf("%d hosts at once, with a maximum of %d", w.peaks.Hosts, w.Max)
	}
	return nil
}

func (w *world) checkHosts() error {
	var sum amounts
	for i := range w.hosts {
		h := &w.hosts[i]
		life := h.released - h.allocated
		switch {
		case h.released == 0:
			return fmt.Errorf("host %s was never released", h.id)
		case h.spent.hosts() != life:
			return fmt.Errorf("host %s was ours for %d s, of which %d s are paid and %d s pending", h.id, life, h.spent.paid(), h.spent[pending])
		case life < seconds(w.rule()):
			return fmt.Errorf("host %s was released after %d s", h.id, life)
		}
		sum.add(h.spent)
	}
	total := w.meter.total()
	sum[queued] = total[queued]
	var parts amounts
	for _, p := range w.meter.chart.parts {
		parts.add(p)
	}
	if sum != total || parts != total {
		return fmt.Errorf("sums by host %v, by month %v, by part of the chart %v", sum, total, parts)
	}
	for m, n := range w.meter.count {
		if n != 0 {
			return fmt.Errorf("at the end %d are in state %d", n, m)
		}
	}
	return nil
}
