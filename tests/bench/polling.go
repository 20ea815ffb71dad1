package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/google/pprof/profile"
)

const (
	// agents is how many agents of a CI server are waited for at once, each asked
	// for once in pollPause (contract 26).
	agents    = 300
	pollPause = 5 * time.Second
)

// measurePolling measures what agents cost that are only waited for, and how
// much of it the log takes. The share is told by a profile under the same
// requests as fast as they are answered: at their own pace a minute has not
// half of a second to look into.
func (b *bench) measurePolling(ctx context.Context) error {
	return b.with(ctx, func(n *node) error {
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
		busy, err := b.poll(ctx, n, request)
		if err != nil {
			return err
		}
		b.table.note(fmt.Sprintf("%d agents polled every %s: CPU, the log included", agents, brief(pollPause)),
			fmt.Sprintf("%.1f %%", busy), fmt.Sprintf("of one core, over %s", brief(b.plan.pollTime)))
		return b.logShare(ctx, n, request)
	})
}

// poll asks at the agents' own pace, and returns the percentage of one core that
// the node took.
func (b *bench) poll(ctx context.Context, n *node, request []byte) (busy float64, err error) {
	conns := make([]*conn, agents)
	for i := range conns {
		if conns[i], err = n.dial(ctx); err != nil {
			return 0, err
		}
		defer conns[i].close()
	}
	if err := pause(ctx, b.plan.settle); err != nil { // handshakes and the hash are no polling
		return 0, err
	}
	before, err := n.cpu()
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	errs := make([]error, agents)
	var wg sync.WaitGroup
	for i, c := range conns {
		wg.Go(func() {
			due := begin.Add(pollPause * time.Duration(i) / agents)
			for end := begin.Add(b.plan.pollTime); due.Before(end) && errs[i] == nil; due = due.Add(pollPause) {
				if errs[i] = pause(ctx, time.Until(due)); errs[i] == nil {
					_, errs[i] = c.expect(request)
				}
			}
		})
	}
	wg.Wait()
	after, err := n.cpu()
	return 100 * (after - before).Seconds() / time.Since(begin).Seconds(), errors.Join(append(errs, err)...)
}

// logShare measures the part of the node's CPU that its log takes.
func (b *bench) logShare(ctx context.Context, n *node, request []byte) error {
	taken := make(chan error, 1)
	var p *profile.Profile
	go func() {
		var err error
		p, err = n.cpuProfile(b.adminPassword, b.plan.logTime)
		taken <- err
	}()
	l, err := hammer(ctx, n.server, agents, b.plan.logTime, same(request), nil)
	if err := errors.Join(err, <-taken); err != nil {
		return err
	}
	if b.profiles != "" {
		if err := b.store("polling", p); err != nil {
			return err
		}
	}
	log, all := logSamples(p)
	if all == 0 {
		return errors.New("the profile has no samples")
	}
	b.table.less(fmt.Sprintf("%d agents polled: share of the log", agents), "%.2f %%", 100*float64(log)/float64(all), 2,
		fmt.Sprintf("%d of %d samples of the node's CPU, at %.0f requests/s", log, all, l.rate()))
	return nil
}

// logSamples counts the samples of a CPU profile that were taken in the log, and
// all.
func logSamples(p *profile.Profile) (log, all int64) {
	for _, s := range p.Sample {
		all += s.Value[0]
		if inLog(s) {
			log += s.Value[0]
		}
	}
	return log, all
}

// inLog reports whether the log is at work, and not only passed on the way to
// the handlers or to the connection.
func inLog(s *profile.Sample) bool {
	within := "" // the function that the one looked at has called
	for _, location := range s.Location {
		for _, line := range location.Line {
			name := line.Function.Name
			_, own, ok := strings.Cut(name, "/lib/logging.")
			passed := strings.HasPrefix(own, "(*recorder).") || strings.Contains(own, "(*AccessLog).Wrap")
			if ok && (!passed || within == "" || strings.HasPrefix(within, "time.") || strings.HasPrefix(within, "runtime.")) {
				return true
			}
			within = name
		}
	}
	return false
}
