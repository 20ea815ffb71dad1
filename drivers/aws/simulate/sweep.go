package simulate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/simulate/trace"
)

// Grid is what a sweep tries: every combination, for each pool by itself. An
// empty list is what the pool's own configuration says, except Max: that is
// found around what the pool needs.
type Grid struct {
	Max            []int
	ScrubbingDelay []time.Duration
	Patience       []time.Duration
	// WaitP95 is how long 95 % of the jobs may wait for a host, at most.
	WaitP95 time.Duration
}

// Point is a setting and what came of it.
type Point struct {
	Pool           string `json:"pool"`
	Max            int    `json:"max"`
	ScrubbingDelay int64  `json:"scrubbing_delay_seconds"`
	Patience       int64  `json:"patience_seconds"`
	Sum            Sum    `json:"sum"`
	Peaks          Peaks  `json:"peaks"`
	// Within: the jobs waited no longer than they may.
	Within bool `json:"within"`
}

// Swept is what came of a sweep: for each pool its settings, those within the
// wait first, the cheapest first.
type Swept struct {
	WaitP95 int64     `json:"wait_p95_seconds"`
	Pools   [][]Point `json:"pools"`
	// LeftOut and Unmatched are as in a Report.
	LeftOut   int `json:"left_out"`
	Unmatched int `json:"unmatched"`
}

// maxPoints bounds a sweep: more take hours.
const maxPoints = 10_000

// Sweep runs all settings of a grid, as many at once as there are cores.
func Sweep(ctx context.Context, s Setup, t trace.Trace, g Grid) (*Swept, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	shares, unmatched := share(s.Pools, t.Jobs)
	if unmatched == len(t.Jobs) {
		return nil, errors.New("no job is for one of the pools")
	}
	out := &Swept{WaitP95: seconds(g.WaitP95), LeftOut: t.LeftOut, Unmatched: unmatched}
	for i, p := range s.Pools {
		if len(shares[i]) == 0 {
			continue
		}
		points, err := sweepPool(ctx, s, p, shares[i], g)
		if err != nil {
			return nil, err
		}
		out.Pools = append(out.Pools, points)
	}
	return out, nil
}

func sweepPool(ctx context.Context, s Setup, p Pool, jobs []trace.Job, g Grid) ([]Point, error) {
	if len(g.Max) == 0 {
		var err error
		if g.Max, err = likelyMax(ctx, s, p, jobs, seconds(g.WaitP95)); err != nil {
			return nil, err
		}
	}
	settings := g.settings(p)
	if len(settings) > maxPoints {
		return nil, fmt.Errorf("%d settings are too many: want %d or fewer", len(settings), maxPoints)
	}
	points := make([]Point, len(settings))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, setting := range settings {
		group.Go(func() error {
			r, err := Run(ctx, Setup{Pools: []Pool{setting}, Prices: s.Prices, Seed: s.Seed}, trace.Trace{Jobs: jobs})
			if err != nil {
				return err
			}
			points[i] = Point{
				Pool: p.Name, Max: setting.Max, ScrubbingDelay: seconds(setting.ScrubbingDelay), Patience: seconds(setting.Patience),
				Sum: r.Total.Sum, Peaks: r.Total.Peaks, Within: r.Total.Sum.Wait.P95 <= seconds(g.WaitP95),
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	slices.SortStableFunc(points, compare)
	return points, nil
}

// settings are all combinations.
func (g Grid) settings(p Pool) (all []Pool) {
	delays, patiences := g.ScrubbingDelay, g.Patience
	if len(delays) == 0 {
		delays = []time.Duration{p.ScrubbingDelay}
	}
	if len(patiences) == 0 {
		patiences = []time.Duration{p.Patience}
	}
	for _, most := range g.Max {
		for _, delay := range delays {
			for _, patience := range patiences {
				next := p
				next.Max, next.ScrubbingDelay, next.Patience = most, delay, patience
				all = append(all, next)
			}
		}
	}
	return all
}

// likelyMax are numbers of hosts around what the pool needs: from somewhat fewer
// than keep the wait, as other settings may do with those, up to as many as are ever
// used. They are denser where they are small, as each host counts for more there.
func likelyMax(ctx context.Context, s Setup, p Pool, jobs []trace.Job, waitP95 int64) ([]int, error) {
	const steps = 12
	try := func(most int) (*PoolReport, error) {
		p.Max = most
		r, err := Run(ctx, Setup{Pools: []Pool{p}, Prices: s.Prices, Seed: s.Seed}, trace.Trace{Jobs: jobs})
		if err != nil {
			return nil, err
		}
		return &r.Total, nil
	}
	free, err := try(min(len(jobs), 1000))
	if err != nil {
		return nil, err
	}
	low, high := max(1, int(free.Peaks.Instances)), max(1, int(free.Peaks.Hosts))
	if free.Sum.Wait.P95 <= waitP95 {
		least, err := leastMax(high, waitP95, try)
		if err != nil {
			return nil, err
		}
		low = max(1, least*3/4)
	}
	var list []int
	for i := range steps {
		n := int(math.Round(float64(low) * math.Pow(float64(high)/float64(low), float64(i)/(steps-1))))
		if len(list) == 0 || n > list[len(list)-1] {
			list = append(list, n)
		}
	}
	return list, nil
}

// leastMax is with how few hosts the wait is kept, where it is with so many.
func leastMax(many int, waitP95 int64, try func(most int) (*PoolReport, error)) (int, error) {
	few := 1
	for few < many {
		half := (few + many) / 2
		r, err := try(half)
		if err != nil {
			return 0, err
		}
		if r.Sum.Wait.P95 <= waitP95 {
			many = half
		} else {
			few = half + 1
		}
	}
	return many, nil
}

// compare puts first what is within the wait, then what is cheaper, then what
// needs fewer hosts. Of those beyond the wait the shortest wait is first.
func compare(a, b Point) int {
	switch {
	case a.Within != b.Within && a.Within:
		return -1
	case a.Within != b.Within:
		return 1
	case !a.Within && a.Sum.Wait.P95 != b.Sum.Wait.P95:
		return sign(a.Sum.Wait.P95 - b.Sum.Wait.P95)
	case a.Sum.Paid != b.Sum.Paid:
		return sign(a.Sum.Paid - b.Sum.Paid)
	}
	return a.Max - b.Max
}

func sign(n int64) int {
	if n < 0 {
		return -1
	}
	return 1
}

// WriteJSON writes all settings, for programs.
func (s *Swept) WriteJSON(w io.Writer) error { return writeJSON(w, s) }

// shown is how many settings of a pool the table has.
const shown = 12

// WriteTable writes the best settings of each pool.
func (s *Swept) WriteTable(w io.Writer) error {
	var b strings.Builder
	for _, points := range s.Pools {
		s.table(&b, points)
	}
	leftOut(&b, s.LeftOut, s.Unmatched)
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write table: %w", err)
	}
	return nil
}

func (s *Swept) table(b *strings.Builder, points []Point) {
	best, target := points[0], span(s.WaitP95)
	within := 0
	for _, p := range points {
		if p.Within {
			within++
		}
	}
	fmt.Fprintf(b, "Pool %s: %d settings, of which %d have 95 %% of the jobs wait %s or less\n\n", best.Pool, len(points), within, target)
	rows := [][]string{{"MAX", "SCRUBBING", "PATIENCE", "PAID", "PAID/RUN", "COST", "HOSTS", "P50", "P95", "LONGEST"}}
	for _, p := range points[:min(shown, len(points))] {
		rows = append(rows, []string{
			strconv.Itoa(p.Max), delay(p.ScrubbingDelay), span(p.Patience), hoursOf(p.Sum.Paid), fmt.Sprintf("%.2f", p.Sum.Overhead()),
			p.Sum.Cost.String(), strconv.Itoa(p.Sum.Allocations), span(p.Sum.Wait.P50), span(p.Sum.Wait.P95), span(p.Sum.Wait.Max),
		})
	}
	align(b, rows)
	if within == 0 {
		fmt.Fprintf(b, "\nNo setting keeps the wait: the best has %s. Try a larger max, or a longer scrubbing delay.\n\n", span(best.Sum.Wait.P95))
		return
	}
	fmt.Fprintf(b, "\nCheapest: max %d, scrubbing_delay %s, patience %s: %s paid for %s of jobs (%.2f), wait p95 %s\n\n", best.Max,
		delay(best.ScrubbingDelay), span(best.Patience), hoursOf(best.Sum.Paid), hoursOf(best.Sum.Executed), best.Sum.Overhead(), span(best.Sum.Wait.P95))
}

// delay is a scrubbing delay for people.
func delay(seconds int64) string {
	if seconds == 0 {
		return "never"
	}
	return span(seconds)
}
