package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

const (
	// livesAtOnce is how many clients live whole lives one after the other.
	livesAtOnce = 100
	// samples is how often the memory is looked at in all.
	samples = 60
)

// measureLives measures whole lives, and whether memory grows with them.
func (b *bench) measureLives(ctx context.Context) error {
	return b.with(ctx, func(n *node) error {
		r := livesRun{bench: b, node: n}
		before, err := syncTime(b.dir)
		if err != nil {
			return err
		}
		if err := r.run(ctx); err != nil {
			return err
		}
		after, err := syncTime(b.dir)
		if err != nil {
			return err
		}
		r.report(min(before, after))
		return nil
	})
}

// syncTime is the median time that the disk takes for one page to be durable:
// what no database can do without.
func syncTime(dir string) (time.Duration, error) {
	f, err := os.CreateTemp(dir, "sync-*")
	if err != nil {
		return 0, fmt.Errorf("make file: %w", err)
	}
	defer func() { _ = os.Remove(f.Name()) }() // the run's folder goes as a whole
	page := make([]byte, 4096)
	var took []time.Duration
	for range 50 {
		begin := time.Now()
		if _, err = f.Write(page); err == nil {
			err = f.Sync()
		}
		if err != nil {
			break
		}
		took = append(took, time.Since(begin))
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return 0, fmt.Errorf("sync file: %w", err)
	}
	return median(took), nil
}

// livesRun is the measurement.
type livesRun struct {
	bench *bench
	node  *node

	begin   time.Time
	ended   [livesAtOnce][]time.Duration // since begin, of the lives that each client has seen to the end
	samples []sample
}

// sample is the node's memory at a moment since begin.
type sample struct {
	at    time.Duration
	bytes uint64
}

func (r *livesRun) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	conns := make([]*conn, livesAtOnce)
	for i := range conns {
		c, err := r.node.dial(ctx)
		if err != nil {
			return err
		}
		defer c.close()
		conns[i] = c
	}
	if _, err := conns[0].expect(get(r.bench.ci, "/api/v1/user/me/")); err != nil {
		return err
	}
	end := r.bench.profile(r.node, "lives", r.bench.plan.livesTime)
	errs := make([]error, livesAtOnce)
	var wg sync.WaitGroup
	r.begin = time.Now()
	for i, c := range conns {
		wg.Go(func() {
			errs[i] = r.client(ctx, i, c)
			if errs[i] != nil {
				cancel()
			}
		})
	}
	err := r.watch(ctx)
	wg.Wait()
	return end(errors.Join(append(errs, err)...))
}

// client lives until the time is over.
func (r *livesRun) client(ctx context.Context, i int, c *conn) error {
	l := life{c, r.bench.ci, r.bench.label, crowdPause}
	for time.Since(r.begin) < r.bench.plan.livesTime {
		if err := l.live(ctx); err != nil {
			return err
		}
		r.ended[i] = append(r.ended[i], time.Since(r.begin))
	}
	return nil
}

// watch looks at the memory until the time is over.
func (r *livesRun) watch(ctx context.Context) error {
	for time.Since(r.begin) < r.bench.plan.livesTime {
		bytes, err := r.node.memory()
		if err != nil {
			return err
		}
		r.samples = append(r.samples, sample{time.Since(r.begin), bytes})
		if err := pause(ctx, r.bench.plan.livesTime/samples); err != nil {
			return err
		}
	}
	return nil
}

// rates are those of the thirds of the time.
func (r *livesRun) rates() []float64 {
	rates := make([]float64, 3)
	third := r.bench.plan.livesTime / 3
	for _, client := range r.ended {
		for _, at := range client {
			if i := int(at / third); i < len(rates) { // what ended after the time does not count
				rates[i] += 1 / third.Seconds()
			}
		}
	}
	return rates
}

// memory is the median in a part of the time.
func (r *livesRun) memory(from, to time.Duration) uint64 {
	var in []uint64
	for _, s := range r.samples {
		if s.at >= from && s.at < to {
			in = append(in, s.bytes)
		}
	}
	return median(in)
}

func (r *livesRun) report(bareSync time.Duration) {
	p, t := r.bench.plan, r.bench.table
	rates := r.rates()
	what := fmt.Sprintf("whole lives, durable, for %s", p.livesTime)
	t.atLeast(what, "%.0f/s", median(rates), 500,
		fmt.Sprintf("%.0f/s, %.0f/s, %.0f/s in its thirds, %d clients that poll; one bare fsync takes %s", rates[0], rates[1], rates[2],
			livesAtOnce, brief(bareSync)))
	width := p.livesTime / 6
	early, late := r.memory(p.livesWarm, p.livesWarm+width), r.memory(p.livesTime-width, p.livesTime+time.Second)
	growth := 100 * (float64(late)/float64(max(early, 1)) - 1)
	t.less(what+", growth of memory", "%.0f %%", growth, 10, fmt.Sprintf("%.0f MB at the start, %.0f MB after %s, %.0f MB at the end",
		megabytes(r.samples[0].bytes), megabytes(early), brief(p.livesWarm), megabytes(late)))
}
