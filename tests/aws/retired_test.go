//go:build linux

package aws

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/view"
	"github.com/aquarium-fish/aquarium-fish/tests/farm"
	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// command has the driver of a node do a command.
func command[T any](t *testing.T, c fish.Client, name, args string) (result T) {
	t.Helper()
	answer := fish.Post[struct{ Result json.RawMessage }](c, "/api/v1/node/this/driver/command/",
		fmt.Sprintf(`{"instance":"aws","command":%q,"args":%s}`, name, args))
	if err := json.Unmarshal(answer.Result, &result); err != nil {
		t.Fatalf("%s = %s, %v", name, answer.Result, err)
	}
	return result
}

// TestARetiredNodesMachine: a node is gone for good and its machine runs on. While the
// node is only away nobody touches the machine; once it is retired another node
// shows it as such, and a sweep there ends it.
func TestARetiredNodesMachine(t *testing.T) {
	t.Parallel()
	s := newStand(t, 3)
	f := farm.Start(t, farm.Options{Topology: farm.Full(2), Each: func(node int, settings *farm.Settings) {
		settings.Config = s.driver() + fmt.Sprintf("node_identifiers: [n%d]\n", node) // the driver goes on a list
		settings.Binary, settings.Env = farm.SkewedBinary(t), []string{s.skew.Env()}
	}})
	f.Together(joined)
	stays, goes := f.Admin(0), f.Admin(1)
	var apps, machines []string
	for node, c := range []fish.Client{stays, goes} {
		app := c.CreateApplication(c.CreateLabel(label(fmt.Sprint("linux", node), `{"image":"ci-linux-2026","instance_type":"m5.large"}`,
			fmt.Sprintf(`,"node_filter":["n%d"]`, node))), `{}`)
		fish.EventuallyWithin(t, joined, "the application is ALLOCATED", func() bool { return c.State(app).Status == "ALLOCATED" })
		apps, machines = append(apps, app), append(machines, c.Resource(app).Identifier)
	}
	f.Members[1].Kill()
	s.turn(10 * time.Minute)
	strays := func() map[string]view.Stray {
		all := map[string]view.Stray{}
		for _, one := range command[view.Sweeping](t, stays, view.SweepPlan, `{}`).Strays {
			all[one.ID] = one
		}
		return all
	}
	if got := strays(); len(got) > 0 {
		t.Errorf("of a node that is away a sweep would take %v", got)
	}
	fish.EventuallyWithin(t, joined, "the node can be retired", func() bool {
		return stays.Request("POST", "/api/v1/cluster/retirement/", []byte(`{"node":"node1"}`)).Status == 200
	})
	fish.EventuallyWithin(t, joined, "what ran there is ERROR", func() bool { return stays.State(apps[1]).Status == "ERROR" })
	fish.EventuallyWithin(t, joined, "its machine is found", func() bool { return strings.Contains(strays()[machines[1]].Reason, "its node was retired") })
	plan := strays()
	if one, is := plan[machines[0]]; is {
		t.Errorf("a sweep would take the machine of an application: %+v", one)
	}
	if one := plan[machines[1]]; one.Held != "" || one.Doubtful || !one.Retired {
		t.Errorf("of a retired node: %+v", one)
	}
	command[view.Sweeping](t, stays, view.Sweep, fmt.Sprintf(`{"ids":[%q,%q]}`, machines[0], machines[1]))
	fish.EventuallyWithin(t, joined, "nothing of the retired node is left", func() bool { return s.rest(map[string]bool{machines[0]: true}) == "" })
	if _, lives := s.alive()[machines[0]]; !lives || stays.State(apps[0]).Status != "ALLOCATED" {
		t.Error("the machine of the node that is there ended too")
	}
}
