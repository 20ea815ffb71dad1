package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// head is how long the guesser is alone: all his limits are reached then.
	headStart = time.Second
	// rightPause is between two requests of one client with right credentials.
	rightPause = 200 * time.Millisecond
	// mostAtOnce is how many guesses are sent in one go.
	mostAtOnce = 50
	// dialers make the guesser's first connections.
	dialers = 8
)

// measureGuesses measures what clients with right credentials get just after
// the start of a node while somebody guesses their password, from the same
// address.
func (b *bench) measureGuesses(ctx context.Context) error {
	var runs []guessRun
	for range b.plan.reps {
		err := b.with(ctx, func(n *node) error {
			r := guessRun{bench: b, node: n}
			err := r.run(ctx)
			runs = append(runs, r)
			return err
		})
		if err != nil {
			return err
		}
	}
	what := fmt.Sprintf("%d clients just after start, under %d wrong guesses/s", b.plan.rightClients, b.plan.guessRate)
	refused := medianOf(runs, func(r guessRun) int { return r.refused })
	b.table.less(what+": 429 or 503", "%.0f", float64(refused), 1,
		fmt.Sprintf("%.0f guesses/s came, most were answered 429; slowest first answer %s",
			medianOf(runs, func(r guessRun) float64 { return r.guessed }),
			brief(medianOf(runs, func(r guessRun) time.Duration { return slices.Max(r.first) }))))
	b.table.under(what+": p99 once cached", medianOf(runs, func(r guessRun) time.Duration { return percentile(r.cached, 99) }),
		50*time.Millisecond, fmt.Sprintf("p50 %s, %.0f requests/s",
			brief(medianOf(runs, func(r guessRun) time.Duration { return percentile(r.cached, 50) })),
			float64(b.plan.rightClients)/rightPause.Seconds()))
	return nil
}

// guessRun is one repetition.
type guessRun struct {
	bench *bench
	node  *node

	guessed float64         // per second
	refused int             // 429 and 503 that the right ones got
	first   []time.Duration // until the first 200 of each client
	cached  []time.Duration // of the requests after it
}

func (r *guessRun) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g := &guesser{node: r.node, name: r.bench.ci.name, idle: make(chan *conn, r.bench.plan.guessRate)}
	if err := g.connect(ctx); err != nil {
		return err
	}
	done := make(chan error, 1)
	begin := time.Now()
	go func() { done <- g.run(ctx, r.bench.plan.guessRate) }()
	end := r.bench.profile(r.node, "guesses", headStart+r.bench.plan.guessWindow)
	err := pause(ctx, headStart)
	if err == nil {
		err = r.clients(ctx)
	}
	err = end(err)
	r.guessed = float64(g.sent.Load()) / time.Since(begin).Seconds()
	cancel()
	return errors.Join(err, <-done)
}

// clients work all at once.
func (r *guessRun) clients(ctx context.Context) error {
	all := make([]rightClient, r.bench.plan.rightClients)
	errs := make([]error, len(all))
	var wg, in sync.WaitGroup
	in.Add(len(all))
	for i := range all {
		wg.Go(func() { errs[i] = all[i].work(ctx, r, i, &in) })
	}
	wg.Wait()
	for _, c := range all {
		r.refused += c.refused
		r.first = append(r.first, c.first)
		r.cached = append(r.cached, c.cached...)
	}
	return errors.Join(errs...)
}

// rightClient has the right credentials.
type rightClient struct {
	refused int
	first   time.Duration
	cached  []time.Duration
}

// work logs in, waits until all are in, and then asks at a steady pace, no
// matter how long the answers take: a request that has to wait for the one
// before it waits visibly.
func (c *rightClient) work(ctx context.Context, r *guessRun, i int, in *sync.WaitGroup) error {
	begin := time.Now()
	request := get(r.bench.ci, "/api/v1/user/me/")
	conn, err := r.node.dial(ctx)
	if err == nil {
		defer conn.close()
		err = c.logIn(ctx, conn, request)
	}
	c.first = time.Since(begin)
	in.Done()
	if err != nil {
		return err
	}
	in.Wait()
	due := time.Now().Add(rightPause * time.Duration(i) / time.Duration(r.bench.plan.rightClients))
	for end := due.Add(r.bench.plan.guessWindow); due.Before(end); due = due.Add(rightPause) {
		if err := pause(ctx, time.Until(due)); err != nil {
			return err
		}
		a, err := conn.do(request)
		if err != nil {
			return err
		}
		c.cached = append(c.cached, time.Since(due))
		if a.status != 200 {
			c.refused++
		}
	}
	return nil
}

// logIn asks until it is let in.
func (c *rightClient) logIn(ctx context.Context, conn *conn, request []byte) error {
	for begin := time.Now(); time.Since(begin) < patience; {
		a, err := conn.do(request)
		if err != nil || a.status == 200 {
			return err
		}
		c.refused++
		if a.status != 429 && a.status != 503 {
			return fmt.Errorf("right credentials got %d %.300s", a.status, a.body)
		}
		if err := pause(ctx, time.Second); err != nil {
			return err
		}
	}
	return errors.New("right credentials were never let in")
}

// guesser guesses a user's password, never the same twice.
type guesser struct {
	node *node
	name string
	// idle has room for the guesses of a second: twice what comes together while
	// each waits for half a second. What has no connection is not sent.
	idle chan *conn
	sent atomic.Int64
}

// connect makes all connections, so that guesses need no handshakes, which
// would be another attack.
func (g *guesser) connect(ctx context.Context) error {
	var wg sync.WaitGroup
	errs := make([]error, dialers)
	for i := range dialers {
		wg.Go(func() {
			for n := i; n < cap(g.idle) && errs[i] == nil; n += dialers {
				var c *conn
				if c, errs[i] = g.node.dial(ctx); errs[i] == nil {
					g.idle <- c
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// run guesses at a steady rate until ctx ends. What it could not send in time
// it leaves out: a crowd that comes late would be another attack.
func (g *guesser) run(ctx context.Context, rate int) error {
	var wg sync.WaitGroup
	errs := make(chan error, 1)
	begin := time.Now()
	for n := 0; ctx.Err() == nil; {
		due := int(time.Since(begin).Seconds() * float64(rate))
		for n = max(n, due-mostAtOnce); n < due; n++ {
			var c *conn
			select {
			case c = <-g.idle:
			default:
				continue
			}
			g.sent.Add(1)
			guess := get(user{g.name, fmt.Sprintf("guess-%d", n)}, "/api/v1/user/me/")
			wg.Go(func() {
				if err := g.guess(ctx, c, guess); err != nil && ctx.Err() == nil {
					select {
					case errs <- err:
					default: // the first one is enough
					}
				}
			})
		}
		_ = pause(ctx, time.Millisecond)
	}
	wg.Wait()
	close(g.idle)
	for c := range g.idle {
		c.close()
	}
	select {
	case err := <-errs:
		return fmt.Errorf("guess: %w", err)
	default:
		return nil
	}
}

// guess sends one guess and gives the connection back.
func (g *guesser) guess(ctx context.Context, c *conn, request []byte) error {
	stop := context.AfterFunc(ctx, c.close) // nobody waits for the last answers
	defer stop()
	a, err := c.do(request)
	switch {
	case err != nil:
		c.close()
		return err
	case a.status == 200:
		return errors.New("a wrong password was let in")
	}
	g.idle <- c
	return nil
}
