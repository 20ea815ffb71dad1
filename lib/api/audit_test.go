package api

import (
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/aquarium-fish/aquarium-fish/lib/audit"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

// noted waits until the audit has so many events and returns them, oldest
// first, without what each request has of its own.
func (n *node) noted(t *testing.T, count int) []apiv1.AuditEvent {
	t.Helper()
	events := toAuditPage(audit.Page{Events: n.notedOf(t, "", count)}).Events
	slices.Reverse(events)
	return events
}

// notedOf waits until the audit has so many events of an action, "" for any, and returns
// them, newest first: they are written after the request was answered.
func (n *node) notedOf(t *testing.T, action string, count int) []audit.Event {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) { // nothing tells of a write
		page, err := n.audit.Read(t.Context(), audit.Query{Action: action, Limit: audit.MaxLimit})
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Events) >= count {
			return page.Events
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d events of %s, want %d: %+v", len(page.Events), action, count, page.Events)
		}
	}
}

// lastDeed waits for the event of a request that is no login.
func (n *node) lastDeed(t *testing.T, requestID string) (found apiv1.AuditEvent) {
	t.Helper()
	for count := 1; ; count++ {
		for _, e := range n.noted(t, count) {
			if e.RequestID == requestID && e.Action != audit.ActionLogin {
				return e
			}
		}
	}
}

// TestDeedsAreNoted makes every change there is once, and checks what the
// audit says of it; reading leaves nothing.
func TestDeedsAreNoted(t *testing.T) {
	n := newNode(t)
	label, spare := n.label(t, "l"), n.label(t, "spare")
	e := n.application(t, label, "alice")
	live := n.allocate(t, n.application(t, label, "alice"))
	type noted struct{ Action, User, ObjectUID, ObjectName, Result, Detail string }
	users := []string{"admin", "alice", "bob"}
	for _, user := range users {
		n.do(t, call{user: user, path: "/api/v1/label/"}) // logs the user in; is no deed
	}
	seen := len(n.noted(t, len(users))) // a login is noted once a day, and a moment later
	uid, none := e.Application.UID.String(), model.UID{9}.String()
	for _, tt := range []struct {
		call
		want noted
	}{
		{call{"admin", "POST", "/api/v1/user/", `{"name":"eve","password":"hidden-1"}`, "", nil}, noted{"user.set", "admin", "", "eve", "ok", "created"}},
		{call{"admin", "POST", "/api/v1/user/", `{"name":"eve"}`, "", nil}, noted{"user.set", "admin", "", "eve", "ok", "password changed"}},
		{call{"alice", "POST", "/api/v1/user/", `{"name":"eve","password":"hidden-2"}`, "", nil}, noted{"user.set", "alice", "", "eve", "refused", ""}},
		{call{"admin", "DELETE", "/api/v1/user/eve", "", "", nil}, noted{"user.remove", "admin", "", "eve", "ok", ""}},
		{call{"admin", "POST", "/api/v1/label/", `{"name":"made","version":3,"metadata":{"k":"hidden-3"}}`, "", nil}, noted{"label.create", "admin", "*", "made:3", "ok", ""}},
		{call{"admin", "POST", "/api/v1/label/", `{"name":"made","version":3}`, "", nil}, noted{"label.create", "admin", "", "made:3", "refused", ""}},
		{call{"alice", "DELETE", "/api/v1/label/" + none, "", "", nil}, noted{"label.remove", "alice", none, "", "refused", ""}},
		{call{"alice", "DELETE", "/api/v1/label/" + label.String(), "", "", nil}, noted{"label.remove", "alice", label.String(), "l:1", "refused", ""}},
		{call{"admin", "DELETE", "/api/v1/label/" + spare.String(), "", "", nil}, noted{"label.remove", "admin", spare.String(), "spare:1", "ok", ""}},
		{call{"bob", "POST", "/api/v1/application/", `{"label_UID":"` + label.String() + `","metadata":{"k":"hidden-4"}}`, "", nil}, noted{"application.create", "bob", "*", "", "ok", "of label " + label.String()}},
		{call{"alice", "POST", "/api/v1/application/" + uid + "/task/", `{"task":"snapshot","options":{"k":"hidden-5"}}`, "", nil}, noted{"task.create", "alice", "*", "snapshot", "ok", "for application " + uid}},
		{call{"bob", "GET", "/api/v1/application/" + uid + "/deallocate", "", "", nil}, noted{"application.deallocate", "bob", uid, "", "refused", ""}},
		{call{"alice", "GET", "/api/v1/application/" + uid + "/deallocate", "", "", nil}, noted{"application.deallocate", "alice", uid, "", "ok", ""}},
		{call{"alice", "GET", "/api/v1/resource/" + live.Resource.UID.String() + "/access", "", "", nil}, noted{"access.create", "alice", live.Resource.UID.String(), "", "refused", ""}},
		{call{"admin", "POST", "/api/v1/location/", `{"name":"lab"}`, "", nil}, noted{"location.create", "admin", "", "lab", "ok", ""}},
		{call{"admin", "POST", "/api/v1/servicemapping/", `{"service":"dns","redirect":"r"}`, "", nil}, noted{"servicemapping.create", "admin", "*", "dns", "ok", ""}},
		{call{"admin", "DELETE", "/api/v1/servicemapping/" + none, "", "", nil}, noted{"servicemapping.remove", "admin", none, "", "ok", ""}},
		{call{"admin", "GET", "/api/v1/node/this/maintenance?shutdown=false&shutdown_delay=1h", "", "", nil}, noted{"maintenance.change", "admin", "", "", "ok", "enable=true shutdown=false shutdown_delay=1h"}},
		{call{"admin", "POST", "/api/v1/node/this/drain", `{"enable":true,"persist":true}`, "", nil}, noted{"drain.change", "admin", "", "", "ok", "enable=true persist=true"}},
		{call{"admin", "POST", "/api/v1/cluster/invitation/", `{"name":"mac-7"}`, "", nil}, noted{"cluster.invite", "admin", "", "mac-7", "ok", "invitation 0badcafe"}},
		{call{"alice", "POST", "/api/v1/cluster/invitation/", `{"name":"mac-7"}`, "", nil}, noted{"cluster.invite", "alice", "", "mac-7", "refused", ""}},
		{call{"admin", "DELETE", "/api/v1/cluster/invitation/mac-7", "", "", nil}, noted{"cluster.revoke", "admin", "", "mac-7", "ok", ""}},
		{call{"admin", "POST", images, `{"label_UID":"` + label.String() + `"}`, "", nil}, noted{"image.pull", "admin", label.String(), "l:1", "ok", ""}},
		{call{"alice", "DELETE", removal("docker", "a/b:1"), "", "", nil}, noted{"image.remove", "alice", "", "a/b:1", "refused", "of driver docker"}},
		{call{"admin", "POST", commands, `{"instance":"aws","command":"drain","args":{"pool":"mac","key":"hidden-6"}}`, "", nil}, noted{"driver.command", "admin", "", "drain", "ok", "of driver aws for mac"}},
		{call{"alice", "POST", commands, `{"instance":"aws","command":"drain","args":{"pool":["hidden-7"]}}`, "", nil}, noted{"driver.command", "alice", "", "drain", "refused", "of driver aws"}},
		{call{"admin", "GET", "/api/v1/node/this/profiling/cmdline", "", "", nil}, noted{"node.profile", "admin", "", "cmdline", "ok", ""}},
	} {
		n.do(t, call{user: "admin", method: "POST", path: commands, body: `{"instance":"aws","command":"status"}`}) // is no deed
		id := n.do(t, tt.call).header.Get("X-Request-Id")
		got := n.noted(t, seen+1)[seen:]
		seen += len(got)
		if len(got) != 1 {
			t.Fatalf("%s %s left %+v, want one event", tt.method, tt.path, got)
		}
		if got[0].ObjectUID != "" && tt.want.ObjectUID == "*" {
			tt.want.ObjectUID = got[0].ObjectUID
		}
		want := apiv1.AuditEvent{
			Action: tt.want.Action, User: tt.want.User, Address: "127.0.0.1", RequestID: id, ObjectUID: tt.want.ObjectUID,
			ObjectName: tt.want.ObjectName, Result: tt.want.Result, Count: 1, Detail: tt.want.Detail,
		}
		if diff := cmp.Diff(want, got[0], cmpopts.IgnoreFields(apiv1.AuditEvent{}, "Seq", "Time")); diff != "" {
			t.Errorf("%s %s (-want +got):\n%s", tt.method, tt.path, diff)
		}
	}
	text, err := os.ReadFile(n.auditPath)
	if err != nil || strings.Contains(string(text), "hidden") || strings.Contains(string(text), password) {
		t.Errorf("error %v; the audit file holds what was sent:\n%s", err, text)
	}
}

// TestLoginsAreNoted: a success once, failures by name only where there is
// such a user.
func TestLoginsAreNoted(t *testing.T) {
	n := newNode(t)
	for range 5 {
		n.do(t, call{user: "alice", path: "/api/v1/user/me/"})
	}
	for _, name := range []string{"alice", "my-secret-in-the-wrong-field"} {
		for range 3 {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, n.server.URL+"/api/v1/user/me/", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.SetBasicAuth(name, "wrong-password")
			res, err := n.server.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			if res.StatusCode != http.StatusUnauthorized {
				t.Errorf("wrong password: %d, want 401", res.StatusCode)
			}
		}
	}
	want := []apiv1.AuditEvent{
		{Action: "login", User: "alice", Result: "ok"}, {Action: "login", User: "alice", Result: "refused"},
		{Action: "login", Result: "refused", Detail: "no such user"},
	}
	ignore := cmpopts.IgnoreFields(apiv1.AuditEvent{}, "Seq", "Time", "Address", "RequestID", "Count")
	if diff := cmp.Diff(want, n.noted(t, 3), ignore); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	text, err := os.ReadFile(n.auditPath)
	if err != nil || strings.Contains(string(text), "secret") || strings.Contains(string(text), "wrong-password") {
		t.Errorf("error %v; the audit file holds a secret:\n%s", err, text)
	}
}

func TestAuditList(t *testing.T) {
	n := newNode(t)
	for range 3 {
		n.do(t, call{user: "admin", method: "DELETE", path: "/api/v1/user/nobody"})
	}
	n.noted(t, 4)
	var page apiv1.AuditPage
	n.get(t, call{user: "admin", path: "/api/v1/audit/?action=user&user=admin&result=ok&limit=2&since=2020-01-01T00:00:00Z"}, &page)
	if len(page.Events) != 2 || page.Events[0].Seq <= page.Events[1].Seq || page.Events[0].ObjectName != "nobody" || page.Next == "" {
		t.Fatalf("first page = %+v", page)
	}
	seen := page.Events[1].Seq
	n.get(t, call{user: "admin", path: "/api/v1/audit/?action=user&cursor=" + page.Next}, &page)
	if len(page.Events) != 1 || page.Events[0].Seq >= seen || page.Next != "" {
		t.Errorf("second page = %+v", page)
	}
	if r := n.do(t, call{user: "admin", path: "/api/v1/audit/?user=nobody"}); r.body != `{"events":[],"next":""}`+"\n" {
		t.Errorf("an empty page is %s", r.body)
	}
	for path, want := range map[string]string{
		"?limit=1001": "limit", "?limit=-1": "limit", "?limit=x": "limit", "?result=good": "result", "?cursor=x": "cursor",
		"?since=yesterday": "since", "?object=x": "object",
	} {
		r := n.do(t, call{user: "admin", path: "/api/v1/audit/" + path})
		if r.status != http.StatusBadRequest || !strings.Contains(r.body, "Invalid format for parameter "+want) {
			t.Errorf("%s: %d %s, want 400", path, r.status, r.body)
		}
	}
	if r := n.do(t, call{user: "alice", path: "/api/v1/audit/"}); r.status != http.StatusBadRequest || !strings.Contains(r.body, "Only 'admin'") {
		t.Errorf("another user: %d %s, want 400", r.status, r.body)
	}
}
