package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// burstSize is how many POSTs come at once, each over a new connection.
const burstSize = 50

// measureBurst measures how long it takes until all are answered. Each burst
// is a user's first one: a hash is in it.
func (b *bench) measureBurst(ctx context.Context) error {
	return b.with(ctx, func(n *node) error {
		limit, err := b.limitOfBurst(ctx, n)
		if err != nil {
			return err
		}
		defer limit.close()
		var nodes, limits series
		for i := range b.plan.reps {
			u := b.stranger(b.plan.copies - 1 - i)
			request := post(u, "/api/v1/application/", applicationBody(b.label))
			l, err := burst(ctx, limit.server, request)
			if err != nil {
				return fmt.Errorf("ask limit: %w", err)
			}
			limits = append(limits, l)
			if l, err = burst(ctx, n.server, request); err != nil {
				return err
			}
			nodes = append(nodes, l)
		}
		took := func(l load) time.Duration { return l.took }
		b.table.under(fmt.Sprintf("%d application POSTs at once, each a new connection: all answered", burstSize),
			medianOf(nodes, took), time.Second,
			fmt.Sprintf("p50 %s; limit %s; a password hash is in it", brief(nodes.percentile(50)), brief(medianOf(limits, took))))
		return nil
	})
}

// limitOfBurst is the limit that answers like the node to a POST.
func (b *bench) limitOfBurst(ctx context.Context, n *node) (*limit, error) {
	c, err := n.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer c.close()
	a, err := c.do(post(b.ci, "/api/v1/application/", applicationBody(b.label)))
	if err != nil {
		return nil, err
	}
	config, err := limitOf(n, a)
	if err != nil {
		return nil, err
	}
	return startLimit(ctx, config, n.tls)
}

// burst sends the request over so many new connections at once.
func burst(ctx context.Context, s server, request []byte) (load, error) {
	l := load{latencies: make([]time.Duration, burstSize)}
	errs := make([]error, burstSize)
	var wg sync.WaitGroup
	begin := time.Now()
	for i := range burstSize {
		wg.Go(func() {
			var c *conn
			if c, errs[i] = s.dial(ctx); errs[i] != nil {
				return
			}
			defer c.close()
			_, errs[i] = c.expect(request)
			l.latencies[i] = time.Since(begin)
		})
	}
	wg.Wait()
	l.took = time.Since(begin)
	return l, errors.Join(errs...)
}
