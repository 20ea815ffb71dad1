package tests

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// commandPath is where the commands of a node's driver instances are; "this" is the one that answers.
func commandPath(node string) string { return "/api/v1/node/" + node + "/driver/command/" }

// command is the body that has an instance do something.
func command(instance, name, args string) []byte {
	return fmt.Appendf(nil, `{"instance":%q,"command":%q,"args":%s}`, instance, name, args)
}

// TestDriverCommands: the admin sees and gives the commands of driver instances, a change is done at once and noted, and
// what is wrong is told with what to do.
func TestDriverCommands(t *testing.T) {
	t.Parallel()
	n := fish.Start(t, fish.Options{Config: "node_name: a\ndrivers:\n- {name: test, cfg: {fail_deallocate: 255}}\n- {name: test/broken, cfg: {fail_config_apply: 255}}\n"})
	path := commandPath("this")
	want(t, "list", n.Request("GET", path, nil), 200, `"instance":"test","name":"room"},{"changes":true,`)
	app := n.CreateApplication(n.CreateLabel(fish.TestLabel("linux", `{}`)), `{}`)
	n.WaitStatus(app, "ALLOCATED")
	want(t, "room", n.Request("POST", path, command("test", "room", `{}`)), 200, `{"command":"room","instance":"test","result":{"environments":1}}`)

	n.Request("GET", "/api/v1/application/"+app+"/deallocate", nil)
	n.WaitLine("fail_deallocate hit")
	want(t, "fail", n.Request("POST", path, command("test", "fail", `{"call":"deallocate","chance":0}`)), 200, `"result":{"before":255}`)
	n.WaitStatus(app, "DEALLOCATED")
	want(t, "audit", n.Request("GET", "/api/v1/audit/?action=driver.command", nil), 200, `"detail":"of driver test for deallocate","object_UID":"","object_name":"fail"`)
	n.WaitLine("driver command is done")

	want(t, "unknown", n.Request("POST", path, command("test", "fly", `{}`)), 404, "driver test has room, fail")
	want(t, "bad argument", n.Request("POST", path, command("test", "fail", `{"call":"deallocate","chance":256}`)), 400, "bad argument")
	want(t, "no object", n.Request("POST", path, command("test", "room", `[]`)), 400, "want a JSON object")
	want(t, "not ready", n.Request("POST", path, command("test/broken", "room", `{}`)), 503, "driver test/broken fail_config_apply hit")
	want(t, "not configured", n.Request("POST", path, command("aws", "room", `{}`)), 404, "driver aws is not configured on this node")
}

// TestSharedThingIsAsked: who does not own a shared thing asks its owner, by whichever node the command is given; while
// the owner is gone nobody answers in its place.
func TestSharedThingIsAsked(t *testing.T) {
	t.Parallel()
	const drivers = "drivers: [{name: test/pool, cfg: {shared: test/mac-pool}}]\n"
	a := fish.Start(t, fish.Options{Config: "node_name: a\n" + drivers})
	b := fish.New(t, fish.Options{Config: "node_name: b\n" + drivers})
	fish.Eventually(t, "a takes it", func() bool { return ownerAt(a, "test/mac-pool") == "a" })
	room := command("test/pool", "room", `{}`)
	want(t, "room of one alone", a.Request("POST", commandPath("this"), room), 200, `"environments":0`)
	mustJoin(t, b, invite(a, "b").Token)
	b.AdminPassword = a.AdminPassword
	b.Start()
	app := b.CreateApplication(b.CreateLabel(fish.DriverLabel("mac", "test/pool", `{}`)), `{}`)
	b.WaitStatus(app, "ALLOCATED") // at the owner: b has no room
	for _, tt := range []struct {
		name string
		at   *fish.Node
		path string
	}{
		{"b asks a", b, "this"}, {"b asks a, told by a", a, "b"}, {"a asks itself, told by b", b, "a"}, {"a asks itself", a, "this"},
	} {
		want(t, tt.name, tt.at.Request("POST", commandPath(tt.path), room), 200, `"environments":1`)
	}
	want(t, "list by b", b.Request("GET", commandPath("a"), nil), 200, `"name":"room"`)
	want(t, "a change by b", b.Request("POST", commandPath("a"), command("test/pool", "fail", `{"call":"snapshot","chance":1}`)), 200, `"before":0`)
	want(t, "its audit", b.Request("GET", "/api/v1/audit/?action=driver.command", nil), 200, `"events":[]`)
	want(t, "the audit of a", a.Request("GET", "/api/v1/audit/?action=driver.command", nil), 200, `"detail":"of driver test/pool for snapshot"`)
	want(t, "as if a user were a member", b.Request("POST", "/cluster/v1/shared?thing=test/mac-pool", []byte(`{"question":"room"}`)), 404, "Not Found")

	gone := nodeUIDOf(a)
	a.Kill()
	fish.Eventually(t, "a is known to be gone", func() bool { return stateAt(b, gone) == "unreachable" })
	want(t, "the owner is gone", b.Request("POST", commandPath("this"), room), 503, "ask the owner of test/mac-pool: it can not be reached")
	if got := b.Request("POST", commandPath("a"), room); got.Status != 503 || !strings.Contains(string(got.Body), "The member a") {
		t.Errorf("a command for a member that is gone: %d %s", got.Status, got.Body)
	}
}
