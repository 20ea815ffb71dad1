package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
)

// measureLabels measures the list of all labels of a node that has collected
// them over years: how long it takes, and how much memory at its peak.
func (b *bench) measureLabels(ctx context.Context) error {
	return b.with(ctx, func(n *node) error {
		if err := b.makeLabels(ctx, n); err != nil {
			return err
		}
		if _, err := n.stop(); err != nil {
			return err
		}
		fresh, err := n.start(ctx) // what making them took does not count
		if err != nil {
			return err
		}
		*n = *fresh
		return b.listLabels(ctx, n)
	})
}

// makeLabels makes labels as they are in use, of 580 bytes each.
func (b *bench) makeLabels(ctx context.Context, n *node) error {
	const makers = 16
	admin := user{"admin", b.adminPassword}
	errs := make(chan error, makers)
	for m := range makers {
		go func() {
			c, err := n.dial(ctx)
			if err != nil {
				errs <- err
				return
			}
			defer c.close()
			for i := m; i < b.plan.labels && err == nil; i += makers {
				_, err = c.create(admin, "/api/v1/label/", fmt.Sprintf(
					`{"name":"label-%d","version":%d,"metadata":{"JENKINS_AGENT_WORKSPACE":"/home/jenkins"},"definitions":[`+
						`{"driver":"test","options":{"images":[{"url":"https://artifacts.example.com/image-%d.tar.xz","sum":"sha256:%064d"}]},`+
						`"resources":{"cpu":4,"ram":8,"disks":{"ws":{"type":"dir","size":20}},"node_filter":["OS:linux"]}}]}`, i%300, i/300+1, i, i))
			}
			errs <- err
		}()
	}
	for range makers {
		if err := <-errs; err != nil {
			return fmt.Errorf("make labels: %w", err)
		}
	}
	return nil
}

// listLabels lists them again and again, and looks at the memory meanwhile.
func (b *bench) listLabels(ctx context.Context, n *node) error {
	client, done := n.client()
	defer done()
	if _, err := n.fetch(ctx, client, b.ci, "/api/v1/user/me/"); err != nil { // the hash takes memory, which goes back
		return err
	}
	if err := pause(ctx, b.plan.settle); err != nil {
		return err
	}
	before, err := n.memory()
	if err != nil {
		return err
	}
	watch := watchMemory(n)
	took := make([]time.Duration, 0, b.plan.lists)
	size := 0
	for range b.plan.lists {
		begin := time.Now()
		text, err := n.fetch(ctx, client, b.ci, "/api/v1/label/")
		if err != nil {
			return err
		}
		took, size = append(took, time.Since(begin)), len(text)
		if got := strings.Count(string(text), `"UID":`) - 1; got != b.plan.labels { // one is the bench's own
			return fmt.Errorf("%d labels are listed, want %d", got, b.plan.labels)
		}
	}
	peak, err := watch()
	if err != nil {
		return err
	}
	what := fmt.Sprintf("list of %d labels", b.plan.labels)
	b.table.under(what, median(took), 200*time.Millisecond, fmt.Sprintf("%.1f MB; p99 of %d lists %s", megabytes(uint64(size)), len(took), brief(percentile(took, 99))))
	b.table.less(what+": growth of memory", "%.1f MB", megabytes(max(peak, before)-before), 30, fmt.Sprintf("at the peak of all lists, over %.0f MB", megabytes(before)))
	return nil
}

// watchMemory looks at the resident set until it is stopped, which returns the
// largest.
func watchMemory(n *node) (stop func() (peak uint64, err error)) {
	var wg sync.WaitGroup
	var peak uint64
	var failed error
	end := make(chan struct{})
	wg.Go(func() {
		ticker := time.NewTicker(2 * time.Millisecond)
		defer ticker.Stop()
		for failed == nil {
			var m uint64
			m, failed = n.memory()
			peak = max(peak, m)
			select {
			case <-end:
				return
			case <-ticker.C:
			}
		}
	})
	return func() (uint64, error) {
		close(end)
		wg.Wait()
		return peak, failed
	}
}
