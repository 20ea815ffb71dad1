//go:build linux

package aws

import (
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2/wire"
)

// moment is a request at which the node is killed: before EC2 has done it, or
// after, with the answer on its way. The zero value is any time.
type moment struct {
	action string
	after  bool
}

func (m moment) String() string {
	switch {
	case m.action == "":
		return "any time"
	case m.after:
		return "after " + m.action
	}
	return "before " + m.action
}

// ends reports whether the request comes when something is given up.
func (m moment) ends() bool {
	return m.action == "TerminateInstances" || m.action == "CancelSpotInstanceRequests"
}

func moments() []moment {
	all := []moment{{}, {}, {}, {}}
	for _, action := range []string{
		"RunInstances", "RunInstances", "TerminateInstances", "CreateTags", "AllocateHosts", "DescribeInstances", "DescribeVolumes",
		"DescribeHosts", "CancelSpotInstanceRequests",
	} {
		all = append(all, moment{action, false}, moment{action, true})
	}
	return all
}

// arm has a request wait for the kill, and lose its answer then.
func (c *campaign) arm(m moment) (reached <-chan struct{}, killed func()) {
	c.t.Helper()
	seen, dead := make(chan struct{}, 1), make(chan struct{})
	if m.action == "" {
		return seen, func() {}
	}
	c.fault(wire.Fault{Action: m.action, Skip: c.rng.IntN(2), Count: 1, Do: wire.Cut, After: m.after, Hook: func(wire.Call) {
		seen <- struct{}{}
		select {
		case <-dead:
		case <-time.After(patience):
		}
	}})
	return seen, func() { close(dead) }
}

func (c *campaign) fault(f wire.Fault) {
	c.t.Helper()
	if err := c.front.Fault(f); err != nil {
		c.t.Fatal(err)
	}
}

// wrongs are what may be wrong with requests. None is a lie: what EC2 refuses
// for a reason it has not done.
func wrongs() []wire.Fault {
	mac := func(call wire.Call) bool { return call.Params["InstanceType"] == "mac2.metal" }
	return []wire.Fault{
		{Do: wire.Cut}, {Do: wire.Cut, After: true}, {Do: wire.Tear}, {Do: wire.Garble}, {Do: wire.Hang, Count: 1}, {Do: wire.Hang, After: true, Count: 1},
		{Do: wire.Refuse, Status: 503, Code: "RequestLimitExceeded"},
		{Do: wire.Refuse, Status: 500, Code: "InternalError"}, {Do: wire.Refuse, Status: 500, Code: "InternalError", After: true},
		{Do: wire.Refuse, Status: 502},
		{Action: "RunInstances", Do: wire.Refuse, Status: 500, Code: "InsufficientInstanceCapacity"},
		{Action: "RunInstances", Do: wire.Refuse, Status: 400, Code: "InsufficientCapacityOnHost", Match: mac},
		{Action: "AllocateHosts", Do: wire.Refuse, Status: 500, Code: "InsufficientHostCapacity"},
	}
}

// disturb lets some things go wrong until calm is called.
func (c *campaign) disturb() {
	c.t.Helper()
	actions := []string{"", "", "RunInstances", "RunInstances", "TerminateInstances", "DescribeInstances", "CreateTags", "AllocateHosts", "DescribeHosts"}
	all := wrongs()
	for range c.rng.IntN(5) {
		f := all[c.rng.IntN(len(all))]
		if f.Action == "" {
			f.Action = actions[c.rng.IntN(len(actions))]
		}
		f.Skip = c.rng.IntN(3)
		if f.Count == 0 {
			f.Count = 1 + c.rng.IntN(6)
		}
		c.fault(f)
		c.wrong[string(f.Do)+" "+f.Code]++
	}
	for _, zone := range zones() {
		for _, market := range []fakeec2.Market{fakeec2.OnDemand, fakeec2.Spot} {
			if c.rng.IntN(4) == 0 {
				c.ec2.SetCapacity(zone, "m5.large", market, 0)
				c.wrong["zone without capacity"]++
			}
		}
	}
	if c.rng.IntN(5) == 0 {
		c.ec2.Outage(by(c.rng, longestOutage))
		c.wrong["outage"]++
	}
	if c.rng.IntN(6) == 0 {
		c.ec2.FailNextLaunch("Server.InternalError", "Server.InternalError: Internal error on launch")
		c.wrong["launch that fails late"]++
	}
}

// calm ends what disturb began. An outage goes on to its end.
func (c *campaign) calm() {
	c.front.ClearFaults()
	for _, zone := range zones() {
		for _, market := range []fakeec2.Market{fakeec2.OnDemand, fakeec2.Spot} {
			c.ec2.SetCapacity(zone, "m5.large", market, -1)
		}
	}
}

// interrupt has AWS take a spot machine back.
func (c *campaign) interrupt() {
	for id, i := range c.alive() {
		if i.Spot {
			c.ec2.Interrupt(id, "no-capacity")
			c.wrong["spot interruption"]++
			return
		}
	}
}
