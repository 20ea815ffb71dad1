// Package kill kills the node again and again, at every write of its store, at
// every step of a driver and anywhere else, while clients are at work, and
// checks each time that nothing that was acknowledged is lost, that every life
// goes on to its end, and that nothing is left of it.
//
// All is drawn from one seed, which a failure prints: FISH_KILL_SEED repeats
// the plan (not the interleaving). FISH_KILL_ROUNDS sets the number of rounds,
// FISH_LONG=1 means 200; FISH_KILL_POINT=stop keeps to the points that hold the
// word; FISH_KILL_LOG names a file for what all nodes printed.
package kill

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// TestMain builds the node with the crash points of its store.
func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if os.Getenv(fish.BinaryEnv) != "" { // built with -tags crashpoints, by whoever gives it
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "fish-kill-*")
	if err != nil {
		fmt.Fprintln(os.Stderr, "make folder for the binary:", err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()          // a rest in the temporary folder harms nobody
	binary := filepath.Join(dir, "aquarium-fish.exe") // a name that every system runs
	if err := fish.Build(context.Background(), binary, "crashpoints"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := os.Setenv(fish.BinaryEnv, binary); err != nil {
		fmt.Fprintln(os.Stderr, "set "+fish.BinaryEnv+":", err)
		return 1
	}
	return m.Run()
}

const (
	defaultRounds, longRounds = 40, 200
	workers                   = 4
	// worker is the user that all workers are: each login costs a hash.
	worker = "worker"
)

// campaign is many rounds on one data directory.
type campaign struct {
	t       testing.TB
	rng     *rand.Rand
	planner planner
	node    *fish.Node
	admin   *admin
	clients []*client // the admin's first
	// left are the environments that the last process left when it died.
	left []environment
	// environments are those ever seen, by application.
	environments map[string]environment
	last         bool // everything is looked at
	plan         plan
	logs         []string
	fired        map[string]int
}

func TestKillCampaign(t *testing.T) {
	seed, rounds := settings(t)
	t.Logf("seed %d, %d rounds", seed, rounds)
	c := newCampaign(t, seed)
	t.Cleanup(c.writeLog)
	start := time.Now()
	for range rounds {
		c.must(c.round(t.Context()))
	}
	c.must(c.end(t.Context()))
	c.checkAim(rounds)
	t.Logf("%d rounds in %v: %d applications, %d environments, %d labels, %d users; died by itself at %v",
		rounds, time.Since(start).Round(time.Millisecond), len(c.apps()), len(c.environments),
		len(c.admin.labels), len(c.admin.users), c.fired)
}

// checkAim makes sure that a long campaign killed the node at every point.
func (c *campaign) checkAim(rounds int) {
	for _, point := range points() {
		if rounds >= longRounds && c.planner.only == "" && aimed(point) && c.fired[point] == 0 {
			c.t.Errorf("the node never died at %s: %v", point, c.fired)
		}
	}
}

func settings(t *testing.T) (seed uint64, rounds int) {
	t.Helper()
	seed, rounds = rand.Uint64(), defaultRounds
	if needs.Long() {
		rounds = longRounds
	}
	if text := os.Getenv("FISH_KILL_ROUNDS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatalf("FISH_KILL_ROUNDS: %v", err)
		}
		rounds = n
	}
	if text := os.Getenv("FISH_KILL_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("FISH_KILL_SEED: %v", err)
		}
		seed = n
	}
	return seed, rounds
}

// newCampaign starts the first node, with its users and labels.
func newCampaign(t *testing.T, seed uint64) *campaign {
	t.Helper()
	rng := func(stream uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, stream)) }
	c := &campaign{
		t: t, rng: rng(0), planner: planner{rng: rng(1), only: os.Getenv("FISH_KILL_POINT")}, fired: map[string]int{}, environments: map[string]environment{},
	}
	c.node = fish.Start(t, fish.Options{Config: plan{}.config()})
	self := &user{name: "admin", password: c.node.AdminPassword, made: true}
	c.admin = &admin{
		client: client{name: "admin", user: self, rng: rng(2), lost: map[string]*label{}, api: c.node.Client},
		users:  []*user{self, {name: worker}}, lostLabels: map[string]*label{},
	}
	c.clients = []*client{&c.admin.client}
	for kind := range kinds() {
		c.must(c.admin.createLabel(t.Context(), kind))
	}
	c.must(c.admin.setPassword(t.Context(), c.admin.users[1]))
	for i := range workers {
		c.clients = append(c.clients, &client{
			name: fmt.Sprintf("client-%d", i), user: c.admin.users[1], rng: rng(uint64(3 + i)), lost: map[string]*label{},
		})
	}
	c.node.Kill()
	return c
}

// round runs the node until it dies.
func (c *campaign) round(ctx context.Context) error {
	c.plan = c.planner.draw()
	start := time.Now()
	if err := c.up(ctx, c.plan, func(ctx context.Context, p plan) error {
		if err := c.verify(ctx); err != nil || !p.rest {
			return err
		}
		return c.awaitRest(ctx)
	}); err != nil {
		return err
	}
	ready := time.Since(start)
	err := c.load(ctx)
	c.t.Logf("%v: ready after %v, dead after %v", c.plan, ready.Round(time.Millisecond), time.Since(start).Round(time.Millisecond))
	return err
}

// up starts the node and checks it. Where it kills itself before the checks
// are through, it is started again, in the end without what made it do so.
func (c *campaign) up(ctx context.Context, p plan, check func(context.Context, plan) error) error {
	c.node.Reconfigure(p.config(), p.env...)
	for _, after := range p.aborts {
		c.node.Spawn()
		select {
		case <-c.node.Exited():
		case <-time.After(after):
		}
		if err := c.bury(); err != nil {
			return err
		}
	}
	c.node.Spawn()
	err := c.node.Listening()
	lost := err != nil
	if err == nil {
		err = check(ctx, p)
		lost = errors.Is(err, errLost)
	}
	if !lost || !aimed(p.point) || !c.diedByItself() {
		return err
	}
	c.fired[c.kind()]++
	c.plan.load = upTo(c.rng, longLoad) // it will not kill itself again
	if err := c.bury(); err != nil {
		return err
	}
	if p.aborts = nil; p.again == 0 {
		return c.up(ctx, p.calm(), check)
	}
	p.again--
	return c.up(ctx, p, check)
}

// diedByItself waits a moment for the end that a lost answer announces.
func (c *campaign) diedByItself() bool {
	select {
	case <-c.node.Exited():
		return true
	case <-time.After(time.Second):
		return false
	}
}

// kind is the plan's point without its count.
func (c *campaign) kind() string {
	kind, _, _ := strings.Cut(c.plan.point, ":")
	return kind
}

// load lets the clients work until the node dies.
func (c *campaign) load(ctx context.Context) error {
	c.doom()
	errs := make([]error, len(c.clients))
	var warm, working sync.WaitGroup
	for i, cl := range c.clients {
		step := cl.step
		if i == 0 {
			step = c.admin.step
		}
		cl.pool = c.pool()
		cl.api = c.node.Fresh().As(cl.user.name, cl.user.password)
		warm.Add(1)
		working.Go(func() { errs[i] = cl.work(ctx, c.node.Exited(), warm.Done, step) })
	}
	warm.Wait()
	select {
	case <-c.node.Exited():
		c.fired[c.kind()]++
	case <-time.After(c.plan.load):
		c.stop()
	}
	c.node.KillIfAlive()
	working.Wait()
	return errors.Join(append(errs, c.bury())...)
}

// stop lets the node begin to stop, in the rounds that are about this.
func (c *campaign) stop() {
	if c.plan.point != "stopping" {
		return
	}
	c.node.Signal(syscall.SIGTERM)
	select {
	case <-c.node.Exited():
	case <-time.After(upTo(c.rng, 200*time.Millisecond)):
	}
}

// doom chooses a label to be deleted while it is used.
func (c *campaign) doom() {
	for _, l := range c.admin.labels {
		if l.doomed && !l.deleting && c.rng.IntN(3) == 0 {
			l.deleting = true
			return
		}
	}
}

// pool are the labels that exist, as far as is known.
func (c *campaign) pool() []*label {
	var pool []*label
	for i, l := range c.admin.labels {
		if !l.deleted && (i < len(kinds()) || len(c.admin.labels)-i < 10) {
			pool = append(pool, l)
		}
	}
	return pool
}

// bury kills what still runs and notes what it left. Nothing but a kill may
// have ended it.
func (c *campaign) bury() error {
	c.node.KillIfAlive()
	code := c.node.WaitExit()
	stopped := code == 0 && c.plan.point == "stopping"
	if code >= 0 && !stopped && runtime.GOOS != "windows" { // which has no signals
		return fmt.Errorf("the node gave up with exit code %d", code)
	}
	c.keepLog()
	return c.inventory()
}

// inventory notes what a dead node left.
func (c *campaign) inventory() error {
	for _, a := range c.apps() {
		a.overAtDeath, a.steadyAtDeath = a.over(), a.steady()
	}
	left, err := survey(c.node.Dir)
	if err != nil {
		return err
	}
	loose, err := strays(c.node.Dir, left)
	if err == nil && len(loose) > 0 {
		err = fmt.Errorf("files of nobody: %v", loose)
	}
	c.left = left
	return err
}

func (c *campaign) keepLog() {
	stdout, stderr := c.node.Lines()
	c.logs = append(c.logs, fmt.Sprintf("-- %v", c.plan))
	c.logs = append(append(c.logs, stdout...), stderr...)
}

// writeLog writes what all runs printed.
func (c *campaign) writeLog() {
	file := os.Getenv("FISH_KILL_LOG")
	if file == "" {
		return
	}
	if err := os.WriteFile(file, []byte(strings.Join(c.logs, "\n")), 0o600); err != nil {
		c.t.Error(err)
	}
}

func (c *campaign) apps() []*app {
	var all []*app
	for _, cl := range c.clients {
		all = append(all, cl.apps...)
	}
	return all
}

func (c *campaign) known() map[string]*app {
	known := map[string]*app{}
	for _, a := range c.apps() {
		known[a.uid] = a
	}
	return known
}

// must ends the test and shows what the logs of all runs say of the
// applications that the error is about.
func (c *campaign) must(err error) {
	c.t.Helper()
	if err == nil {
		return
	}
	c.keepLog()
	uids := regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|test-[0-9a-z]{6}`).FindAllString(err.Error(), -1)
	var story []string
	for _, line := range c.logs {
		about := strings.HasPrefix(line, "-- ")
		for _, uid := range uids {
			about = about || strings.Contains(line, uid)
		}
		if about {
			story = append(story, line)
		}
	}
	c.t.Fatalf("%v\n%v\nwhat all runs say of it:\n%s", c.plan, err, strings.Join(story, "\n"))
}
