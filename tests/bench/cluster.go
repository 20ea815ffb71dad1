package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// measureCluster measures three nodes on this machine, which share its cores
// with the load.
func (b *bench) measureCluster(ctx context.Context) error {
	return b.withFarm(ctx, func(nodes []*node) error {
		r := clusterRun{bench: b, nodes: nodes}
		for range b.plan.reps {
			if err := r.turn(ctx); err != nil {
				return err
			}
		}
		r.report()
		return nil
	})
}

// clusterRun is the measurement.
type clusterRun struct {
	bench *bench
	nodes []*node

	seen, changed, lived series
	costs                []cost // of lived
	made                 int    // changes so far
}

func (r *clusterRun) turn(ctx context.Context) error {
	for _, part := range []struct {
		into    *series
		measure func(context.Context) (load, error)
	}{{&r.seen, r.across}, {&r.changed, r.changes}, {&r.lived, r.lives}} {
		l, err := part.measure(ctx)
		if err != nil {
			return err
		}
		*part.into = append(*part.into, l)
	}
	return nil
}

// across starts an application on the first node every pace, and measures until
// the client sees on the last one that it is ALLOCATED.
func (r *clusterRun) across(ctx context.Context) (load, error) {
	p := r.bench.plan
	count := int(p.paceTime / p.pace)
	l := load{latencies: make([]time.Duration, count)}
	errs := make([]error, count)
	var wg sync.WaitGroup
	begin := time.Now()
	for i := range count {
		if err := pause(ctx, time.Until(begin.Add(time.Duration(i)*p.pace))); err != nil {
			return l, errors.Join(err, waited(&wg))
		}
		wg.Go(func() { l.latencies[i], errs[i] = r.acrossOne(ctx) })
	}
	wg.Wait()
	l.took = time.Since(begin)
	return l, errors.Join(errs...)
}

func (r *clusterRun) acrossOne(ctx context.Context) (time.Duration, error) {
	var ends [2]*conn // connected, and known there, before the time counts
	for i, n := range []*node{r.nodes[0], r.nodes[farmSize-1]} {
		c, err := n.dial(ctx)
		if err != nil {
			return 0, err
		}
		defer c.close()
		if _, err := c.expect(get(r.bench.ci, "/api/v1/user/me/")); err != nil {
			return 0, err
		}
		ends[i] = c
	}
	begin := time.Now()
	uid, err := ends[0].create(r.bench.ci, "/api/v1/application/", applicationBody(r.bench.label))
	if err != nil {
		return 0, err
	}
	ask := func(request []byte) ([]byte, error) { return ends[1].patiently(ctx, request) }
	if err := (life{ends[1], r.bench.ci, r.bench.label, eagerPause}).awaitBy(ctx, uid, "ALLOCATED", ask); err != nil {
		return 0, err
	}
	took := time.Since(begin)
	_, err = ends[1].patiently(ctx, get(r.bench.ci, deallocatePath(uid)))
	return took, err
}

// changes makes locations on one node after the other, and measures each until
// the others list it: what has a name is never asked of another node.
func (r *clusterRun) changes(ctx context.Context) (load, error) {
	var l load
	var clients [farmSize]*http.Client
	for i, n := range r.nodes {
		client, done := n.client()
		defer done()
		if _, err := n.fetch(ctx, client, user{"admin", r.bench.adminPassword}, "/api/v1/user/me/"); err != nil { // the hash does not count
			return l, err
		}
		clients[i] = client
	}
	begin := time.Now()
	for i := range r.bench.plan.changes {
		took, err := r.change(ctx, clients, i%farmSize)
		if err != nil {
			return l, err
		}
		l.latencies = append(l.latencies, took)
	}
	l.took = time.Since(begin)
	return l, nil
}

func (r *clusterRun) change(ctx context.Context, clients [farmSize]*http.Client, maker int) (time.Duration, error) {
	r.made++
	name, admin := fmt.Sprintf("place-%06d", r.made), user{"admin", r.bench.adminPassword}
	c, err := r.nodes[maker].dial(ctx)
	if err != nil {
		return 0, err
	}
	defer c.close()
	begin := time.Now()
	if _, err := c.expect(post(admin, "/api/v1/location/", fmt.Sprintf(`{"name":%q}`, name))); err != nil {
		return 0, err
	}
	errs := make([]error, farmSize)
	var wg sync.WaitGroup
	for i, n := range r.nodes {
		if i == maker {
			continue
		}
		wg.Go(func() {
			errs[i] = until(ctx, "the change is visible", eagerPause, func() (bool, error) {
				body, err := n.fetch(ctx, clients[i], admin, "/api/v1/location/?filter=name%3D%27"+name+"%27")
				return bytes.Contains(body, []byte(name)), err
			})
		})
	}
	wg.Wait()
	return time.Since(begin), errors.Join(errs...)
}

// lives are whole ones as fast as they go; each client has one node, and any
// node may run what it asks for.
func (r *clusterRun) lives(ctx context.Context) (load, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	end := r.profile("cluster-lives")
	read, err := meter(r.nodes)
	if err != nil {
		return load{}, end(err)
	}
	latencies, errs := make([][]time.Duration, livesAtOnce), make([]error, livesAtOnce)
	var wg sync.WaitGroup
	begin := time.Now()
	for i := range livesAtOnce {
		wg.Go(func() {
			latencies[i], errs[i] = r.client(ctx, r.nodes[i%farmSize], begin.Add(r.bench.plan.farmTime))
			if errs[i] != nil {
				cancel()
			}
		})
	}
	wg.Wait()
	l := load{took: time.Since(begin)}
	for _, some := range latencies {
		l.latencies = append(l.latencies, some...)
	}
	c, err := read(len(l.latencies))
	r.costs = append(r.costs, c)
	return l, end(errors.Join(append(errs, err)...))
}

// profile is bench.profile of all nodes.
func (r *clusterRun) profile(name string) (end func(error) error) {
	var ends []func(error) error
	for i, n := range r.nodes {
		ends = append(ends, r.bench.profile(n, fmt.Sprintf("%s-%d", name, i), r.bench.plan.farmTime))
	}
	return func(err error) error {
		for _, end := range ends {
			err = end(err)
		}
		return err
	}
}

func (r *clusterRun) client(ctx context.Context, n *node, end time.Time) (took []time.Duration, err error) {
	c, err := n.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer c.close()
	for time.Now().Before(end) {
		begin := time.Now()
		if err := (life{c, r.bench.ci, r.bench.label, crowdPause}).live(ctx); err != nil {
			return took, err
		}
		took = append(took, time.Since(begin))
	}
	return took, nil
}

func (r *clusterRun) report() {
	p, t := r.bench.plan, r.bench.table
	what := fmt.Sprintf("%d nodes: create on one -> ALLOCATED seen on another, %.0f/s", farmSize, 1/p.pace.Seconds())
	t.under(what+", p50", r.seen.percentile(50), 150*time.Millisecond, "")
	t.under(what+", p99", r.seen.percentile(99), 500*time.Millisecond, "")
	t.under(fmt.Sprintf("%d nodes: a change is visible on all, p99", farmSize), r.changed.percentile(99), 300*time.Millisecond,
		fmt.Sprintf("p50 %s; %d changes", brief(r.changed.percentile(50)), r.made))
	t.atLeast(fmt.Sprintf("%d nodes: whole lives, durable, for %s", farmSize, p.farmTime), "%.0f/s", r.lived.rate(), 150,
		fmt.Sprintf("%d clients that poll; a life p50 %s, p99 %s", livesAtOnce, brief(r.lived.percentile(50)), brief(r.lived.percentile(99))))
	t.note(fmt.Sprintf("%d nodes: CPU of all for a whole life", farmSize), brief(medianOf(r.costs, cost.perLife)),
		fmt.Sprintf("%s more for the clients", brief(medianOf(r.costs, cost.loadPerLife))))
}
