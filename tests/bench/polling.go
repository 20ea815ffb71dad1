package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/google/pprof/profile"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

const (
	// agents is how many agents of a CI server are waited for at once, each asked
	// for once in pollPause (contract 26).
	agents    = 300
	pollPause = 5 * time.Second
)

// measurePolling measures what the log of agents costs that are only waited
// for. At their own pace the node is compared with one that has no access log;
// its share of a node's work is told by a profile under the same requests as
// fast as they are answered, as their own pace is too slow to look into.
func (b *bench) measurePolling(ctx context.Context) error {
	silent, err := b.buildSilent(ctx)
	if err != nil {
		return err
	}
	var logging, without []float64
	for range b.plan.reps {
		for _, side := range []struct {
			binary string
			busy   *[]float64
		}{{b.template.binary, &logging}, {silent, &without}} {
			err := b.withBinary(ctx, side.binary, func(n *node) error {
				busy, err := b.poll(ctx, n)
				*side.busy = append(*side.busy, busy)
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	what := fmt.Sprintf("%d agents polled every %s: CPU of the log", agents, brief(pollPause))
	b.table.less(what, "%.2f %%", max(0, median(logging)-median(without)), 2,
		fmt.Sprintf("of one core; all that the node takes %.2f %%, without its log %.2f %%", median(logging), median(without)))
	return b.with(ctx, func(n *node) error { return b.logShare(ctx, n) })
}

// buildSilent builds the node with an access log that does nothing: the product
// needs no switch for it.
func (b *bench) buildSilent(ctx context.Context) (binary string, err error) {
	const function = "func (a *AccessLog) Wrap(next http.Handler) http.Handler {"
	root, err := fish.ModuleRoot()
	if err != nil {
		return "", err
	}
	source := filepath.Join(root, "lib", "logging", "access.go")
	text, err := os.ReadFile(source)
	if err != nil {
		return "", fmt.Errorf("read source of the access log: %w", err)
	}
	before, after, found := strings.Cut(string(text), function)
	if !found {
		return "", fmt.Errorf("%s has no %q", source, function)
	}
	replacement, overlay := filepath.Join(b.dir, "access.go"), filepath.Join(b.dir, "overlay.json")
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {source: replacement}})
	if err == nil {
		err = os.WriteFile(replacement, []byte(before+function+" if true { return next };"+after), 0o600)
	}
	if err == nil {
		err = os.WriteFile(overlay, replace, 0o600)
	}
	if err != nil {
		return "", fmt.Errorf("write source without the access log: %w", err)
	}
	b.say("building the node without its access log")
	binary = filepath.Join(b.dir, "silent-"+filepath.Base(b.template.binary))
	return binary, fish.BuildWith(ctx, binary, "-overlay", overlay)
}

// waitedFor makes an environment, and is the request of who waits for it.
func (b *bench) waitedFor(ctx context.Context, n *node) ([]byte, error) {
	c, err := n.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer c.close()
	uid, err := life{c, b.ci, b.label, eagerPause}.create(ctx)
	return get(b.ci, statePath(uid)), err
}

// poll asks at the agents' own pace, and returns the percentage of one core that
// the node took.
func (b *bench) poll(ctx context.Context, n *node) (busy float64, err error) {
	request, err := b.waitedFor(ctx, n)
	if err != nil {
		return 0, err
	}
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
	before, err := cpuOf(n.process)
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
	after, err := cpuOf(n.process)
	return 100 * (after - before).Seconds() / time.Since(begin).Seconds(), errors.Join(append(errs, err)...)
}

// logShare measures the part of the node's CPU that its log takes.
func (b *bench) logShare(ctx context.Context, n *node) error {
	request, err := b.waitedFor(ctx, n)
	if err != nil {
		return err
	}
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
	b.table.note(fmt.Sprintf("%d agents polled without a pause: share of the log", agents), fmt.Sprintf("%.1f %%", 100*float64(log)/float64(all)),
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
