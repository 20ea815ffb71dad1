//go:build linux

package cluster

import (
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/tests/farm"
	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// loadFor is how long the load of TestSpeed lasts; the numbers of a release are taken with 20s.
var loadFor = flag.Duration("cluster.load", 3*time.Second, "how long the load of TestSpeed lasts")

// member is what the cluster's route shows of one.
type member struct {
	UID, Name, State string
	LastSeen         time.Time `json:"last_seen"`
}

// membersAt are the members as a node sees them, by name.
func membersAt(c fish.Client) map[string]member {
	list := fish.Get[struct{ Members []member }](c, "/api/v1/cluster/")
	byName := map[string]member{}
	for _, m := range list.Members {
		byName[m.Name] = m
	}
	return byName
}

// known waits until all of the clients show a member in one of the states, and returns how long that took.
func known(t *testing.T, who string, clients []fish.Client, states string) time.Duration {
	t.Helper()
	began := time.Now()
	for _, c := range clients {
		fish.EventuallyWithin(t, soon, who+" is "+states, func() bool {
			state := membersAt(c)[who].State
			return state != "" && strings.Contains(states, state)
		})
	}
	return time.Since(began)
}

// TestSpeed measures three nodes on loopback; the bounds are those of a machine that does much else.
func TestSpeed(t *testing.T) {
	f := farm.Start(t, farm.Options{Topology: farm.Full(3)})
	f.Together(soon)
	a, b, c := f.Admin(0), f.Admin(1), f.Admin(2)
	label := a.CreateLabel(fish.TestLabel("linux", `{}`))
	got := farm.RunLoad(t.Context(), farm.LoadOptions{
		Create: []fish.Client{a}, Read: []fish.Client{c}, Release: []fish.Client{c}, Label: label, Rate: 20, For: *loadFor, Hold: 100 * time.Millisecond,
	})
	t.Logf("created on A, seen on C: %v", got)
	if len(got.False)+len(got.Lost)+len(got.Failed) > 0 || got.Refused+got.Broken > 0 || got.Unavailable > got.Asked/slowShare || got.Ended != got.Created {
		t.Errorf("load = %v, false %v, lost %v, failed %v", got, got.False, got.Lost, got.Failed)
	}
	if p99 := got.Seen.At(0.99); p99 > 15*time.Second { // what it takes at rest is in the benchmark
		t.Errorf("p99 from the request on A to ALLOCATED on C is %v", p99)
	}

	f.Members[1].Kill()
	t.Logf("killed: all know after %v", known(t, "node1", []fish.Client{a, c}, "unreachable stopped"))
	f.Members[1].Start()
	t.Logf("started anew: all agree %v after it served", known(t, "node1", []fish.Client{a, b, c}, "active"))
	began := time.Now()
	f.Members[1].Stop()
	t.Logf("stopped in order: all know after %v, the stop took %v", known(t, "node1", []fish.Client{a, c}, "stopped"), time.Since(began))
	f.Members[1].Start()
	known(t, "node1", []fish.Client{a, b, c}, "active")
	f.Verify(soon)
	load, _ := os.ReadFile("/proc/loadavg")
	t.Logf("load average of the machine: %s", load)
}
