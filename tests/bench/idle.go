package main

import (
	"context"
	"fmt"
	"os"
	"time"
)

// measureIdle measures what a node costs that nobody uses, and how quickly it
// comes and goes.
func (b *bench) measureIdle(ctx context.Context) error {
	n, err := b.startCopy(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(n.dir) }() // the run's folder goes as a whole
	started, stopped := []time.Duration{n.started}, []time.Duration{}
	for range b.plan.reps {
		took, err := n.stop()
		if err != nil {
			return err
		}
		stopped = append(stopped, took)
		if n, err = n.start(ctx); err != nil {
			return err
		}
		started = append(started, n.started)
	}
	b.table.under(`start to "Fish initialized", not the first one`, median(started), 300*time.Millisecond, "")
	if err := b.idle(ctx, n); err != nil {
		return err
	}
	took, err := n.stop()
	if err != nil {
		return err
	}
	b.table.under("idle: SIGTERM to exit", median(append(stopped, took)), 200*time.Millisecond, "")
	return nil
}

// idle measures a node that was used, and then left alone with a connection
// open.
func (b *bench) idle(ctx context.Context, n *node) error {
	c, err := n.dial(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	if err := (life{c, b.ci, b.label, eagerPause}).live(ctx); err != nil {
		return err
	}
	if err := pause(ctx, b.plan.settle); err != nil {
		return err
	}
	before, err := cpuOf(n.process)
	if err != nil {
		return err
	}
	begin := time.Now()
	if err := pause(ctx, b.plan.idle); err != nil {
		return err
	}
	after, err := cpuOf(n.process)
	if err != nil {
		return err
	}
	memory, err := n.memory()
	if err != nil {
		return err
	}
	took := time.Since(begin)
	b.table.less("idle: memory", "%.0f MB", megabytes(memory), 64, "after one hash and one life")
	b.table.less("idle: CPU", "%.2f %%", 100*(after-before).Seconds()/took.Seconds(), 0.5, fmt.Sprintf("over %s", brief(took)))
	return nil
}
