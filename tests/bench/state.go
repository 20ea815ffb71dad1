package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/textproto"
	"sync/atomic"

	"github.com/aquarium-fish/aquarium-fish/lib/store/storetest"
)

// measureState measures the authenticated GET of an application's state over
// connections that are kept alive.
func (b *bench) measureState(ctx context.Context) error {
	return b.with(ctx, func(n *node) error {
		return b.with(ctx, func(hashing *node) error { return b.compareState(ctx, n, hashing) })
	})
}

// compareState measures a node whose user is known. The other one hashes: the
// memory for that would hide what the first one takes.
func (b *bench) compareState(ctx context.Context, n, hashing *node) error {
	c, err := n.dial(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	uid, err := life{c, b.ci, b.label, eagerPause}.create(ctx)
	if err != nil {
		return err
	}
	request := get(b.ci, statePath(uid))
	a, err := c.do(request)
	if err != nil {
		return err
	}
	config, err := limitOf(n, a)
	if err != nil {
		return err
	}
	limit, err := startLimit(ctx, config, n.tls)
	if err != nil {
		return err
	}
	defer limit.close()
	r := stateRun{bench: b, node: n, hashing: hashing, limit: limit, request: request, body: []byte(config.Body)}
	if err := r.measure(ctx); err != nil {
		return err
	}
	r.report()
	return nil
}

// limitOf is the limit that answers like the node just did.
func limitOf(n *node, a answer) (limitConfig, error) {
	head := append(bytes.Clone(a.head), "\r\n"...)
	header, err := textproto.NewReader(bufio.NewReader(bytes.NewReader(head))).ReadMIMEHeader()
	if err != nil {
		return limitConfig{}, fmt.Errorf("read headers of node: %w", err)
	}
	header.Del("Date") // net/http adds it, there as here
	return limitConfig{
		Cert: n.data("bench.crt"), Key: n.data("bench.key"), Header: http.Header(header), Body: string(a.body),
	}, nil
}

// stateRun is the measurement of state GETs.
type stateRun struct {
	bench   *bench
	node    *node
	hashing *node
	limit   *limit
	request []byte
	body    []byte

	nodes, limits [len(stateConnections)]series
	hashes        series
	memory        []uint64
	hashMemory    []uint64
	next          atomic.Int64 // copied user
}

// stateConnections are the numbers of connections that are measured.
var stateConnections = [...]int{1, 8, 50}

func (r *stateRun) measure(ctx context.Context) error {
	p := r.bench.plan
	for range p.reps {
		for i, connections := range stateConnections {
			l, err := hammer(ctx, r.limit.server, connections, p.window, same(r.request), r.body)
			if err != nil {
				return fmt.Errorf("ask limit: %w", err)
			}
			r.limits[i] = append(r.limits[i], l)
			end := r.bench.profile(r.node, fmt.Sprintf("state-%d", connections), p.window)
			l, err = hammer(ctx, r.node.server, connections, p.window, same(r.request), r.body)
			if err := end(err); err != nil {
				return err
			}
			r.nodes[i] = append(r.nodes[i], l)
		}
		memory, err := r.node.memory()
		if err != nil {
			return err
		}
		r.memory = append(r.memory, memory)
		l, err := hammer(ctx, r.hashing.server, p.hashers, p.hashWindow, r.strangers, nil)
		if err != nil {
			return fmt.Errorf("ask at a hash per request: %w", err)
		}
		r.hashes = append(r.hashes, l)
		if memory, err = r.hashing.memory(); err != nil {
			return err
		}
		r.hashMemory = append(r.hashMemory, memory)
	}
	if asked := int(r.next.Load()); asked > r.bench.plan.copies {
		return fmt.Errorf("%d strangers asked, there are %d: the last ones were cached", asked, r.bench.plan.copies)
	}
	return nil
}

// strangers ask for the state of their own application, each once.
func (r *stateRun) strangers(int) func() []byte {
	return func() []byte {
		i := int(r.next.Add(1)-1) % r.bench.plan.copies // one too many is told when all are done
		return get(r.bench.stranger(i), statePath(r.bench.copied(i)))
	}
}

// stranger is a user whose credentials no node has verified yet.
func (b *bench) stranger(i int) user { return user{storetest.UserName(i), b.ci.password} }

func (r *stateRun) report() {
	t := r.bench.table
	for i, connections := range stateConnections {
		what := fmt.Sprintf("state GET, connections: %d", connections)
		node, limit := r.nodes[i], r.limits[i]
		ratio := 100 * node.over(limit, load.rate)
		detail := fmt.Sprintf("%.0f/s of %.0f/s; p50 %s, p99 %s, limit p50 %s, p99 %s", node.rate(), limit.rate(),
			brief(node.percentile(50)), brief(node.percentile(99)), brief(limit.percentile(50)), brief(limit.percentile(99)))
		if connections < 50 {
			t.note(what, fmt.Sprintf("%.0f %% of limit", ratio), detail)
			continue
		}
		t.atLeast(what, "%.0f %% of limit", ratio, 40, detail)
		t.under(what+", p99", node.percentile(99), 20e6, "limit "+brief(limit.percentile(99)))
		t.atLeast(what+", against a hash per request", "%.0f x", node.over(r.hashes, load.rate), 500,
			fmt.Sprintf("%.1f/s at a hash per request over %d connections", r.hashes.rate(), r.bench.plan.hashers))
	}
	t.less("state GET, memory of the node", "%.0f MB", megabytes(median(r.memory)), 150, fmt.Sprintf("after 50 connections; at a hash per request %.0f MB", megabytes(median(r.hashMemory))))
}
