package api

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/lib/maintenance"
)

const drainPath = "/api/v1/node/this/drain"

func TestDrain(t *testing.T) {
	n := newNode(t)
	if r := n.do(t, call{user: "admin", path: drainPath}); r.body != `{"by":"","enabled":false,"persistent":false,"running":0,"shutdown":false}`+"\n" {
		t.Errorf("a node at work shows %d %s", r.status, r.body)
	}
	for _, tt := range []struct {
		body                string
		enabled, persistent bool
		since               string
	}{
		{`{"enable":true}`, true, false, `,"since":"` + lastSeen.Format("2006-01-02")},
		{`{"enable":true,"persist":true}`, true, true, `,"since":"` + lastSeen.Format("2006-01-02")},
		{`{"enable":false}`, false, false, "}"},
	} {
		r := n.do(t, call{user: "admin", method: "POST", path: drainPath, body: tt.body})
		want := fmt.Sprintf(`{"by":"admin","enabled":%v,"persistent":%v,"running":2,"shutdown":false`, tt.enabled, tt.persistent) + tt.since
		if r.status != 200 || !strings.HasPrefix(r.body, want) {
			t.Errorf("%s = %d %s, want %s", tt.body, r.status, r.body, want)
		}
		if got := n.do(t, call{user: "admin", path: drainPath}); got.body != r.body {
			t.Errorf("after %s GET shows %s, want %s", tt.body, got.body, r.body)
		}
	}
}

func TestDrainIsRefused(t *testing.T) {
	n := newNode(t)
	for _, tt := range []struct{ name, user, body, want string }{
		{"no admin", "alice", `{"enable":true}`, "Only 'admin' user can drain the node"},
		{"nothing said", "admin", `{}`, "enable is missing"},
		{"null", "admin", `{"enable":null}`, "enable is missing"},
		{"no body", "admin", ``, "enable is missing"},
		{"an end that persists", "admin", `{"enable":false,"persist":true}`, "goes with enable: true"},
		{"no boolean", "admin", `{"enable":"yes"}`, "enable can't be a JSON string"},
	} {
		r := n.do(t, call{user: tt.user, method: "POST", path: drainPath, body: tt.body})
		if r.status != 400 || !strings.Contains(r.body, tt.want) {
			t.Errorf("%s: %d %s, want 400 with %q", tt.name, r.status, r.body, tt.want)
		}
	}
	if r := n.do(t, call{user: "alice", path: drainPath}); r.status != 400 {
		t.Errorf("GET by a user = %d %s, want 400", r.status, r.body)
	}
	if d := n.maintenance.Drain(); d.On {
		t.Errorf("refused requests had an effect: %+v", d)
	}
	n.maintenance.err = maintenance.ErrShutdownOrdered
	r := n.do(t, call{user: "admin", method: "POST", path: drainPath, body: `{"enable":false}`})
	if r.status != 400 || !strings.Contains(r.body, "maintenance?shutdown=false") {
		t.Errorf("while a shutdown is ordered: %d %s, want 400 and how to cancel it", r.status, r.body)
	}
	n.maintenance.err = errors.New("write /secret/place: disk full")
	r = n.do(t, call{user: "admin", method: "POST", path: drainPath, body: `{"enable":true,"persist":true}`})
	if r.status != 500 || strings.Contains(r.body, "secret") {
		t.Errorf("not kept: %d %s, want 500 without the detail", r.status, r.body)
	}
}
