package kill

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// TestKillAtFirstStart kills a node while it makes its keys, certificates,
// database and admin for the first time. Whatever is there when it dies, the
// next start makes a node of it that the admin, whose password was printed
// once, can use.
func TestKillAtFirstStart(t *testing.T) {
	seed, rounds := settings(t)
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 100))
	for _, point := range points() {
		kind, at, _ := strings.Cut(point, " ")
		switch kind {
		case "store":
			first := rng.IntN(2)
			for n := range 2 { // the node's own row and the admin's
				if rounds >= longRounds || n == first {
					firstStarts(t, fmt.Sprintf("%s:%d", at, n+1), 0)
				}
			}
		case "outside":
			if rounds < longRounds && rng.IntN(2) == 0 {
				continue
			}
			// It takes some 50 ms to be ready, the hash of the password most of it.
			firstStarts(t, "", upTo(rng, 20*time.Millisecond), upTo(rng, 80*time.Millisecond))
			firstStarts(t, "", upTo(rng, 150*time.Millisecond))
		}
	}
}

// firstStarts kills starts of a fresh node at a point, or after so long, and
// then lets one through.
func firstStarts(t *testing.T, point string, after ...time.Duration) {
	t.Run(fmt.Sprintf("%s%v", point, after), func(t *testing.T) {
		n := fish.New(t, fish.Options{Env: []string{"FISH_CRASH_STORE=" + point}})
		password := ""
		for _, d := range after {
			n.Spawn()
			if point == "" {
				select {
				case <-n.Exited():
				case <-time.After(d):
				}
			} else if err := n.Listening(); err == nil {
				t.Error("the node does not kill itself")
			}
			n.KillIfAlive()
			password = lastPassword(n, password)
		}
		n.Reconfigure("")
		n.Start()
		password = lastPassword(n, password)
		if got := n.As("admin", password).Request(http.MethodGet, "/api/v1/user/me/", nil); got.Status != http.StatusOK {
			t.Errorf("the admin with the last password printed, %q, gets %d %s", password, got.Status, got.Body)
		}
		admin := n.As("admin", password)
		app := admin.CreateApplication(admin.CreateLabel(fish.TestLabel("linux", `{}`)), `{}`)
		admin.WaitStatus(app, "ALLOCATED")
	})
}

// lastPassword is what the run printed, or else what one before it did.
func lastPassword(n *fish.Node, before string) string {
	_, stderr := n.Lines()
	for _, line := range stderr {
		if password, ok := strings.CutPrefix(line, "Admin user pass: "); ok {
			before = password
		}
	}
	return before
}
