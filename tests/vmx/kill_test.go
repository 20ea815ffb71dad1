//go:build linux

package vmx

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
	"github.com/aquarium-fish/aquarium-fish/drivers/vmx/vmrunfake"
	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

const (
	defaultRounds, longRounds = 6, 100
	// live is how many applications a campaign keeps at most.
	live = 4
	// seen is how long a kill waits for the call that it is meant for: the
	// round may not lead to it.
	seen = 3 * time.Second
	// spread is how long after that call the kill comes at most, and anyhow
	// that much after the load where it is meant for no call.
	spread, anyhow = 150 * time.Millisecond, 1500 * time.Millisecond
	// early is when a node that begins is killed at the latest.
	early = 600 * time.Millisecond
)

// moments are the calls during or after which the node is killed.
func moments() []vmrunfake.Order {
	var all []vmrunfake.Order
	for _, command := range []string{"clone", "start", "stop", "deleteVM", "list"} {
		for _, do := range []string{vmrunfake.Slow, vmrunfake.Hang, vmrunfake.HangAfter, vmrunfake.Die, vmrunfake.DieAfter} {
			all = append(all, vmrunfake.Order{Command: command, Do: do, Millis: 400})
		}
	}
	return append(all,
		vmrunfake.Order{Command: "guest", Do: vmrunfake.Vanish, Millis: 100},
		vmrunfake.Order{Command: "guest", Do: vmrunfake.PowerOff, Millis: 100},
		vmrunfake.Order{Command: "guest", Do: vmrunfake.IgnoreSoft},
		vmrunfake.Order{Command: "guest", Do: vmrunfake.LateLease, Millis: 400},
		vmrunfake.Order{}, vmrunfake.Order{}, vmrunfake.Order{}) // at any time
}

// campaign is many rounds on one data directory.
type campaign struct {
	site
	rng    *rand.Rand
	labels []string
	apps   []string // not known to have ended
	made   int
	killed map[string]int
}

// TestKillCampaign kills the node at every step of a virtual machine's life
// and at any time else. After each start what lives is known again, what is
// given up goes, and nothing is left.
func TestKillCampaign(t *testing.T) {
	t.Parallel()
	seed, rounds := settings(t)
	t.Logf("seed %d, %d rounds", seed, rounds)
	s := start(t)
	option, _ := image(t, s.host)
	c := &campaign{site: s, rng: rand.New(rand.NewPCG(seed, 0)), killed: map[string]int{}}
	c.labels = []string{
		s.label("plain", option, ""),
		s.label("disks", option, `,"disks":{"own":{"type":"raw","size":1}}`),
		s.label("nat", option, `,"network":"nat"`),
	}
	all := moments()
	c.rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	begun := time.Now()
	for i := range rounds {
		c.round(all[i%len(all)])
		if t.Failed() {
			t.Fatal("in round ", i+1)
		}
	}
	c.releaseAll()
	t.Logf("%d rounds in %v: %d applications; killed at %v", rounds, time.Since(begun).Round(time.Millisecond), c.made, c.killed)
}

func settings(t *testing.T) (seed uint64, rounds int) {
	t.Helper()
	seed, rounds = rand.Uint64(), defaultRounds
	if needs.Long() {
		rounds = longRounds
	}
	for _, given := range []struct {
		name string
		set  func(n uint64)
	}{
		{"FISH_KILL_ROUNDS", func(n uint64) { rounds = int(n) }},
		{"FISH_KILL_SEED", func(n uint64) { seed = n }},
	} {
		if text := os.Getenv(given.name); text != "" {
			n, err := strconv.ParseUint(text, 10, 64)
			if err != nil {
				t.Fatalf("%s: %v", given.name, err)
			}
			given.set(n)
		}
	}
	return seed, rounds
}

// round gives the node work, kills it in the middle, and checks what the next
// one makes of it.
func (c *campaign) round(order vmrunfake.Order) {
	c.t.Helper()
	ends := order.Command == "stop" || order.Command == "deleteVM"
	if ends && len(c.apps) == 0 {
		c.ask()
		c.settle()
	}
	order.Nth = 1 + c.rng.IntN(2)
	if ends {
		order.Nth = 1
	}
	c.host.Order(order)
	if order.Do == "" {
		c.host.Order()
	}
	before := len(c.host.Calls())
	c.load(ends)
	c.await(order, before)
	c.Kill()
	for c.rng.IntN(3) == 0 { // and again while it finds its way
		c.Spawn()
		time.Sleep(time.Duration(c.rng.Int64N(int64(early))))
		c.Kill()
	}
	if vms := c.host.VMs(); len(vms) > 0 && c.rng.IntN(4) == 0 {
		c.host.Kill(vms[c.rng.IntN(len(vms))].VMX)
	}
	c.host.Order()
	c.Start()
	c.settle()
	if c.rng.IntN(2) == 0 {
		c.releaseAll()
	}
}

// ask asks for one more environment.
func (c *campaign) ask() {
	c.t.Helper()
	c.apps = append(c.apps, c.CreateApplication(c.labels[c.rng.IntN(len(c.labels))], `{}`))
	c.made++
}

// load gives some up, one at least where the moment is in that, and asks for
// more.
func (c *campaign) load(ends bool) {
	c.t.Helper()
	for i, app := range c.apps {
		if ends && i == 0 || c.rng.IntN(2) == 0 {
			c.giveUp(app)
		}
	}
	for range 1 + c.rng.IntN(live) {
		if len(c.apps) < live {
			c.ask()
		}
	}
	if c.rng.IntN(3) == 0 { // given up while it is made
		c.giveUp(c.apps[len(c.apps)-1])
	}
}

// giveUp asks for the end of an application, whose machine may have ended just
// now: then it is on its way.
func (c *campaign) giveUp(app string) {
	c.t.Helper()
	got := c.Request(http.MethodGet, "/api/v1/application/"+app+"/deallocate", nil)
	if status := c.State(app).Status; got.Status != http.StatusOK && status != "DEALLOCATE" && !over(status) {
		c.t.Fatalf("give up %s, which is %s: %d %s", app, status, got.Status, got.Body)
	}
}

// await waits for the moment.
func (c *campaign) await(order vmrunfake.Order, before int) {
	c.t.Helper()
	late := time.Duration(c.rng.Int64N(int64(anyhow)))
	command := order.Command
	if command == "guest" {
		command = "start"
	}
	if order.Do != "" && c.until(before, command, seen) {
		c.killed[order.Command+" "+order.Do]++
		late = time.Duration(c.rng.Int64N(int64(spread)))
	} else {
		c.killed["any time"]++
	}
	time.Sleep(late) // the kill comes when it comes: that is what is tried
}

// settle waits until every application has one virtual machine or its end, and
// there is no other one.
func (c *campaign) settle() {
	c.t.Helper()
	var unrest string
	defer func() {
		if c.t.Failed() {
			c.t.Log(unrest)
		}
	}()
	fish.Eventually(c.t, "all is settled", func() bool {
		unrest = c.unrest()
		return unrest == ""
	})
}

// unrest says what is not settled, and forgets what has ended.
func (c *campaign) unrest() string {
	c.t.Helper()
	var alive []string
	machines := map[string]bool{}
	for _, app := range c.apps {
		status := c.State(app).Status
		if over(status) {
			continue
		}
		alive = append(alive, app)
		if status != "ALLOCATED" {
			return "application " + app + " is " + status
		}
		machines[c.Resource(app).Identifier] = true
	}
	vms := c.host.VMs()
	for _, vm := range vms {
		if !machines[vm.VMX] {
			return "nobody's virtual machine " + vm.VMX
		}
	}
	if len(vms) != len(alive) {
		return fmt.Sprintf("%d applications have %d virtual machines", len(alive), len(vms))
	}
	c.apps = alive
	return ""
}

// releaseAll gives everything up: then there is nothing.
func (c *campaign) releaseAll() {
	c.t.Helper()
	for _, app := range c.apps {
		c.giveUp(app)
	}
	for _, app := range c.apps {
		fish.Eventually(c.t, "application "+app+" ends", func() bool { return over(c.State(app).Status) })
	}
	c.apps = nil
	c.wantNothing()
}
