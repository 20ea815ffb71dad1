//go:build linux

package docker

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
	"github.com/aquarium-fish/aquarium-fish/tests/dockerd"
	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

const (
	shortRounds, longRounds = 12, 100
	workers                 = 3
	// longestRun is how long a node lives in a round at most: some die while they
	// start, some when they have nothing left to do.
	longestRun = 1200 * time.Millisecond
	// roundTimeout ends a round that hangs.
	roundTimeout = 30 * time.Second
)

// campaign kills one node again and again while clients use it.
type campaign struct {
	site
	rng    *rand.Rand
	labels []string
	kills  int
}

// setting is a number from the environment, or what it is otherwise.
func setting(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// TestKillCampaign: the node is killed at random moments while environments of
// all kinds are made, end and are given up. When all are given up nothing is left.
func TestKillCampaign(t *testing.T) {
	rounds := uint64(shortRounds)
	if needs.Long() {
		rounds = longRounds
	}
	rounds = setting(t, "FISH_DOCKER_ROUNDS", rounds)
	seed := setting(t, "FISH_DOCKER_SEED", rand.Uint64())
	t.Logf("seed %d, %d rounds", seed, rounds)
	c := newCampaign(t, seed)
	begun := time.Now()
	for round := range rounds {
		c.round(round)
		if t.Failed() {
			return
		}
	}
	apps := c.end()
	t.Logf("%d kills in %v, %d applications", c.kills, time.Since(begun).Round(time.Millisecond), apps)
}

func newCampaign(t *testing.T, seed uint64) *campaign {
	t.Helper()
	c := &campaign{site: fresh(t), rng: rand.New(rand.NewPCG(seed, 0))}
	archives := serve(c.engine, t).add(t, dockerd.Image{Name: "archived", Version: "1"})
	for _, kind := range []struct{ name, images, script, more string }{
		{"waits", guestImage, "wait", ""},
		{"ends", guestImage, "sleep 200ms; exit 3", ""},
		{"stubborn", guestImage, "stubborn", ""},
		{"folder", guestImage, "write /mnt/d/a x; wait", `,"disks":{"d":{"type":"dir"}}`},
		{"disk", guestImage, "fill /mnt/d/a 1; wait", `,"disks":{"d":{"type":"ext4","size":1}}`},
		{"outer", guestImage, "wait", `,"network":"nat"`},
		{"team", guestImage, "sleep 100ms; exit 0", `,"network":"team"`},
		{"short", guestImage, "wait", `,"lifetime":"1s"`},
		{"archived", archives, "wait", ""},
	} {
		c.labels = append(c.labels, c.CreateLabel(labelOf(kind.name, kind.images, kind.script, kind.more)))
	}
	return c
}

// round lets clients work until the node dies, and starts it again.
func (c *campaign) round(round uint64) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), roundTimeout)
	var wg sync.WaitGroup
	for i := range workers {
		rng := rand.New(rand.NewPCG(c.rng.Uint64(), uint64(i)))
		wg.Go(func() { c.client(ctx, rng) })
	}
	life := time.Duration(c.rng.Int64N(int64(longestRun)))
	select {
	case <-time.After(life):
	case <-c.Exited():
		c.t.Errorf("round %d: the node ended by itself", round)
	}
	c.KillIfAlive()
	c.kills++
	cancel()
	wg.Wait()
	if c.rng.IntN(4) == 0 { // some die while they start
		c.Spawn()
		select {
		case <-time.After(time.Duration(c.rng.Int64N(int64(500 * time.Millisecond)))):
		case <-c.Exited():
			c.t.Errorf("round %d: the node ended at its start", round)
		}
		c.KillIfAlive()
		c.kills++
	}
	c.Start()
	c.verify(round)
}

// client asks for environments and gives some of them up, until the node is
// gone. What it is not answered it does not remember: the campaign asks the node
// for all there is.
func (c *campaign) client(ctx context.Context, rng *rand.Rand) {
	var mine []string
	for ctx.Err() == nil {
		if len(mine) > 0 && rng.IntN(3) == 0 {
			at := rng.IntN(len(mine))
			if _, err := c.Do(ctx, http.MethodGet, "/api/v1/application/"+mine[at]+"/deallocate", nil, ""); err != nil {
				return
			}
			mine = slices.Delete(mine, at, at+1)
		} else {
			resp, err := c.Do(ctx, http.MethodPost, "/api/v1/application/",
				fmt.Appendf(nil, `{"label_UID":%q}`, c.labels[rng.IntN(len(c.labels))]), "application/json")
			if err != nil {
				return
			}
			var made struct{ UID string }
			if json.Unmarshal(resp.Body, &made) == nil && made.UID != "" {
				mine = append(mine, made.UID)
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(rng.Int64N(int64(250 * time.Millisecond)))):
		}
	}
}

// apps are all applications, and which of them have ended.
func (c *campaign) apps() (all, open []string) {
	c.t.Helper()
	for _, app := range fish.Get[[]struct{ UID string }](c.Client, "/api/v1/application/") {
		all = append(all, app.UID)
		if status := c.State(app.UID).Status; !slices.Contains([]string{"DEALLOCATED", "RECALLED", "ERROR"}, status) {
			open = append(open, app.UID)
		}
	}
	return all, open
}

// verify checks what holds after every restart: what is said to be there is
// there, and each environment once.
func (c *campaign) verify(round uint64) {
	c.t.Helper()
	_, open := c.apps()
	for _, app := range open {
		c.settled(round, app)
	}
	of := map[string]int{}
	for _, container := range c.engine.Containers() {
		of[container.Labels["aquarium.fish.application"]]++
	}
	for app, n := range of {
		if n > 1 {
			c.t.Errorf("round %d: application %s has %d containers", round, app, n)
		}
	}
	if c.rng.IntN(3) == 0 { // else the engine fills up
		for _, app := range open {
			c.giveUp(app)
		}
	}
}

// giveUp asks for an application's end; it may have come just now.
func (c *campaign) giveUp(app string) {
	c.t.Helper()
	if resp := c.Request(http.MethodGet, "/api/v1/application/"+app+"/deallocate", nil); resp.Status != http.StatusOK && resp.Status != http.StatusBadRequest {
		c.t.Errorf("deallocate of %s: %d %s", app, resp.Status, resp.Body)
	}
}

// settled waits until an allocated application has the container of its
// resource, or is not allocated any more.
func (c *campaign) settled(round uint64, app string) {
	c.t.Helper()
	fish.Eventually(c.t, fmt.Sprintf("round %d: application %s has its container or ends", round, app), func() bool {
		if c.State(app).Status != "ALLOCATED" {
			return true
		}
		resp := c.Request(http.MethodGet, "/api/v1/application/"+app+"/resource", nil)
		var r fish.Resource
		if resp.Status != http.StatusOK || json.Unmarshal(resp.Body, &r) != nil {
			return false
		}
		return environment{c.site, app, r}.state() == "running"
	})
}

// end gives everything up, after which nothing may be left.
func (c *campaign) end() int {
	c.t.Helper()
	all, open := c.apps()
	for _, app := range open {
		c.giveUp(app)
	}
	fish.EventuallyWithin(c.t, 2*time.Minute, "all applications end", func() bool {
		_, open = c.apps()
		return len(open) == 0
	})
	for _, app := range all {
		if got := c.State(app); got.Status == "ERROR" {
			c.t.Errorf("application %s is in ERROR: %s", app, got.Description)
		}
	}
	c.nothingLeft()
	return len(all)
}
