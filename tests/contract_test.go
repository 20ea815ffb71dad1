package tests

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// TestContract holds one node against the contract, with an application in
// every state of its life; its parts, in the files named after them, run in
// parallel and leave the fixtures as they are.
func TestContract(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, test := range map[string]func(*testing.T, *world){
		"routes": testRoutes, "wrong paths": testWrongPaths, "malformed parameters": testMalformedParameters,
		"wrong bodies": testWrongBodies, "cross-site": testCrossSite, "keys": testKeys, "answers": testAnswerFormat,
		"credentials": testCredentials, "users": testUsers, "odd names": testOddNames,
		"labels": testLabels, "label checks": testLabelChecks, "YAML": testYAMLFields, "numbers": testNumbers,
		"forged fields": testForgedFields,
		"filters":       testFilters, "rejected filters": testRejectedFilters, "hidden columns": testHiddenColumns,
		"unescaped filters": testUnescapedFilters, "list order": testListOrder,
		"tasks": testTasks, "task results": testTaskResults,
		"profiling": testProfiling, "documents": testDocuments,
		"jenkins": testJenkins, "scripts": testScripts, "HTTP/2": testHTTP2,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, w.in(t))
		})
	}
}

// world is a node with fixtures.
type world struct {
	n                           *fish.Node
	admin, owner, other, nobody fish.Client
	// vars are the UIDs of the fixtures by name, as {name} in paths and bodies.
	vars map[string]string
}

// in is the world for another test.
func (w *world) in(t *testing.T) *world {
	c := *w
	for _, client := range []*fish.Client{&c.admin, &c.owner, &c.other, &c.nobody} {
		*client = client.For(t)
	}
	return &c
}

// absent is a UID that nothing has.
const absent = "00000000-1111-2222-3333-444444444444"

func newWorld(t *testing.T) *world {
	t.Helper()
	n := fish.Start(t, fish.Options{Config: "node_location: lab\ntask_timeout: 2s\ndrivers:\n- name: test\n- name: test/shy\n  cfg: {fail_snapshot: 255}\n"})
	w := &world{n: n, admin: n.Client, owner: addUser(t, n.Client, "owner"), other: addUser(t, n.Client, "other"), nobody: n.As("", "")}
	label := n.CreateLabel(`{"name":"fixture","version":1,"metadata":{"L":1},"definitions":[{"driver":"test","resources":{"cpu":1,"ram":1,
		"disks":{"d":{"size":1}}},"authentication":{"username":"u","password":"secret","port":22}}]}`)
	nowhere := n.CreateLabel(`{"name":"nowhere","version":1,"definitions":[{"driver":"test","resources":{"cpu":1,"ram":1,"node_filter":["FishName:nowhere"]}}]}`)
	broken := n.CreateLabel(fish.TestLabel("broken", `{"fail_allocate":255}`))
	w.vars = map[string]string{
		"absent": absent, "label": label, "nowhere": nowhere, "broken": broken,
		"live": w.owner.CreateApplication(label, `{"A":"<b>"}`), "waiting": w.owner.CreateApplication(nowhere, `{}`),
		"ended": w.owner.CreateApplication(label, `{}`), "recalled": w.owner.CreateApplication(nowhere, `{}`),
		"failed": w.owner.CreateApplication(broken, `{}`),
	}
	w.owner.Deallocate(w.vars["recalled"])
	w.owner.WaitStatus(w.vars["ended"], "ALLOCATED")
	w.owner.Deallocate(w.vars["ended"])
	w.owner.WaitStatus(w.vars["live"], "ALLOCATED")
	w.vars["resource"] = w.owner.Resource(w.vars["live"]).UID
	w.vars["task"] = fish.Post[uidOnly](w.owner, w.path("application/{live}/task/"), `{"task":"snapshot","when":"DEALLOCATE"}`).UID
	w.vars["mapping"] = fish.Post[uidOnly](n.Client, "/api/v1/servicemapping/", `{"service":"dns","redirect":"10.0.0.1","location_name":"lab"}`).UID
	w.owner.WaitStatus(w.vars["ended"], "DEALLOCATED")
	w.owner.WaitStatus(w.vars["failed"], "ERROR")
	return w
}

type uidOnly struct{ UID string }

// counter makes names that no other test uses.
var counter atomic.Int64

func fresh(prefix string) string { return fmt.Sprintf("%s-%d", prefix, counter.Add(1)) }

// addUser creates a user and returns a client of theirs.
func addUser(t *testing.T, admin fish.Client, name string) fish.Client {
	t.Helper()
	got := admin.For(t).Call(fish.Call{Method: "POST", Path: "/api/v1/user/", Body: fmt.Sprintf(`{"name":%q,"password":"pass of %s"}`, name, name)})
	if got.Status != http.StatusOK {
		t.Fatalf("create user %s: %d %s", name, got.Status, got.Body)
	}
	return admin.As(name, "pass of "+name).For(t)
}

// fill puts the UIDs of the fixtures in, and a fresh name for {new}.
func (w *world) fill(text string) string {
	for name, value := range w.vars {
		text = strings.ReplaceAll(text, "{"+name+"}", value)
	}
	if strings.Contains(text, "{new}") {
		text = strings.ReplaceAll(text, "{new}", fresh("new"))
	}
	return text
}

// path is the whole path of one below /api/v1/.
func (w *world) path(route string) string { return "/api/v1/" + w.fill(route) }

// as are the callers by the name of the user.
func (w *world) as(user string) fish.Client {
	switch user {
	case "admin":
		return w.admin
	case "owner":
		return w.owner
	case "other":
		return w.other
	}
	return w.nobody
}

// want checks an answer's status and that it holds the text.
func want(t *testing.T, what string, got fish.Response, status int, text string) {
	t.Helper()
	if got.Status != status || !strings.Contains(string(got.Body), text) {
		t.Errorf("%s: %d %.300s, want %d with %s", what, got.Status, got.Body, status, text)
	}
}
