package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/store/storetest"
)

// historyConnections ask at once: enough to keep both cores busy.
const historyConnections = 8

// measureHistory compares a node that has finished many applications with one
// that has finished few, and copies its database.
func (b *bench) measureHistory(ctx context.Context) error {
	begin := time.Now()
	old, copied, err := b.grow(ctx, "old", storetest.Copies{User: b.ci.name, Applications: b.plan.history})
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(old.dir) }() // the run's folder goes as a whole
	b.say("history: made in %s", brief(time.Since(begin)))
	if err := b.measureServing(ctx, old); err != nil {
		return err
	}
	n, err := old.start(ctx)
	if err != nil {
		return err
	}
	err = b.with(ctx, func(empty *node) error {
		r := historyRun{bench: b, few: side{node: empty, uid: b.copied, count: b.plan.copies}, many: side{node: n, uid: copied, count: b.plan.history}}
		if err := r.run(ctx); err != nil {
			return err
		}
		r.report()
		return nil
	})
	if err == nil {
		err = b.measureBackup(ctx, n)
	}
	_, stopErr := n.stop()
	return errors.Join(err, stopErr)
}

// measureServing measures from exec to the first answer.
func (b *bench) measureServing(ctx context.Context, i installation) error {
	var all []time.Duration
	for range b.plan.reps {
		begin := time.Now()
		n, err := i.start(ctx)
		if err != nil {
			return err
		}
		err = n.challenge(ctx)
		all = append(all, time.Since(begin))
		_, stopErr := n.stop()
		if err := errors.Join(err, stopErr); err != nil {
			return err
		}
	}
	b.table.under(b.historyName()+": start to the first answer", median(all), time.Second, "")
	return nil
}

// challenge asks without credentials: the quickest answer that a node that
// serves has.
func (n *node) challenge(ctx context.Context) error {
	c, err := n.dial(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	a, err := c.do(get(user{}, "/api/v1/user/me/"))
	if err == nil && a.status != 401 {
		err = fmt.Errorf("without credentials: got %d %.300s, want 401", a.status, a.body)
	}
	return err
}

func (b *bench) historyName() string { return fmt.Sprintf("%d finished applications", b.plan.history) }

// historyRun compares the nodes.
type historyRun struct {
	bench     *bench
	few, many side
}

// side is a node and what was measured there.
type side struct {
	node  *node
	uid   func(int) string // of its finished applications
	count int

	active, finished, allocated series
}

func (r *historyRun) run(ctx context.Context) error {
	for range r.bench.plan.reps {
		for _, s := range []*side{&r.few, &r.many} {
			if err := s.measure(ctx, r.bench); err != nil {
				return err
			}
		}
	}
	return nil
}

// measure is one turn.
func (s *side) measure(ctx context.Context, b *bench) error {
	c, err := s.node.dial(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	uid, err := life{c, b.ci, b.label, eagerPause}.create(ctx)
	if err != nil {
		return err
	}
	l, err := hammer(ctx, s.node.server, historyConnections, b.plan.historyTime, same(get(b.ci, statePath(uid))), nil)
	if err != nil {
		return err
	}
	s.active = append(s.active, l)
	end := b.profile(s.node, fmt.Sprintf("finished-of-%d", s.count), b.plan.historyTime)
	l, err = hammer(ctx, s.node.server, historyConnections, b.plan.historyTime, s.anyFinished(b), nil)
	if err := end(err); err != nil {
		return err
	}
	s.finished = append(s.finished, l)
	if l, err = b.paced(ctx, s.node, b.plan.historyTime); err != nil {
		return err
	}
	s.allocated = append(s.allocated, l)
	return nil
}

// anyFinished asks for finished applications of all ages, which the admin may.
func (s *side) anyFinished(b *bench) source {
	admin := user{"admin", b.adminPassword}
	return func(connection int) func() []byte {
		random := rand.New(rand.NewPCG(uint64(connection), 1)) //nolint:gosec // load, no secret
		return func() []byte { return get(admin, statePath(s.uid(random.IntN(s.count)))) }
	}
}

func (r *historyRun) report() {
	for _, row := range []struct {
		what      string
		few, many series
	}{
		{"state GET of an active one", r.few.active, r.many.active},
		{"state GET of any finished one", r.few.finished, r.many.finished},
		{"create -> ALLOCATED", r.few.allocated, r.many.allocated},
	} {
		r.bench.table.less(r.bench.historyName()+": "+row.what+", p50", "%.2f x", row.many.over(row.few, p50), 1.5,
			fmt.Sprintf("%s, with %d: %s; p99 %s, with %d: %s", brief(row.many.percentile(50)), r.few.count, brief(row.few.percentile(50)),
				brief(row.many.percentile(99)), r.few.count, brief(row.few.percentile(99))))
	}
}
