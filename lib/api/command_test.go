package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/calls"
	"github.com/aquarium-fish/aquarium-fish/lib/operate"
)

// fakeCommands takes down what it is asked, and answers with err, or as if all
// was well.
type fakeCommands struct {
	err error

	mu    sync.Mutex
	asked []string
}

func (f *fakeCommands) taken() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked
}

// List implements Commands.
func (f *fakeCommands) List() []operate.Command {
	return []operate.Command{
		{Instance: "aws", Command: drivers.Command{Name: "status", Help: "Lists what is paid for."}},
		{Instance: "aws", Command: drivers.Command{Name: "drain", Help: "Drains a pool.", Changes: true, Object: "pool"}},
	}
}

// Find implements Commands.
func (f *fakeCommands) Find(instance, command string) (drivers.Command, bool) {
	for _, c := range f.List() {
		if c.Instance == instance && c.Name == command {
			return c.Command, true
		}
	}
	return drivers.Command{}, false
}

// Do implements Commands.
func (f *fakeCommands) Do(_ context.Context, instance, command string, args json.RawMessage) (json.RawMessage, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, instance+" "+command+" "+string(args))
	if f.err != nil {
		return nil, f.err
	}
	return json.RawMessage(`{"hosts":[],"paid":1.50}`), nil
}

const commands = "/api/v1/node/this/driver/command/"

func TestCommands(t *testing.T) {
	n := newNode(t)
	const status = `{"instance":"aws","command":"status"}`
	const done = `{"command":"status","instance":"aws","result":{"hosts":[],"paid":1.50}}`
	for _, tt := range []struct {
		call
		status int
		want   string
	}{
		{call{user: "admin", path: commands}, 200, `[{"changes":false,"help":"Lists what is paid for.","instance":"aws","name":"status"},` +
			`{"changes":true,"help":"Drains a pool.","instance":"aws","name":"drain"}]`},
		{call{user: "admin", method: "POST", path: commands, body: status}, 200, done},
		{call{user: "admin", method: "POST", path: commands, body: "{instance: aws, command: status, args: {a: 1.50}}", contentType: "application/yaml"}, 200, done},
		{call{user: "admin", method: "POST", path: commands, body: `{"command":"status"}`}, 400, `{"message":"Unable to run the command: instance can't be empty"}`},
		{call{user: "admin", method: "POST", path: commands, body: `{"instance":"aws"}`}, 400, `{"message":"Unable to run the command: command can't be empty"}`},
		{call{user: "admin", method: "POST", path: commands, body: `{"instance":1}`}, 400, `{"message":"Wrong request body: instance can't be a JSON number, it takes a text"}`},
		{call{user: "admin", method: "POST", path: commands, body: status, contentType: "text/plain"}, 400, ""},
		{call{user: "alice", path: commands}, 400, `{"message":"Only 'admin' user can list driver commands"}`},
		{call{user: "alice", method: "POST", path: commands, body: status}, 400, `{"message":"Only 'admin' user can run driver commands"}`},
		{call{path: commands}, 401, `{"message":"Unauthorized"}`},
		{call{method: "POST", path: commands, body: status}, 401, `{"message":"Unauthorized"}`},
	} {
		got := n.do(t, tt.call)
		if got.status != tt.status || tt.want != "" && got.body != tt.want+"\n" {
			t.Errorf("%s %s as %s = %d %s, want %d %s", tt.method, tt.path, tt.user, got.status, got.body, tt.status, tt.want)
		}
	}
	if diff := cmp.Diff([]string{"aws status ", `aws status {"a":1.50}`}, n.commands.taken()); diff != "" {
		t.Errorf("asked for (-want +got):\n%s", diff)
	}
}

func TestCommandsThatFail(t *testing.T) {
	n := newNode(t)
	for _, tt := range []struct {
		command string
		err     error
		status  int
		want    string
	}{
		{"status", &calls.InstanceError{Instance: "aws", Reason: "is not configured on this node"}, 404, "Unable to find the driver instance: driver aws is not configured on this node"},
		{"status", &operate.NotReadyError{InstanceError: calls.InstanceError{Instance: "aws", Reason: "has no credentials"}}, 503, "driver aws has no credentials"},
		{"fly", fmt.Errorf("%w: driver aws has status", drivers.ErrCommandUnknown), 404, `Unable to find the command \"fly\": no such command: driver aws has status`},
		{"drain", fmt.Errorf("%w: pool: want a name", drivers.ErrCommandArgument), 400, `Unable to run the command \"drain\": bad argument: pool: want a name`},
		{"drain", fmt.Errorf("%w: another node owns it", drivers.ErrCommandRefused), 409, "refused: another node owns it"},
		{"drain", calls.ErrBusy, 503, "has not answered what it was asked before"},
		{"drain", calls.ErrStopping, 503, "the node is stopping"},
		{"status", calls.ErrLate, 503, "it did not answer in time"},
		{"drain", operate.ErrGoesOn, 503, "look before you ask again"},
		{"status", errors.New("EC2 is away"), 503, `driver aws failed: EC2 is away"}`},
		{"drain", errors.New("EC2 is away"), 503, "driver aws failed: EC2 is away; it may have done a part of it"},
	} {
		n.commands.err = tt.err
		got := n.do(t, call{user: "admin", method: "POST", path: commands, body: `{"instance":"aws","command":"` + tt.command + `"}`})
		if got.status != tt.status || !strings.Contains(got.body, tt.want) {
			t.Errorf("%s after %v = %d %s, want %d with %s", tt.command, tt.err, got.status, got.body, tt.status, tt.want)
		}
	}
}

// TestCommandsOfMember: by any node, and noted where it is done.
func TestCommandsOfMember(t *testing.T) {
	f := newFarm(t)
	const path = "/api/v1/node/b/driver/command/"
	if r := f.c.do(t, call{user: "admin", path: path}); r.status != http.StatusOK || !strings.Contains(r.body, `"name":"drain"`) {
		t.Errorf("list = %d %s", r.status, r.body)
	}
	const drain = `{"instance":"aws","command":"drain","args":{"pool":"mac"}}`
	if r := f.c.do(t, call{user: "admin", method: "POST", path: path, body: drain}); r.status != http.StatusOK || !strings.Contains(r.body, `"paid":1.50`) {
		t.Errorf("drain = %d %s", r.status, r.body)
	}
	if r := f.c.do(t, call{user: "bob", method: "POST", path: path, body: drain}); r.status != http.StatusBadRequest || !strings.Contains(r.body, "Only 'admin'") {
		t.Errorf("drain as bob = %d %s", r.status, r.body)
	}
	f.b.commands.err = fmt.Errorf("%w: hosts are busy", drivers.ErrCommandRefused)
	if r := f.c.do(t, call{user: "admin", method: "POST", path: path, body: drain}); r.status != http.StatusConflict || !strings.Contains(r.body, "hosts are busy") {
		t.Errorf("a refusal = %d %s", r.status, r.body)
	}
	want := `aws drain {"pool":"mac"}`
	if diff := cmp.Diff([]string{want, want}, f.b.commands.taken()); diff != "" {
		t.Errorf("B was asked for (-want +got):\n%s", diff)
	}
	if got := f.c.commands.taken(); got != nil {
		t.Errorf("C was asked for %v", got)
	}
	deeds := func(n *node, count int) (found []string) {
		for _, e := range n.noted(t, count) {
			if e.Action == "driver.command" {
				found = append(found, e.Result+" "+e.Detail)
			}
		}
		return found
	}
	if diff := cmp.Diff([]string{"ok of driver aws for mac", "refused of driver aws for mac"}, deeds(f.b, 2)); diff != "" {
		t.Errorf("noted by B (-want +got):\n%s", diff)
	}
	if got := deeds(f.c, 1); got != nil {
		t.Errorf("C has noted %v", got)
	}
}
