package api

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/status"
	"github.com/aquarium-fish/aquarium-fish/lib/maintenance"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/overlay"
	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

// TestDrainAnyMember: by name and by UID, of another and of oneself.
func TestDrainAnyMember(t *testing.T) {
	f := newFarm(t)
	for _, tt := range []struct {
		ref string
		at  *node
	}{{"b", f.b}, {f.b.uid.String(), f.b}, {"c", f.c}, {f.c.uid.String(), f.c}} {
		path := "/api/v1/node/" + url.PathEscape(tt.ref) + "/drain"
		var d apiv1.NodeDrain
		f.c.get(t, call{user: "admin", method: http.MethodPost, path: path, body: "enable: true\npersist: true\n", contentType: "application/yaml"}, &d)
		if got := tt.at.maintenance.Drain(); !got.On || !got.Persistent || got.By != "admin" || !d.Enabled {
			t.Errorf("%s: the node has %+v, the client %+v", tt.ref, got, d)
		}
		f.c.get(t, call{user: "admin", path: path + "?pretty"}, &d)
		if !d.Enabled || !d.Persistent {
			t.Errorf("%s: it shows %+v", tt.ref, d)
		}
		_, _ = tt.at.maintenance.SetDrain(t.Context(), false, false, "test")
	}
	if f.a.maintenance.Drain() != (maintenance.Drain{}) {
		t.Error("A was drained too")
	}
	if events := f.b.notedOf(t, "drain.change", 2); len(events) != 2 {
		t.Errorf("B has noted %+v, want both", events)
	}
	if events := f.c.notedOf(t, "drain.change", 2); len(events) != 2 {
		t.Errorf("C has noted %+v, want its own", events)
	}
}

func TestMaintenanceOfMember(t *testing.T) {
	f := newFarm(t)
	r := f.c.do(t, call{user: "admin", path: "/api/v1/node/b/maintenance?enable=false&shutdown=true&shutdown_delay=1m0s"})
	if want := `{"enable":false,"shutdown":true,"shutdown_delay":"1m0s"}` + "\n"; r.status != http.StatusOK || r.body != want {
		t.Errorf("%d %s, want %s", r.status, r.body, want)
	}
	off, stop, minute := false, true, time.Minute
	want := []maintenance.Request{{Enable: &off, Shutdown: &stop, Delay: &minute, By: "admin"}}
	if diff := cmp.Diff(want, f.b.maintenance.taken()); diff != "" {
		t.Errorf("B was asked (-want +got):\n%s", diff)
	}
	if len(f.c.maintenance.taken()) > 0 {
		t.Error("C was asked")
	}
}

// TestMemberRefuses: what the routes of a member answer to who asks wrongly.
func TestMemberRefuses(t *testing.T) {
	f := newFarm(t)
	f.c.net().set(func(c *fakeCluster) { c.retired = []model.UID{f.a.uid} })
	for _, tt := range []struct {
		name   string
		call   call
		status int
		text   string
	}{
		{"unknown name", call{user: "admin", path: "/api/v1/node/zz/drivers"}, 404, `There is no member \"zz\" in the cluster, there are: b, c`},
		{"retired", call{user: "admin", path: "/api/v1/node/a/drivers"}, 404, "was retired"},
		{"not the admin", call{user: "bob", path: "/api/v1/node/b/drivers"}, 400, "Only 'admin'"},
		{"not the admin, own", call{user: "bob", path: "/api/v1/node/c/profiling/heap"}, 400, "Only 'admin'"},
		{"nobody", call{path: "/api/v1/node/b/drivers"}, 401, "Unauthorized"},
		{"another site", call{user: "admin", path: "/api/v1/node/b/maintenance", header: map[string]string{"Sec-Fetch-Site": "cross-site"}}, 400, "another site"},
		{"the member says no", call{user: "admin", method: "POST", path: "/api/v1/node/b/drain", body: `{}`}, 400, "enable is missing"},
		{"broken body", call{user: "admin", method: "POST", path: "/api/v1/node/b/drain", body: `{`}, 400, "Wrong request body"},
		{"wrong field", call{user: "admin", method: "POST", path: "/api/v1/node/b/drain", body: `{"enable":7}`}, 400, "enable"},
		{"bad delay", call{user: "admin", path: "/api/v1/node/b/maintenance?shutdown_delay=x"}, 400, "Unable to change maintenance"},
		{"unknown profile", call{user: "admin", path: "/api/v1/node/b/profiling/zz"}, 404, "There is no profile"},
		{"endless profile", call{user: "admin", path: "/api/v1/node/b/profiling/profile?seconds=601"}, 400, "from 0 to 600"},
		{"wrong method", call{user: "admin", method: "DELETE", path: "/api/v1/node/b/drain"}, 404, "Not Found"},
		{"no such route", call{user: "admin", path: "/api/v1/node/b/"}, 404, "Not Found"},
	} {
		r := f.c.do(t, tt.call)
		if r.status != tt.status || !strings.Contains(r.body, tt.text) {
			t.Errorf("%s: %d %s, want %d with %q", tt.name, r.status, r.body, tt.status, tt.text)
		}
	}
	if f.b.maintenance.taken() != nil || f.b.maintenance.Drain().On {
		t.Error("B was changed")
	}
}

// TestProfileOfMember: binary, and longer than a chunk.
func TestProfileOfMember(t *testing.T) {
	f := newFarm(t)
	for _, node := range []string{"b", "c"} {
		r := f.c.do(t, call{user: "admin", path: "/api/v1/node/" + node + "/profiling/goroutine"})
		z, err := gzip.NewReader(bytes.NewReader([]byte(r.body)))
		if r.status != http.StatusOK || err != nil {
			t.Fatalf("%s: %d, %v", node, r.status, err)
		}
		if _, err := io.Copy(io.Discard, z); err != nil {
			t.Errorf("%s: the profile is broken: %v", node, err)
		}
		if r := f.c.do(t, call{user: "admin", path: "/api/v1/node/" + node + "/profiling/trace?seconds=0.01"}); r.status != http.StatusOK || !strings.HasPrefix(r.body, "go 1.") {
			t.Errorf("%s: trace is %d %.40q", node, r.status, r.body)
		}
		index := f.c.do(t, call{user: "admin", path: "/api/v1/node/" + node + "/profiling/"})
		if index.status != http.StatusOK || !strings.Contains(index.body, "goroutine") || !strings.HasPrefix(index.header.Get("Content-Type"), "text/html") {
			t.Errorf("%s: index is %d %s", node, index.status, index.header.Get("Content-Type"))
		}
	}
}

// TestPeerIsForMembers: what a member's request may, and that no client can
// pose as one.
func TestPeerIsForMembers(t *testing.T) {
	n := newNode(t)
	forged := map[string]string{"Aquarium-User": "admin", "Aquarium-Request": "x", "Aquarium-Remote": "x"}
	if r := n.do(t, call{path: "/api/v1/user/", header: forged}); r.status != http.StatusUnauthorized {
		t.Errorf("the headers of a member without credentials: %d, want 401", r.status)
	}
	if r := n.do(t, call{user: "bob", path: "/api/v1/user/", header: forged}); r.status != http.StatusBadRequest {
		t.Errorf("the headers of a member as bob: %d, want 400", r.status)
	}
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "/api/v1/user/", nil)
	for k, v := range forged {
		r.Header.Set(k, v)
	}
	n.api.Peer().ServeHTTP(w, r)
	if w.Code != http.StatusNotFound {
		t.Errorf("Peer() without an envelope answers %d, want 404", w.Code)
	}
}

// TestPeerKnowsTheUser: neither a member itself nor a user of another database
// may anything.
func TestPeerKnowsTheUser(t *testing.T) {
	f := newFarm(t)
	for _, user := range []string{"", "zoe"} {
		res, err := f.c.api.handlers.members.Do(t.Context(), f.a.uid, overlay.Envelope{User: user}, overlay.Request{Method: http.MethodGet, Path: "/api/v1/label/"})
		if err != nil {
			t.Fatal(err)
		}
		if _ = res.Body.Close(); res.StatusCode != http.StatusForbidden {
			t.Errorf("as %q: %d, want 403", user, res.StatusCode)
		}
	}
	for path, want := range map[string]int{"/meta/v1/data/": 404, "/api/": 404, "/api/v1/user/me/": 200, "/api/v1/user/?filter=%zz": 400} {
		raw, query, _ := strings.Cut(path, "?")
		res, err := f.c.api.handlers.members.Do(t.Context(), f.a.uid, overlay.Envelope{User: "admin", RequestID: "\n"}, overlay.Request{Method: http.MethodGet, Path: raw, Query: query})
		if err != nil {
			t.Fatal(err)
		}
		if _ = res.Body.Close(); res.StatusCode != want || strings.Contains(res.Header.Get("X-Request-Id"), "\n") {
			t.Errorf("%s: %d with id %q, want %d", path, res.StatusCode, res.Header.Get("X-Request-Id"), want)
		}
	}
}

func TestIsRequestID(t *testing.T) {
	for id, want := range map[string]bool{
		"0a1B-7": true, "": false, "a b": false, "a\n": false, strings.Repeat("a", 64): true, strings.Repeat("a", 65): false, "é": false,
	} {
		if got := isRequestID(id); got != want {
			t.Errorf("isRequestID(%q) = %v, want %v", id, got, want)
		}
	}
}

// TestNodesShowSignsOfLife: of all members, from memory.
func TestNodesShowSignsOfLife(t *testing.T) {
	f := newFarm(t)
	seen := f.a.api.handlers.seen()
	if !seen[f.b.uid].Equal(sign) || !seen[f.a.uid].Equal(lastSeen) {
		t.Errorf("signs of life are %v", seen)
	}
	stored := model.Node{UID: f.b.uid, UpdatedAt: sign.Add(-time.Hour)}
	if got := toNode(stored, seen[f.b.uid]).UpdatedAt; !got.Equal(sign) {
		t.Errorf("updated_at is %v, want %v", got, sign)
	}
	if got := toNode(stored, time.Time{}).UpdatedAt; !got.Equal(stored.UpdatedAt) {
		t.Errorf("updated_at of one that was not heard is %v, want %v", got, stored.UpdatedAt)
	}
}

func TestClusterStatus(t *testing.T) {
	f := newFarm(t)
	offset, expires := -1500*time.Millisecond, time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)
	f.a.net().state = &status.Status{
		Cluster: "00112233aabbccdd", Node: f.a.uid, Reason: "it catches up with b",
		Members: []status.Member{
			{
				UID: f.b.uid, Name: "b", Address: "b.example:8001", Location: "lab", State: status.StateActive, LastSeen: sign, Neighbour: true,
				Version: "v1", ProtocolMin: 1, ProtocolMax: 2, Incarnation: 3, Healthy: true, Ready: true, Maintenance: true, Signer: true, Safety: "strict",
				Applications: 4, Load: status.Load{CPU: 5, Memory: 6, Disk: 7}, Lag: 8, ClockOffset: &offset, CertificateExpires: expires,
			},
			{UID: f.a.uid, Name: "a", State: status.StateInactive},
		},
		Links:      []status.Link{{From: f.a.uid, To: f.b.uid, RTT: 1234567 * time.Nanosecond, Bridge: true}},
		Components: [][]model.UID{{f.a.uid, f.b.uid}, {f.c.uid}},
		Ownership:  []status.Ownership{{Thing: "pool", Node: f.b.uid}},
	}
	ms := int64(-1500)
	b := apiv1.ClusterMember{
		UID: f.b.uid, Name: "b", Address: "b.example:8001", LocationName: "lab", State: "active", LastSeen: &sign, Neighbour: true, Version: "v1",
		ProtocolMin: 1, ProtocolMax: 2, Incarnation: 3, Healthy: true, Ready: true, Maintenance: true, Signer: true, Safety: "strict", Applications: 4,
		Load: apiv1.ClusterLoad{CPU: 5, Memory: 6, Disk: 7}, Lag: 8, ClockOffsetMs: &ms, CertificateExpires: &expires,
	}
	want := apiv1.ClusterStatus{
		UID: "00112233aabbccdd", NodeUID: f.a.uid, Reason: "it catches up with b",
		Members:    []apiv1.ClusterMember{{UID: f.a.uid, Name: "a", State: "inactive", Self: true}, b},
		Links:      []apiv1.ClusterLink{{FromUID: f.a.uid, ToUID: f.b.uid, RttMs: 1.23, Bridge: true}},
		Components: [][]model.UID{{f.a.uid, f.b.uid}, {f.c.uid}},
		Ownership:  []apiv1.ClusterOwnership{{Thing: "pool", NodeUID: f.b.uid}},
	}
	var got apiv1.ClusterStatus
	f.a.get(t, call{user: "admin", path: "/api/v1/cluster/"}, &got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the admin sees (-want +got):\n%s", diff)
	}
	b.Address, b.Neighbour, b.Incarnation, b.Signer, b.Applications, b.Load = "", false, 0, false, 0, apiv1.ClusterLoad{}
	b.ClockOffsetMs, b.CertificateExpires = nil, nil
	want.Members[1], want.Links, want.Ownership = b, []apiv1.ClusterLink{}, []apiv1.ClusterOwnership{}
	got = apiv1.ClusterStatus{}
	f.a.get(t, call{user: "alice", path: "/api/v1/cluster/"}, &got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("others see (-want +got):\n%s", diff)
	}
}
