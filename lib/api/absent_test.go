package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/audit"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

func create(t testing.TB, n *node, label model.UID, query string) reply {
	t.Helper()
	return n.do(t, call{user: "alice", method: http.MethodPost, path: "/api/v1/application/" + query, body: fmt.Sprintf(`{"label_UID":%q}`, label)})
}

// TestJenkinsSequence: what a client made on A it finds at once on C, which
// has nothing of it yet.
func TestJenkinsSequence(t *testing.T) {
	f := newFarm(t)
	label := f.a.label(t, "linux")
	var app apiv1.Application
	if err := json.Unmarshal([]byte(create(t, f.a, label, "").body), &app); err != nil {
		t.Fatal(err)
	}
	path := "/api/v1/application/" + app.UID.String()
	var got apiv1.Application
	f.c.get(t, call{user: "alice", path: path}, &got)
	if got.UID != app.UID || got.OwnerName != "alice" {
		t.Errorf("C shows %+v, want %+v", got, app)
	}
	var state apiv1.ApplicationState
	f.c.get(t, call{user: "alice", path: path + "/state?pretty"}, &state)
	if state.Status != "NEW" {
		t.Errorf("C shows %+v, want NEW", state)
	}
	e, err := f.a.store.Application(t.Context(), app.UID)
	if err != nil {
		t.Fatal(err)
	}
	e = f.a.allocate(t, e)
	for _, path := range []string{path + "/resource", "/api/v1/resource/" + e.Resource.UID.String()} {
		var resource apiv1.Resource
		f.c.get(t, call{user: "admin", path: path}, &resource)
		if resource.UID != e.Resource.UID {
			t.Errorf("C shows %+v, want %+v", resource, e.Resource)
		}
	}
	var task apiv1.ApplicationTask
	r := f.c.do(t, call{user: "alice", method: http.MethodPost, path: path + "/task/", body: "task: snapshot\nwhen: ALLOCATED\n", contentType: "application/yaml"})
	if err := json.Unmarshal([]byte(r.body), &task); err != nil || r.status != http.StatusOK {
		t.Fatalf("task on C = %d %s", r.status, r.body)
	}
	for _, path := range []string{"/api/v1/task/" + task.UID.String(), path + "/task/"} {
		if r := f.c.do(t, call{user: "alice", path: path}); r.status != http.StatusOK || !strings.Contains(r.body, task.UID.String()) {
			t.Errorf("%s on C = %d %s", path, r.status, r.body)
		}
	}
	f.c.get(t, call{user: "alice", path: path + "/deallocate"}, &state)
	if e, _ := f.a.store.Application(t.Context(), app.UID); state.Status != "DEALLOCATE" || e.Fold.Status() != model.StatusDeallocate {
		t.Errorf("C answers %+v, A has %s, want DEALLOCATE", state, e.Fold.Status())
	}
	if e, _ := f.c.store.Application(t.Context(), app.UID); e != nil {
		t.Error("C made something of its own of what is A's")
	}
}

// TestAbsent: what each answer is that would have to be guessed.
func TestAbsent(t *testing.T) {
	f := newFarm(t)
	label := f.a.label(t, "linux")
	known := f.a.application(t, label, "alice").Application.UID
	others := f.a.application(t, label, "bob").Application.UID
	never := model.NewUIDSource(f.a.uid).New(time.Now())
	nobodys := model.UID{9, 9, 9, 9, 9, 9, 0x40}
	own := model.NewUIDSource(f.c.uid).New(time.Now())
	for _, tt := range []struct {
		name, method, path string
		uid                model.UID
		status             int
		text               string
	}{
		{"of another", "GET", "/application/%s", known, 200, known.String()},
		{"of another user", "GET", "/application/%s", others, 400, "Only the owner"},
		{"what its maker has not", "GET", "/application/%s/state", never, 404, "Unable to find"},
		{"400 as of that route", "GET", "/application/%s/resource", never, 400, "Unable to find"},
		{"of nobody", "GET", "/application/%s/state", nobodys, 404, "Unable to find"},
		{"own", "GET", "/application/%s/state", own, 404, "Unable to find"},
		{"label", "GET", "/label/%s", label, 200, label.String()},
		{"unknown label", "GET", "/label/%s", never, 404, "Unable to find"},
		{"task", "GET", "/task/%s", never, 400, "Unable to find"},
		{"access", "GET", "/resource/%s/access", never, 404, "Unable to find"},
		{"deallocate", "GET", "/application/%s/deallocate", never, 400, "Unable to find"},
		{"tasks", "GET", "/application/%s/task/", known, 200, "[]"},
	} {
		r := f.c.do(t, call{user: "alice", method: tt.method, path: "/api/v1" + fmt.Sprintf(tt.path, tt.uid)})
		if r.status != tt.status || !strings.Contains(r.body, tt.text) {
			t.Errorf("%s: %d %s, want %d with %q", tt.name, r.status, r.body, tt.status, tt.text)
		}
	}
}

// TestDeletedLabel: one that is known to be deleted is nowhere, whether its
// maker can be asked or not.
func TestDeletedLabel(t *testing.T) {
	f := newFarm(t)
	label := f.a.label(t, "linux")
	batch, err := f.a.store.Rows(t.Context(), f.a.store.Origin(), 0, replica.Limit{Rows: 1000, Bytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.c.store.Replicate(t.Context(), []replica.Batch{batch}); err != nil {
		t.Fatal(err)
	}
	path := "/api/v1/label/" + label.String()
	for range 2 { // the second time it is gone
		if r := f.c.do(t, call{user: "admin", method: http.MethodDelete, path: path}); r.status != http.StatusOK {
			t.Errorf("DELETE = %d %s, want 200", r.status, r.body)
		}
		f.c.net().set(func(c *fakeCluster) { c.gone = []model.UID{f.a.uid} })
	}
	if r := f.c.do(t, call{user: "alice", path: path}); r.status != http.StatusNotFound {
		t.Errorf("GET = %d %s, want 404", r.status, r.body)
	}
	if r := create(t, f.c, label, ""); r.status != http.StatusBadRequest {
		t.Errorf("an application for it = %d %s, want 400", r.status, r.body)
	}
}

// TestMakerAway: a member that does not answer is no reason to guess.
func TestMakerAway(t *testing.T) {
	f := newFarm(t)
	label := f.a.label(t, "linux")
	app := f.a.application(t, label, "alice").Application.UID
	mapping := model.NewUIDSource(f.a.uid).New(time.Now())
	routes := []call{
		{path: "/api/v1/application/" + app.String()},
		{path: "/api/v1/application/" + app.String() + "/state"},
		{path: "/api/v1/application/" + app.String() + "/resource"},
		{path: "/api/v1/application/" + app.String() + "/task/"},
		{path: "/api/v1/application/" + app.String() + "/deallocate"},
		{path: "/api/v1/label/" + label.String()},
		{path: "/api/v1/task/" + app.String()},
		{path: "/api/v1/resource/" + app.String()},
		{path: "/api/v1/servicemapping/" + mapping.String()},
		{method: http.MethodDelete, path: "/api/v1/servicemapping/" + mapping.String()},
		{method: http.MethodDelete, path: "/api/v1/label/" + label.String()},
		{method: http.MethodPost, path: "/api/v1/application/", body: fmt.Sprintf(`{"label_UID":%q}`, label)},
		{method: http.MethodPost, path: "/api/v1/application/" + app.String() + "/task/", body: `{"task":"x"}`},
		{path: "/api/v1/node/a/drivers"},
	}
	f.c.net().set(func(c *fakeCluster) { c.gone = []model.UID{f.a.uid} })
	for _, c := range routes {
		c.user = "admin"
		r := f.c.do(t, c)
		r.wantRetry(t, c.method+" "+c.path)
		if !strings.Contains(r.body, "member a") {
			t.Errorf("%s answers %s, which does not say who is away", c.path, r.body)
		}
	}
	f.c.net().set(func(c *fakeCluster) { c.gone, c.retired = nil, []model.UID{f.a.uid} })
	if r := f.c.do(t, routes[0].as("admin")); r.status != http.StatusNotFound {
		t.Errorf("of a retired member: %d %s, want 404", r.status, r.body)
	}
}

func (c call) as(user string) call { c.user = user; return c }

// TestMakerHangs: it is waited for a second, and not longer.
func TestMakerHangs(t *testing.T) {
	f := newFarm(t)
	app := f.a.application(t, f.a.label(t, "linux"), "alice").Application.UID
	f.c.net().set(func(c *fakeCluster) { c.hung = []model.UID{f.a.uid} })
	began := time.Now()
	f.c.do(t, call{user: "alice", path: "/api/v1/application/" + app.String()}).wantRetry(t, "state")
	if took := time.Since(began); took < askBudget || took > 5*askBudget {
		t.Errorf("it took %v, want %v", took, askBudget)
	}
}

// TestComesMeanwhile: what is replicated while its maker is asked is answered
// from here.
func TestComesMeanwhile(t *testing.T) {
	f := newFarm(t)
	e := f.a.application(t, f.a.label(t, "linux"), "alice")
	f.c.net().set(func(c *fakeCluster) { c.hung = []model.UID{f.a.uid} })
	looks := make(chan struct{}, 100)
	f.c.arrivals.looked = func() { looks <- struct{}{} }
	go func() {
		<-looks // by the handler
		<-looks // by who waits
		f.c.arrive(t, e)
	}()
	began := time.Now()
	r := f.c.do(t, call{user: "alice", path: "/api/v1/application/" + e.Application.UID.String() + "/state?pretty"})
	if r.status != http.StatusOK || !strings.Contains(r.body, "  \"status\": \"NEW\"\n") || time.Since(began) > askBudget {
		t.Errorf("%d %s after %v, want NEW at once", r.status, r.body, time.Since(began))
	}
}

// TestOutdated: a node that has not caught up does not tell of an application
// of others what may be long past.
func TestOutdated(t *testing.T) {
	f := newFarm(t)
	app := f.a.application(t, f.a.label(t, "linux"), "alice").Application.UID
	batch, err := f.a.store.Rows(t.Context(), f.a.store.Origin(), 0, replica.Limit{Rows: 100, Bytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.c.store.Replicate(t.Context(), []replica.Batch{batch}); err != nil {
		t.Fatal(err)
	}
	f.c.net().set(func(c *fakeCluster) { c.ready = false })
	state := call{user: "alice", path: "/api/v1/application/" + app.String() + "/state"}
	f.c.do(t, state).wantRetry(t, "the state while it catches up")
	f.c.net().set(func(c *fakeCluster) { c.ready = true })
	if r := f.c.do(t, state); r.status != http.StatusOK {
		t.Errorf("the state afterwards: %d %s", r.status, r.body)
	}
}

// TestNotReady: a node that has not caught up knows nothing for sure.
func TestNotReady(t *testing.T) {
	f := newFarm(t)
	app := f.c.application(t, f.c.label(t, "linux"), "alice").Application.UID
	f.c.net().set(func(c *fakeCluster) { c.ready = false })
	unknown := model.NewUIDSource(f.c.uid).New(time.Now()).String()
	for _, c := range []call{
		{path: "/api/v1/user/"}, {path: "/api/v1/label/"}, {path: "/api/v1/resource/"}, {path: "/api/v1/application/"},
		{path: "/api/v1/application/active/"}, {path: "/api/v1/application/" + app.String() + "/task/"},
		{path: "/api/v1/location/"}, {path: "/api/v1/servicemapping/"}, {path: "/api/v1/vote/"},
		{path: "/api/v1/application/" + unknown + "/state"}, {path: "/api/v1/label/" + unknown}, {path: "/api/v1/user/zoe"},
		{method: http.MethodDelete, path: "/api/v1/label/" + unknown}, {method: http.MethodDelete, path: "/api/v1/user/zoe"},
		{path: "/api/v1/node/nobody/drivers"},
		{method: http.MethodPost, path: "/api/v1/application/", body: fmt.Sprintf(`{"label_UID":%q}`, unknown)},
	} {
		f.c.do(t, c.as("admin")).wantRetry(t, c.method+" "+c.path)
	}
	f.c.do(t, call{user: "newcomer", path: "/api/v1/user/me/"}).wantRetry(t, "a user who may not have come yet")
	for _, path := range []string{"/api/v1/application/" + app.String() + "/state", "/api/v1/node/", "/api/v1/cluster/", "/api/v1/node/this/drivers", "/api/v1/node/c/drivers"} {
		if r := f.c.do(t, call{user: "admin", path: path}); r.status != http.StatusOK {
			t.Errorf("%s = %d %s, want what is known", path, r.status, r.body)
		}
	}
	f.b.net().set(func(c *fakeCluster) { c.ready = false })
	f.a.do(t, call{user: "admin", path: "/api/v1/label/" + model.NewUIDSource(f.b.uid).New(time.Now()).String()}).
		wantRetry(t, "the member that is asked is not ready")
	if r := f.a.do(t, call{user: "newcomer", path: "/api/v1/user/me/"}); r.status != http.StatusUnauthorized {
		t.Errorf("a stranger on a node that is ready: %d, want 401", r.status)
	}
}

// TestUserHasNotCome: the client's credentials were right, so it is no 403.
func TestUserHasNotCome(t *testing.T) {
	f := newFarm(t)
	app := f.a.application(t, f.a.label(t, "linux"), "zoe").Application.UID
	if _, err := f.c.store.PutUser(t.Context(), "zoe", func(*model.User) (model.User, error) { return model.User{Hash: cheapHash()}, nil }); err != nil {
		t.Fatal(err)
	}
	f.c.do(t, call{user: "zoe", path: "/api/v1/application/" + app.String()}).wantRetry(t, "an application of a new user")
}

// TestPassedOnOnce: two members that each believe the other knows do not ask
// each other for ever.
func TestPassedOnOnce(t *testing.T) {
	f := newFarm(t)
	uid := model.NewUIDSource(f.b.uid).New(time.Now())
	// B believes that C made what has B's prefix.
	f.b.api.handlers.Node = model.UID{0xff}
	if r := f.a.do(t, call{user: "admin", path: "/api/v1/label/" + uid.String()}); r.status != http.StatusNotFound {
		t.Errorf("%d %s, want 404", r.status, r.body)
	}
	if f.b.net().dials != 0 {
		t.Errorf("B asked on %d times", f.b.net().dials)
	}
}

// TestCrowd: members that are gone do not collect all requests of a node.
func TestCrowd(t *testing.T) {
	f := newFarm(t)
	for range maxAsked {
		f.c.api.handlers.asked <- struct{}{}
	}
	r := f.c.do(t, call{user: "admin", path: "/api/v1/label/" + model.NewUIDSource(f.a.uid).New(time.Now()).String()})
	r.wantRetry(t, "one too many")
	if f.c.net().dials != 0 {
		t.Error("it was asked all the same")
	}
}

// TestDeedIsNotedOnce: by who does it, with the client's address and the
// request id that it was told.
func TestDeedIsNotedOnce(t *testing.T) {
	f := newFarm(t)
	app := f.a.application(t, f.a.label(t, "linux"), "alice").Application.UID
	r := f.c.do(t, call{user: "alice", path: "/api/v1/application/" + app.String() + "/deallocate"})
	if r.status != http.StatusOK {
		t.Fatalf("deallocate = %d %s", r.status, r.body)
	}
	const action = "application.deallocate"
	events := f.a.notedOf(t, action, 1)
	if len(events) != 1 {
		t.Fatalf("A has noted %+v, want one event", events)
	}
	event := events[0]
	if event.User != "alice" || event.Result != audit.ResultOK || event.RequestID != r.header.Get("X-Request-Id") ||
		event.Address != "127.0.0.1" {
		t.Errorf("A has noted %+v, want request %s", event, r.header.Get("X-Request-Id"))
	}
	if page, err := f.c.audit.Read(t.Context(), audit.Query{Action: action, Limit: 10}); err != nil || len(page.Events) != 0 {
		t.Errorf("C has noted %+v, %v, want nothing", page.Events, err)
	}
}

// TestReplicated: an answer that waits for a second node says whether there is
// one.
func TestReplicated(t *testing.T) {
	f := newFarm(t)
	label := f.a.label(t, "linux")
	for _, tt := range []struct {
		name, query string
		replicated  func(context.Context) error
		want        string
	}{
		{"not asked for", "", func(context.Context) error { return errors.New("was called") }, ""},
		{"not wanted", "?replicated=0", func(context.Context) error { return errors.New("was called") }, ""},
		{"done", "?replicated=1", func(context.Context) error { return nil }, "true"},
		{"nobody there", "?replicated=1", func(context.Context) error { return errAlone }, "false"},
		{"too slow", "?replicated=1", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, "false"},
	} {
		f.a.net().set(func(c *fakeCluster) { c.replicated = tt.replicated })
		for _, n := range []*node{f.a, f.c} { // C passes it on, as it does not know the label
			r := create(t, n, label, tt.query)
			if got := r.header.Get(replicaHeader); r.status != http.StatusOK || got != tt.want {
				t.Errorf("%s: %d with %q, want 200 with %q", tt.name, r.status, got, tt.want)
			}
		}
	}
	for _, query := range []string{"?replicated=2", "?replicated", "?replicated=1&replicated=1"} {
		if r := create(t, f.a, label, query); r.status != http.StatusBadRequest || !strings.Contains(r.body, "replicated") {
			t.Errorf("%s: %d %s, want 400", query, r.status, r.body)
		}
	}
	if r := f.a.do(t, call{user: "alice", path: "/api/v1/label/?replicated=1"}); r.header.Get(replicaHeader) != "" {
		t.Error("a list was replicated")
	}
}

// TestAlone: a node without a cluster answers as ever.
func TestAlone(t *testing.T) {
	n := newNode(t)
	r := create(t, n, n.label(t, "linux"), "?replicated=1")
	if r.status != http.StatusOK || r.header.Get(replicaHeader) != "false" {
		t.Errorf("%d with %q, want 200 with false", r.status, r.header.Get(replicaHeader))
	}
	if r := n.do(t, call{user: "admin", path: "/api/v1/label/" + model.NewUIDSource(model.UID{5}).New(time.Now()).String()}); r.status != http.StatusNotFound {
		t.Errorf("unknown label = %d, want 404", r.status)
	}
	var s apiv1.ClusterStatus
	n.get(t, call{user: "alice", path: "/api/v1/cluster/"}, &s)
	if len(s.Members) != 1 || s.Members[0].Name != "node-1" || !s.Members[0].Self || !s.Ready || len(s.Components) != 1 {
		t.Errorf("status is %+v", s)
	}
	if _, err := (alone{}).Dial(t.Context(), testNode); !errors.Is(err, errAlone) {
		t.Errorf("Dial() error %v, want errAlone", err)
	}
}
