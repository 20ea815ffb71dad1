package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"

	"github.com/shirou/gopsutil/v4/cpu"
	gopsload "github.com/shirou/gopsutil/v4/load"

	"github.com/aquarium-fish/aquarium-fish/lib/store/storetest"
	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// options say what to measure.
type options struct {
	plan     plan
	only     *regexp.Regexp
	profiles string // folder; "" = none
	progress io.Writer
}

// bench is one run.
type bench struct {
	options

	dir        string
	workspaces string       // folder in memory, where the system has one
	seed       installation // has run once: a user, a label, one finished application
	template   installation // the same with copies of user and application
	ci         user         // no admin, owns what is measured

	adminPassword string
	label         string
	copied        func(i int) string // UIDs of the copied applications
	table         *table
	nodes         int
}

// part is a group of rows that are measured together.
type part struct {
	name string
	run  func(b *bench, ctx context.Context) error
}

func parts() []part {
	return []part{
		{"state", (*bench).measureState}, {"burst", (*bench).measureBurst}, {"guesses", (*bench).measureGuesses},
		{"latency", (*bench).measureLatency}, {"lives", (*bench).measureLives}, {"history", (*bench).measureHistory},
		{"idle", (*bench).measureIdle}, {"polling", (*bench).measurePolling}, {"labels", (*bench).measureLabels},
		{"cluster", (*bench).measureCluster}, {"rejoin", (*bench).measureRejoin},
		{"socks", (*bench).measureSOCKS},
		{"ssh", (*bench).measureSSH}, {"link", (*bench).measureLink},
		{"docker", (*bench).measureDocker},
	}
}

func partNames() string {
	var names []string
	for _, p := range parts() {
		names = append(names, p.name)
	}
	return strings.Join(names, ", ")
}

// newBench builds the binary and a node to copy. close removes both.
func newBench(ctx context.Context, o options) (*bench, error) {
	dir, err := os.MkdirTemp(temporary(), "fish-bench-*")
	if err != nil {
		return nil, fmt.Errorf("make folder: %w", err)
	}
	b := &bench{options: o, dir: dir, workspaces: inMemory(dir), ci: user{"ci", "correct horse battery staple"}, table: &table{}}
	if err := b.prepare(ctx); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

// temporary is where TMPDIR says, else /var/tmp where there is one: /tmp may
// be memory, in which nothing is durable.
func temporary() string {
	if _, err := os.Stat("/var/tmp"); err == nil && os.Getenv("TMPDIR") == "" {
		return "/var/tmp"
	}
	return os.TempDir()
}

// inMemory is a folder for the empty files that the test driver calls
// environments: making files is no work of the node's, and on some file
// systems slower than all of that. The database stays on the disk.
func inMemory(otherwise string) string {
	dir, err := os.MkdirTemp("/dev/shm", "fish-bench-*")
	if err != nil {
		return otherwise
	}
	return dir
}

// close removes the run's folders; a rest of them harms nobody.
func (b *bench) close() {
	_ = os.RemoveAll(b.dir)
	_ = os.RemoveAll(b.workspaces)
}

func (b *bench) prepare(ctx context.Context) error {
	binary := os.Getenv(fish.BinaryEnv)
	if binary == "" {
		binary = filepath.Join(b.dir, "aquarium-fish")
		if runtime.GOOS == "windows" {
			binary += ".exe"
		}
		b.say("building the node")
		if err := fish.Build(ctx, binary); err != nil {
			return err
		}
	}
	if b.profiles != "" {
		if err := os.MkdirAll(b.profiles, 0o750); err != nil {
			return fmt.Errorf("create folder of profiles: %w", err)
		}
	}
	var err error
	b.seed = installation{binary, filepath.Join(b.dir, "seed"), b.workspaces}
	if err := b.seed.install(); err != nil {
		return err
	}
	if b.adminPassword, b.label, err = b.firstLife(ctx, b.seed); err != nil {
		return err
	}
	b.template, b.copied, err = b.grow(ctx, "template", storetest.Copies{
		User: b.ci.name, Users: b.plan.copies, Applications: b.plan.copies,
	})
	return err
}

// firstLife makes what every node of the run needs: a user, a label and one
// finished application to copy.
func (b *bench) firstLife(ctx context.Context, i installation) (adminPassword, label string, err error) {
	n, err := i.start(ctx)
	if err != nil {
		return "", "", err
	}
	err = func() error {
		c, err := n.dial(ctx)
		if err != nil {
			return err
		}
		defer c.close()
		admin := user{"admin", n.adminPassword}
		if _, err := c.expect(post(admin, "/api/v1/user/", fmt.Sprintf(`{"name":%q,"password":%q}`, b.ci.name, b.ci.password))); err != nil {
			return err
		}
		label, err = c.create(admin, "/api/v1/label/",
			`{"name":"bench","version":1,"definitions":[{"driver":"test","options":{},"resources":{"cpu":1,"ram":1,"lifetime":"1h"}}]}`)
		if err != nil {
			return err
		}
		l := life{c, b.ci, label, eagerPause}
		return l.live(ctx)
	}()
	_, stopErr := n.stop()
	return n.adminPassword, label, errors.Join(err, stopErr)
}

// grow makes an installation with the seed's life and copies of it, and returns
// the UIDs of the applications.
func (b *bench) grow(ctx context.Context, name string, c storetest.Copies) (installation, func(int) string, error) {
	i, err := b.seed.copyTo(filepath.Join(b.dir, name))
	if err != nil {
		return i, nil, err
	}
	file, err := i.database()
	if err != nil {
		return i, nil, err
	}
	uid, err := storetest.Fill(ctx, file, c)
	return i, uid, err
}

// startCopy starts a node that nobody has used since its template's life.
func (b *bench) startCopy(ctx context.Context) (*node, error) {
	return b.startWith(ctx, b.template.binary)
}

// startWith is startCopy with another binary.
func (b *bench) startWith(ctx context.Context, binary string) (*node, error) {
	b.nodes++
	i, err := b.template.copyTo(filepath.Join(b.dir, fmt.Sprintf("node-%d", b.nodes)))
	if err != nil {
		return nil, err
	}
	i.binary = binary
	return i.start(ctx)
}

// with runs f with a fresh node, and stops and removes that.
func (b *bench) with(ctx context.Context, f func(n *node) error) error {
	return b.withBinary(ctx, b.template.binary, f)
}

func (b *bench) withBinary(ctx context.Context, binary string, f func(n *node) error) error {
	n, err := b.startWith(ctx, binary)
	if err != nil {
		return err
	}
	err = f(n)
	_, stopErr := n.stop()
	return errors.Join(err, stopErr, os.RemoveAll(n.dir))
}

// measure measures every part that was asked for.
func (b *bench) measure(ctx context.Context) error {
	for _, p := range parts() {
		if !b.only.MatchString(p.name) {
			continue
		}
		begin := time.Now()
		if err := p.run(b, ctx); err != nil {
			return fmt.Errorf("measure %s: %w", p.name, err)
		}
		b.say("%s: %.0f s", p.name, time.Since(begin).Seconds())
	}
	return nil
}

func (b *bench) say(format string, args ...any) {
	_, _ = fmt.Fprintf(b.progress, format+"\n", args...) // only for who waits
}

// conditions are what the figures depend on. What this system does not tell
// is left out.
func (b *bench) conditions() string {
	s := fmt.Sprintf("%s %s/%s, %d cores, GOMAXPROCS %d for the load and %d for node and limit, node memory target %sB",
		runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.GOMAXPROCS(0), nodeCores, nodeMemory)
	if info, err := cpu.Info(); err == nil && len(info) > 0 {
		s += ", " + info[0].ModelName
	}
	if l, err := gopsload.Avg(); err == nil {
		s += fmt.Sprintf(", load average %.2f %.2f %.2f at the start", l.Load1, l.Load5, l.Load15)
	}
	return s + fmt.Sprintf("\nmedians of %d repetitions that take turns; database in %s, environments in %s", b.plan.reps, b.dir, b.workspaces)
}
