package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"
)

// dockerAtOnce is how many environments two cores have to bear at once.
const dockerAtOnce = 20

// dockerConfig gives out more than the machine has: the containers wait and
// compute nothing.
const dockerConfig = `node_name: bench
api_address: 127.0.0.1:0
proxy_socks_address: 127.0.0.1:0
proxy_ssh_address: 127.0.0.1:0
cpu_limit: %d
mem_target: %sB
drivers:
  - name: docker
    cfg: {docker_host: %q, cpu_alter: 64, ram_alter: 512, workspace_path: %q, images_path: %q}
`

// engine is a Docker engine of the run's own, which holds the image guest:1: its
// process waits, and obeys SIGTERM.
type engine interface {
	Host() string
	Docker(args ...string) (string, error)
	Close() error
}

// measureDocker measures what a node adds to what its engine takes, turn by turn
// with the engine's own client.
func (b *bench) measureDocker(ctx context.Context) (err error) {
	e, missing, err := runEngine()
	if err != nil {
		return err
	}
	if missing != "" {
		b.table.note("docker", "not measured", missing)
		return nil
	}
	defer func() {
		if closeErr := e.Close(); err == nil {
			err = closeErr
		}
	}()
	i, err := b.template.copyTo(filepath.Join(b.dir, "docker"))
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(i.dir) }() // with the run's folder at the latest
	workspace, images := filepath.Join(i.dir, "workspace"), filepath.Join(i.dir, "images")
	if err := i.write(fmt.Sprintf(dockerConfig, nodeCores, nodeMemory, e.Host(), workspace, images)); err != nil {
		return err
	}
	n, err := i.start(ctx)
	if err != nil {
		return err
	}
	r := dockerRun{bench: b, node: n, engine: e}
	err = r.measure(ctx)
	if _, stopErr := n.stop(); err == nil {
		err = stopErr
	}
	return err
}

// dockerRun is the measurement.
type dockerRun struct {
	bench  *bench
	node   *node
	engine engine
	life   life

	ours, theirs, gone []time.Duration
}

func (r *dockerRun) measure(ctx context.Context) error {
	c, err := r.node.dial(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	label, err := c.create(user{"admin", r.bench.adminPassword}, "/api/v1/label/", `{"name":"docker","version":1,"definitions":[`+
		`{"driver":"docker","options":{"images":[{"name":"guest","version":"1"}]},"resources":{"cpu":1,"ram":1,"lifetime":"1h"}}]}`)
	if err != nil {
		return err
	}
	r.life = life{c, r.bench.ci, label, eagerPause}
	// A node at work has other environments: the network that all share stays.
	begin := time.Now()
	first, err := r.life.create(ctx)
	if err != nil {
		return err
	}
	r.bench.table.note("docker: create -> ALLOCATED, the first of all, which makes the network", brief(time.Since(begin)), "")
	for turn := range r.bench.plan.dockerTurns {
		if err := r.turn(ctx, turn); err != nil {
			return err
		}
	}
	r.report()
	if err := r.together(ctx); err != nil {
		return err
	}
	return r.release(ctx, r.life, first)
}

// turn measures one environment and one container, in this order or the other.
func (r *dockerRun) turn(ctx context.Context, turn int) error {
	if turn%2 == 0 {
		if err := r.ourTurn(ctx); err != nil {
			return err
		}
		return r.theirTurn()
	}
	if err := r.theirTurn(); err != nil {
		return err
	}
	return r.ourTurn(ctx)
}

func (r *dockerRun) ourTurn(ctx context.Context) error {
	begin := time.Now()
	uid, err := r.life.create(ctx)
	if err != nil {
		return err
	}
	r.ours = append(r.ours, time.Since(begin))
	begin = time.Now()
	if err := r.release(ctx, r.life, uid); err != nil {
		return err
	}
	r.gone = append(r.gone, time.Since(begin))
	return nil
}

func (r *dockerRun) theirTurn() error {
	begin := time.Now()
	id, err := r.engine.Docker("run", "-d", "guest:1")
	if err != nil {
		return err
	}
	r.theirs = append(r.theirs, time.Since(begin))
	_, err = r.engine.Docker("rm", "-f", id)
	return err
}

// release returns when the driver has made sure that the container is gone.
func (r *dockerRun) release(ctx context.Context, l life, uid string) error {
	if _, err := l.conn.expect(get(l.user, deallocatePath(uid))); err != nil {
		return err
	}
	return l.await(ctx, uid, "DEALLOCATED")
}

func (r *dockerRun) report() {
	t := r.bench.table
	ours, theirs := median(r.ours), median(r.theirs)
	t.less("docker: create -> ALLOCATED, p50, against `docker run -d`", "%.2f x", ours.Seconds()/theirs.Seconds(), 1.3,
		fmt.Sprintf("%s against %s, medians of %d turns on %d cores", brief(ours), brief(theirs), len(r.ours), runtime.NumCPU()))
	t.under("docker: gone after a stop that the process obeys, p99", percentile(r.gone, 99), time.Second, "p50 "+brief(median(r.gone)))
}

// together makes many environments at once, and ends them at once.
func (r *dockerRun) together(ctx context.Context) error {
	lives := make([]life, dockerAtOnce)
	uids := make([]string, dockerAtOnce)
	errs := make([]error, dockerAtOnce)
	each := func(f func(i int)) time.Duration {
		begin := time.Now()
		var wg sync.WaitGroup
		for i := range dockerAtOnce {
			wg.Go(func() { f(i) })
		}
		wg.Wait()
		return time.Since(begin)
	}
	for i := range lives {
		c, err := r.node.dial(ctx)
		if err != nil {
			return err
		}
		defer c.close()
		lives[i] = life{c, r.bench.ci, r.life.label, crowdPause}
	}
	made := each(func(i int) { uids[i], errs[i] = lives[i].create(ctx) })
	well := 0
	var failed error
	for _, err := range errs {
		if err == nil {
			well++
		} else {
			failed = err
		}
	}
	gone := each(func(i int) {
		if errs[i] == nil {
			errs[i] = r.release(ctx, lives[i], uids[i])
		}
	})
	detail := fmt.Sprintf("all ALLOCATED after %s, all gone %s after they were given up", brief(made), brief(gone))
	if failed != nil {
		detail += fmt.Sprintf(", an error: %v", failed)
	}
	r.bench.table.atLeast(fmt.Sprintf("docker: %d environments at once without an error", dockerAtOnce), "%.0f", float64(well), dockerAtOnce, detail)
	return nil
}
