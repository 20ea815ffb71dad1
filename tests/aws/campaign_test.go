//go:build linux

package aws

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
	"github.com/aquarium-fish/aquarium-fish/tests/farm"
	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

const (
	defaultRounds, longRounds = 2, 100
	// live is how many applications a campaign keeps at most, as many of them on
	// hosts as there may be hosts.
	live = 6
	// patience is how long a kill waits for the request that it is meant for: the
	// round may not lead to it.
	patience = 3 * time.Second
	// anyhow is how long after the load a kill comes that is meant for no request.
	anyhow = 2 * time.Second
	// early is when a node that begins is killed at the latest.
	early = 800 * time.Millisecond
	// longestOutage is that of the API.
	longestOutage = 3 * time.Second
	// soon is for all to come to rest that waits for nothing, and later is after
	// a night: a pool looks at its hosts every 10 s.
	soon, later = 5 * time.Second, 20 * time.Second
	// night is longer than anything is waited for that may still show, or that is
	// left alone for a while after a refusal, and nights are how many are enough.
	night, nights = 11 * time.Minute, 4
)

// campaign is many rounds on one data directory and one account.
type campaign struct {
	*stand
	*fish.Node
	t      *testing.T
	rng    *rand.Rand
	labels map[string]string // by name
	apps   map[string]string // names of labels by what is not known to have ended

	made, kills, slept int
	ended              map[string]int // by status
	killed, wrong      map[string]int
	reasons            map[string]int // of ERROR
	waited             []string       // for what nights were needed
}

// TestKillCampaign kills the node at requests to EC2 and at any time else,
// while requests go wrong in every way. After each start every application has
// its one machine or comes to its end, and nothing is paid for but that.
// FISH_AWS_SEED repeats what is drawn, FISH_AWS_ROUNDS sets how many rounds.
func TestKillCampaign(t *testing.T) {
	t.Parallel()
	rounds := uint64(defaultRounds)
	if needs.Long() {
		rounds = longRounds
	}
	rounds = setting(t, "FISH_AWS_ROUNDS", rounds)
	seed := setting(t, "FISH_AWS_SEED", rand.Uint64())
	t.Logf("seed %d, %d rounds", seed, rounds)
	c := newCampaign(t, seed)
	begun := time.Now()
	all := moments()
	c.rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for i := range rounds {
		m := all[i%uint64(len(all))]
		c.round(m)
		if trouble := c.broken(); trouble != "" {
			t.Fatalf("round %d, killed %s: %s", i+1, m, trouble)
		}
		if needs.Long() {
			fmt.Fprintf(os.Stderr, "round %d of %d after %v, killed %s\n", i+1, rounds, time.Since(begun).Round(time.Second), m)
		}
	}
	c.end()
	t.Logf("%d rounds in %v: %d kills, %d applications, ended %v; %d machines, %d hosts, %.2f USD; %d nights for %q; killed %v; wrong %v; ERROR for %v",
		rounds, time.Since(begun).Round(time.Millisecond), c.kills, c.made, c.ended, c.bought("instance"), c.bought("host"), c.ec2.Cost(),
		c.slept, c.waited, c.killed, c.wrong, c.reasons)
}

func newCampaign(t *testing.T, seed uint64) *campaign {
	t.Helper()
	s := newStand(t, seed)
	c := &campaign{
		stand: s, t: t, rng: rand.New(rand.NewPCG(seed, 0)), apps: map[string]string{}, labels: map[string]string{},
		ended: map[string]int{}, killed: map[string]int{}, wrong: map[string]int{}, reasons: map[string]int{},
	}
	c.Node = fish.Start(t, fish.Options{
		Config: "node_name: alpha\ndrivers:\n" + s.driver(), Binary: farm.SkewedBinary(t), Env: []string{s.skew.Env()},
	})
	c.WaitLine("who runs the pool has changed")
	c.sleep(night) // a pool that is new to a node is left alone for a while
	for name, of := range map[string][2]string{
		"plain": {`{"image":"ci-linux-2026","instance_type":"m5.large"}`, ""},
		"disk":  {`{"image":"ci-linux-2026","instance_type":"m5.large","userdata_format":"env"}`, `,"disks":{"/dev/sdf":{"type":"gp3","size":1,"label":"Kind:cache"}}`},
		"spot":  {`{"image":"ci-linux-2026","instance_type":"m5.large","spot":{"max_attempts":3,"on_demand":true}}`, ""},
		"mac":   {`{"image":"ci-mac-2026","pool":"mac"}`, ""},
	} {
		c.labels[name] = c.CreateLabel(label(name, of[0], of[1]))
	}
	return c
}

// round gives the node work, kills it in the middle, and checks what the next
// one makes of it.
func (c *campaign) round(m moment) {
	c.t.Helper()
	if m.ends() && len(c.apps) == 0 {
		c.ask("spot")
		c.settle()
	}
	reached, killed := c.arm(m)
	c.disturb()
	c.load(m)
	c.await(m, reached)
	c.kill()
	killed()
	for c.rng.IntN(3) == 0 { // and again while it finds its way
		c.Spawn()
		time.Sleep(by(c.rng, early))
		c.kill()
	}
	if c.rng.IntN(3) == 0 {
		c.interrupt()
	}
	c.calm()
	c.Start()
	c.settle()
	if c.rng.IntN(3) == 0 {
		c.releaseAll()
	}
}

func (c *campaign) kill() {
	c.t.Helper()
	c.KillIfAlive()
	c.kills++
}

// ask asks for one more environment.
func (c *campaign) ask(name string) (app string) {
	c.t.Helper()
	app = c.CreateApplication(c.labels[name], `{"SECRET":"hush-hush"}`)
	c.apps[app] = name
	c.made++
	return app
}

// load gives some up, one at least where the moment is in that, and asks for
// more.
func (c *campaign) load(m moment) {
	c.t.Helper()
	some := m.ends()
	for _, app := range c.known() {
		if some || c.rng.IntN(2) == 0 {
			c.giveUp(app)
			some = false
		}
	}
	for range 1 + c.rng.IntN(live) {
		if len(c.apps) >= live {
			return
		}
		app := c.ask(c.draw(m))
		if c.rng.IntN(5) == 0 { // while it is made
			time.Sleep(by(c.rng, 300*time.Millisecond))
			c.giveUp(app)
		}
	}
}

// draw is the label of the next application.
func (c *campaign) draw(m moment) string {
	macs := 0
	for _, name := range c.apps {
		if name == "mac" {
			macs++
		}
	}
	names := []string{"plain", "disk", "spot", "mac", "mac"}
	if macs >= mostHosts {
		names = names[:3]
	}
	switch name := names[len(names)-1]; m.action {
	case "AllocateHosts", "DescribeHosts":
		return name
	case "CreateTags":
		return "disk"
	}
	return names[c.rng.IntN(len(names))]
}

// known are the applications in an order that the seed decides.
func (c *campaign) known() (apps []string) {
	for app := range c.apps {
		apps = append(apps, app)
	}
	slices.Sort(apps)
	return apps
}

// giveUp asks for the end of an application, which may have come just now.
func (c *campaign) giveUp(app string) {
	c.t.Helper()
	got := c.Request(http.MethodGet, "/api/v1/application/"+app+"/deallocate", nil)
	if status := c.State(app).Status; got.Status != http.StatusOK && status != "DEALLOCATE" && !over(status) {
		c.t.Fatalf("give up %s, which is %s: %d %s", app, status, got.Status, got.Body)
	}
}

func over(status string) bool {
	return slices.Contains([]string{"DEALLOCATED", "RECALLED", "ERROR"}, status)
}

// await waits for the moment.
func (c *campaign) await(m moment, reached <-chan struct{}) {
	c.t.Helper()
	if m.action != "" {
		select {
		case <-reached:
			c.killed[m.String()]++
			return
		case <-time.After(patience):
		}
	}
	c.killed["any time"]++
	time.Sleep(by(c.rng, anyhow)) // the kill comes when it comes: that is what is tried
}

// settle waits until every application has one machine or its end, and there
// is nothing else. What waits until lists would show what was sent, or until a
// host may be tried again, has nights for it.
func (c *campaign) settle() {
	c.t.Helper()
	unrest, bound := "", soon
	for range nights {
		for deadline := time.Now().Add(bound); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
			if unrest = c.unrest(); unrest == "" {
				return
			}
		}
		c.waited = append(c.waited, unrest)
		c.sleep(night)
		bound = later
	}
	c.t.Fatalf("after %d nights: %s", nights, unrest)
}

// sleep stops the node for that long.
func (c *campaign) sleep(long time.Duration) {
	c.t.Helper()
	c.kill()
	c.turn(long)
	c.slept++
	c.Start()
}

// unrest says what is not settled, and forgets what has ended.
func (c *campaign) unrest() string {
	c.t.Helper()
	machines := map[string]bool{}
	for _, app := range c.known() {
		state := c.State(app)
		if over(state.Status) {
			c.over(app, state)
			continue
		}
		if state.Status != "ALLOCATED" {
			return fmt.Sprintf("%s application %s is %s (%s)", c.apps[app], app, state.Status, state.Description)
		}
		id := c.Resource(app).Identifier
		if _, lives := c.alive()[id]; !lives {
			return fmt.Sprintf("application %s is ALLOCATED, and its machine %q is gone", app, id)
		}
		machines[id] = true
	}
	return c.rest(machines)
}

// over notes how an application ended.
func (c *campaign) over(app string, state fish.State) {
	c.ended[state.Status]++
	if state.Status == "ERROR" {
		_, cause, _ := strings.Cut(state.Description, "last answer: ")
		if cause == "" {
			cause = state.Description
		}
		c.reasons[cause]++
	}
	delete(c.apps, app)
}

// releaseAll gives everything up: then nothing costs but hosts.
func (c *campaign) releaseAll() {
	c.t.Helper()
	for _, app := range c.known() {
		c.giveUp(app)
	}
	c.settle()
	if len(c.apps) > 0 {
		c.t.Fatalf("given up, and there still: %v", c.apps)
	}
}

// end gives everything up, and lets hosts become a day old: then there is
// nothing at all.
func (c *campaign) end() {
	c.t.Helper()
	c.releaseAll()
	c.sleep(25 * time.Hour)
	fish.EventuallyWithin(c.t, 2*time.Minute, "no host is left", func() bool { return len(c.hosts()) == 0 })
	if left := c.ec2.Billable(); len(left) > 0 {
		c.t.Errorf("left, and paid for: %+v", left)
	}
}

// bought counts what there ever was of a kind.
func (c *campaign) bought(kind string) (n int) {
	for _, b := range c.ec2.Bills() {
		if b.Kind == kind {
			n++
		}
	}
	return n
}
