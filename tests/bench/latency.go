package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// measureLatency measures how long a polling client waits for ALLOCATED.
func (b *bench) measureLatency(ctx context.Context) error {
	return b.with(ctx, func(n *node) error {
		var all series
		for range b.plan.reps {
			l, err := b.paced(ctx, n, b.plan.paceTime)
			if err != nil {
				return err
			}
			all = append(all, l)
		}
		what := fmt.Sprintf("create -> ALLOCATED, %.0f/s", 1/b.plan.pace.Seconds())
		b.table.under(what+", p50", all.percentile(50), 20*time.Millisecond, "the original: 6.2 s")
		b.table.under(what+", p99", all.percentile(99), 100*time.Millisecond, "the original: 9.5 s at p95")
		return nil
	})
}

// paced starts an application every pace, no matter how the earlier ones are
// doing, and measures each until its client has seen it ALLOCATED. They are
// deallocated, which does not count.
func (b *bench) paced(ctx context.Context, n *node, d time.Duration) (load, error) {
	count := int(d / b.plan.pace)
	l := load{latencies: make([]time.Duration, count)}
	errs := make([]error, count)
	idle := make(chan *conn, count)
	defer func() {
		close(idle)
		for c := range idle {
			c.close()
		}
	}()
	if err := b.warm(ctx, n, idle); err != nil {
		return l, err
	}
	var wg sync.WaitGroup
	begin := time.Now()
	for i := range count {
		if err := pause(ctx, time.Until(begin.Add(time.Duration(i)*b.plan.pace))); err != nil {
			return l, errors.Join(err, waited(&wg))
		}
		wg.Go(func() { l.latencies[i], errs[i] = b.allocate(ctx, n, idle) })
	}
	wg.Wait()
	l.took = time.Since(begin)
	return l, errors.Join(errs...)
}

func waited(wg *sync.WaitGroup) error {
	wg.Wait()
	return nil
}

// warm makes a connection, so that the first application pays neither for it
// nor for a hash.
func (b *bench) warm(ctx context.Context, n *node, idle chan<- *conn) error {
	c, err := n.dial(ctx)
	if err != nil {
		return err
	}
	if _, err := c.expect(get(b.ci, "/api/v1/user/me/")); err != nil {
		c.close()
		return err
	}
	idle <- c
	return nil
}

// allocate measures one application.
func (b *bench) allocate(ctx context.Context, n *node, idle chan *conn) (time.Duration, error) {
	var c *conn
	select {
	case c = <-idle:
	default:
		var err error
		if c, err = n.dial(ctx); err != nil {
			return 0, err
		}
	}
	defer func() { idle <- c }() // has room for all
	begin := time.Now()
	uid, err := life{c, b.ci, b.label, eagerPause}.create(ctx)
	took := time.Since(begin)
	if err != nil {
		return 0, err
	}
	_, err = c.expect(get(b.ci, deallocatePath(uid)))
	return took, err
}
