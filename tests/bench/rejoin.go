package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/store/storetest"
)

// measureRejoin measures a node that finds another one after a long time, in
// which that one wrote much: how long it takes to have it all, and what it is
// worth to its own clients meanwhile.
//
// The two have the same CA. The far one has copies of a life that a node lived,
// as storetest makes them. The near one works alone, as on its side of a cut,
// and then the far one comes.
func (b *bench) measureRejoin(ctx context.Context) error {
	addresses, err := freeAddresses(2)
	if err != nil {
		return err
	}
	admin := user{name: "admin"}
	var sides [2]installation
	for number := range sides {
		if sides[number], err = b.side(number, addresses); err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(sides[number].dir) }() // the run's folder goes as a whole
		if number == 0 {
			if admin.password, _, err = b.firstLife(ctx, sides[0]); err != nil {
				return err
			}
		}
	}
	begin := time.Now()
	copied, err := b.writeMuch(ctx, sides[0])
	if err != nil {
		return err
	}
	b.say("rejoin: made in %s", brief(time.Since(begin)))
	near, err := sides[1].start(ctx)
	if err != nil {
		return err
	}
	r := rejoinRun{bench: b, near: near, far: sides[0]}
	err = r.run(ctx)
	if err == nil {
		err = r.has(ctx, admin, copied)
	}
	if err == nil {
		r.report()
	}
	_, stopErr := near.stop()
	return errors.Join(err, stopErr)
}

// side prepares the far node, 0, which makes a CA, or the near one, which has
// that CA and joins it. The far one is no copy of another: its rows would be
// those of a life before.
func (b *bench) side(number int, addresses []string) (installation, error) {
	i := b.place()
	if number > 0 {
		return i, b.newcomer(i, filepath.Join(filepath.Dir(i.dir), fmt.Sprintf("node-%d", b.nodes-1)), number, addresses)
	}
	if err := i.install(); err != nil {
		return i, err
	}
	return i, i.writeMember(0, addresses)
}

// rowsOfLife is how many rows a life leaves at least: the application and its
// states, NEW, ELECTED, ALLOCATED, DEALLOCATE and DEALLOCATED.
const rowsOfLife = 6

// writeMuch gives the installation the lives that make the rows, and returns
// the UIDs of their applications.
func (b *bench) writeMuch(ctx context.Context, i installation) (uid func(int) string, err error) {
	file, err := i.database()
	if err != nil {
		return nil, err
	}
	return storetest.Fill(ctx, file, storetest.Copies{User: b.ci.name, Applications: b.missedLives()})
}

func (b *bench) missedLives() int { return b.plan.missed/rowsOfLife + 1 }

// rejoinRun is the measurement.
type rejoinRun struct {
	bench *bench
	near  *node
	far   installation

	label         string
	own           user // of the near one, before and after
	missed        uint64
	took          time.Duration
	before, while load
}

func (r *rejoinRun) run(ctx context.Context) error {
	c, err := r.near.dial(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	if err := r.alone(ctx, c); err != nil {
		return err
	}
	if r.before, err = r.live(ctx, func(ctx context.Context) error { return pause(ctx, r.bench.plan.ownBefore) }); err != nil {
		return fmt.Errorf("live alone: %w", err)
	}
	far, err := r.far.start(ctx)
	if err != nil {
		return err
	}
	r.while, err = r.live(ctx, r.catchUp)
	_, stopErr := far.stop()
	return errors.Join(err, stopErr)
}

// has checks that the near one knows the lives by itself: the far one does not
// run any more, so that nobody else can be asked.
func (r *rejoinRun) has(ctx context.Context, admin user, copied func(int) string) error {
	c, err := r.near.dial(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	last := r.bench.missedLives() - 1
	for _, i := range []int{0, last / 2, last} {
		if _, err := c.expect(get(admin, statePath(copied(i)))); err != nil {
			return fmt.Errorf("life %d did not come: %w", i, err)
		}
	}
	return nil
}

// alone waits until the near one works alone, and makes the user and the label
// of its own lives: nobody else may run them.
func (r *rejoinRun) alone(ctx context.Context, c *conn) error {
	err := until(ctx, "the node works alone", crowdPause, func() (bool, error) {
		a, err := c.do(get(user{}, "/readyz"))
		return a.status == 200 && after(r.near.output.text(), "Admin user pass: ") != "", err
	})
	if err != nil {
		return err
	}
	admin := user{"admin", after(r.near.output.text(), "Admin user pass: ")}
	r.own = user{"own", r.bench.ci.password}
	body := fmt.Sprintf(`{"name":%q,"password":%q}`, r.own.name, r.own.password)
	if _, err := c.expect(post(admin, "/api/v1/user/", body)); err != nil {
		return err
	}
	r.label, err = c.create(admin, "/api/v1/label/", `{"name":"own","version":1,"definitions":[{"driver":"test","options":{},`+
		`"resources":{"cpu":1,"ram":1,"lifetime":"1h","node_filter":["FishName:bench-1"]}}]}`)
	return err
}

// live lives one life after the other until what goes on meanwhile is over.
func (r *rejoinRun) live(ctx context.Context, meanwhile func(context.Context) error) (load, error) {
	var l load
	c, err := r.near.dial(ctx)
	if err != nil {
		return l, err
	}
	defer c.close()
	over := make(chan error, 1)
	begin := time.Now()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { over <- meanwhile(ctx) }()
	for {
		one := time.Now()
		if err := (life{c, r.own, r.label, eagerPause}).live(ctx); err != nil {
			cancel()
			return l, errors.Join(fmt.Errorf("an own life failed: %w", err), <-over)
		}
		l.latencies = append(l.latencies, time.Since(one))
		l.took = time.Since(begin)
		select {
		case err := <-over:
			return l, err
		case <-time.After(r.bench.plan.ownPause):
		}
	}
}

// catchUp waits until the near one has all that the far one wrote, and measures
// from the moment at which it knows of it.
func (r *rejoinRun) catchUp(ctx context.Context) error {
	client, done := r.near.client()
	defer done()
	var begin time.Time
	for {
		members, err := r.near.members(ctx, client, r.own)
		if err != nil {
			return err
		}
		for _, m := range members {
			switch {
			case m.Name != "bench" || m.State != "active":
			case begin.IsZero():
				begin, r.missed = time.Now(), m.Lag // some may have come already
			case m.Lag == 0:
				r.took = time.Since(begin)
				return nil
			}
		}
		if err := pause(ctx, crowdPause); err != nil {
			return err
		}
	}
}

func (r *rejoinRun) report() {
	t, what := r.bench.table, fmt.Sprintf("rejoin after %d missed rows", r.bench.plan.missed)
	t.under(what, r.took, 5*time.Minute, fmt.Sprintf("%.0f rows/s, %d when it was first seen", float64(r.missed)/r.took.Seconds(), r.missed))
	t.note(what+": own lives meanwhile, p99", brief(percentile(r.while.latencies, 99)),
		fmt.Sprintf("%d lives, none failed, %.1f/s, p50 %s; before: p50 %s, p99 %s", len(r.while.latencies), r.while.rate(),
			brief(percentile(r.while.latencies, 50)), brief(percentile(r.before.latencies, 50)), brief(percentile(r.before.latencies, 99))))
}
