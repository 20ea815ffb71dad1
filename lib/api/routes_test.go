package api

import (
	"net/http"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

const absent = "00000000-1111-2222-3333-444444444444"

// TestRoutes goes through contract 6: every route, who may, and every status.
// What a route does to the node is in the tests of its noun.
func TestRoutes(t *testing.T) {
	n := newNode(t)
	label := n.label(t, "linux")
	waiting := n.application(t, label, "alice").Application.UID.String()
	live := n.allocate(t, n.application(t, label, "alice"))
	task := n.update(t, live, model.Change{Tasks: []model.ApplicationTask{{UID: model.UID{9}, Task: "snapshot", When: "ALLOCATED"}}}).Tasks[0]
	ended := n.end(t, n.allocate(t, n.application(t, label, "alice"))).Application.UID.String()
	mapping, err := n.store.CreateServiceMapping(t.Context(), model.ServiceMapping{Service: "s", Redirect: "r"})
	if err != nil {
		t.Fatal(err)
	}
	vars := strings.NewReplacer("{label}", label.String(), "{waiting}", waiting, "{live}", live.Application.UID.String(),
		"{ended}", ended, "{resource}", live.Resource.UID.String(), "{task}", task.UID.String(),
		"{mapping}", mapping.UID.String(), "{absent}", absent)

	tests := []struct {
		user, method, path, body string
		status                   int
		want                     string // part of the body
	}{
		{"admin", "GET", "user/", "", 200, `[{"created_at":`},
		{"alice", "GET", "user/", "", 400, `{"message":"Only 'admin' user can list users"}`},
		{"alice", "GET", "user/me/", "", 200, `"name":"alice"`},
		{"alice", "GET", "user/me", "", 400, "Only 'admin'"},
		{"admin", "GET", "user/me", "", 404, `Unable to find the user: \"me\"`},
		{"admin", "GET", "user/alice", "", 200, `"name":"alice"`},
		{"alice", "GET", "user/alice", "", 400, "Only 'admin'"},
		{"admin", "POST", "user/", `{"name":""}`, 400, `{"message":"Unable to create user: name can't be empty"}`},
		{"alice", "POST", "user/", `{"name":"bob"}`, 400, "Only 'admin'"},
		{"admin", "POST", "user/", `{"name":1}`, 400, `{"message":"Wrong request body: name can't be a JSON number, it takes a text"}`},
		{"alice", "DELETE", "user/bob", "", 400, "Only 'admin'"},
		{"admin", "DELETE", "user/admin", "", 400, "can't do without"},
		{"admin", "DELETE", "user/nobody", "", 200, `{"message":"User removed"}`},

		{"alice", "GET", "label/", "", 200, `[{"UID":"{label}","created_at":"`},
		{"alice", "GET", "label/{label}", "", 200, `{"UID":"{label}","created_at":"`},
		{"alice", "GET", "label/{absent}", "", 404, "{absent}"},
		{"alice", "POST", "label/", `{"name":"x"}`, 400, "Only 'admin'"},
		{"admin", "POST", "label/", `{"name":["x"]}`, 400, `{"message":"Wrong request body: name can't be a JSON array, it takes a text"}`},
		{"admin", "POST", "label/", ``, 400, `{"message":"Unable to create label: name can't be empty"}`},
		{"alice", "DELETE", "label/{absent}", "", 400, "Only 'admin'"},
		{"admin", "DELETE", "label/{absent}", "", 200, `{"message":"Label removed"}`},
		{"admin", "GET", "label/?filter=no.column%3D1", "", 500, "Unable to get the label list: "},
		{"admin", "GET", "label/?filter=DROP", "", 200, `[]`},

		{"admin", "GET", "resource/", "", 200, `[{"UID":"{resource}"`},
		{"alice", "GET", "resource/", "", 400, "Only 'admin'"},
		{"admin", "GET", "resource/{resource}", "", 200, `"identifier":"test-abcdef"`},
		{"admin", "GET", "resource/{absent}", "", 404, "Unable to find"},
		{"alice", "GET", "resource/{resource}", "", 400, "Only 'admin'"},
		{"alice", "GET", "resource/{resource}/access", "", 400, `{"message":"SSH proxy is not available on this node"}`},
		{"admin", "GET", "resource/{resource}/access", "", 400, "SSH proxy is not available"},
		{"bob", "GET", "resource/{resource}/access", "", 400, "Only the owner"},
		{"alice", "GET", "resource/{absent}/access", "", 404, "Unable to find"},

		{"alice", "GET", "application/", "", 200, `{"UID":"{waiting}"`},
		{"bob", "GET", "application/", "", 200, "[]\n"},
		{"bob", "GET", "application/?filter=1%3D1", "", 200, "[]\n"},
		{"alice", "GET", "application/{waiting}", "", 200, `"metadata":{},"owner_name":"alice"}`},
		{"admin", "GET", "application/{waiting}", "", 200, `"owner_name":"alice"`},
		{"bob", "GET", "application/{waiting}", "", 400, "Only the owner"},
		{"bob", "GET", "application/{absent}", "", 404, "Unable to find the Application: {absent}"},
		{"alice", "POST", "application/", "", 400, `{"message":"Unable to create application: label_UID can't be empty"}`},
		{"alice", "POST", "application/", `{"label_UID":"{absent}"}`, 400, "there is no label {absent}"},
		{"alice", "POST", "application/", `{"label_UID":"x"}`, 400, `{"error":"Wrong request body: label_UID: invalid UUID length: 1"}`},
		{"alice", "POST", "application/", `{"label_UID":5}`, 400, `{"error":"Wrong request body: `},
		{"alice", "POST", "application/", `{`, 400, `{"error":"Wrong request body: is not valid JSON at byte 1`},

		{"alice", "GET", "application/{waiting}/state", "", 200, `"status":"NEW"}`},
		{"admin", "GET", "application/{ended}/state", "", 200, `"status":"DEALLOCATED"}`},
		{"bob", "GET", "application/{waiting}/state", "", 400, "Only the owner"},
		{"bob", "GET", "application/{absent}/state", "", 404, "Unable to find"},
		{"alice", "GET", "application/{live}/resource", "", 200, `"metadata":{"A":"\u003cb\u003e"}`},
		{"alice", "GET", "application/{waiting}/resource", "", 404, "status is NEW"},
		{"alice", "GET", "application/{ended}/resource", "", 404, "status is DEALLOCATED"},
		{"alice", "GET", "application/{absent}/resource", "", 400, "Unable to find"},
		{"bob", "GET", "application/{live}/resource", "", 400, "Only the owner"},

		{"alice", "GET", "application/{live}/task/", "", 200, `[{"UID":"{task}"`},
		{"alice", "GET", "application/{waiting}/task/", "", 200, "[]\n"},
		{"alice", "GET", "application/{absent}/task/", "", 400, "Unable to find"},
		{"bob", "GET", "application/{live}/task/", "", 400, "Only the owner"},
		{"alice", "POST", "application/{live}/task/", `{"task":""}`, 400, `{"message":"Unable to create task: task can't be empty"}`},
		{"alice", "POST", "application/{live}/task/", `[]`, 400, `{"error":"Wrong request body: must be an object"}`},
		{"alice", "POST", "application/{absent}/task/", `{"task":"x"}`, 400, "Unable to find"},
		{"bob", "POST", "application/{live}/task/", `{"task":"x"}`, 400, "Only the owner"},
		{"alice", "GET", "task/{task}", "", 200, `"result":{},"task":"snapshot"`},
		{"admin", "GET", "task/{task}", "", 200, `"when":"ALLOCATED"`},
		{"bob", "GET", "task/{task}", "", 400, "Only the owner"},
		{"alice", "GET", "task/{absent}", "", 400, "Unable to find the ApplicationTask"},
		{"alice", "GET", "task/x", "", 400, "Invalid format for parameter task_uid: "},

		{"alice", "GET", "application/{absent}/deallocate", "", 400, "Unable to find"},
		{"bob", "GET", "application/{live}/deallocate", "", 400, "Only the owner"},
		{"alice", "GET", "application/{ended}/deallocate", "", 400, `{"message":"Unable to deallocate the Application with status: DEALLOCATED"}`},

		{"alice", "GET", "node/", "", 200, `[{"UID":"` + testNode.String() + `","address":"127.0.0.1:8001"`},
		{"alice", "GET", "node/this/", "", 200, `"pubkey":"a2V5","updated_at":"2100-01-02T03:04:05.000000006Z"}`},
		{"alice", "GET", "node/this/maintenance", "", 400, "Only 'admin'"},
		{"admin", "GET", "node/this/maintenance", "", 200, "{}\n"},
		{"admin", "GET", "node/this/maintenance?enable=x", "", 400, "Invalid format for parameter enable: "},
		{"alice", "GET", "node/this/profiling/", "", 400, "Only 'admin'"},
		{"admin", "GET", "node/this/profiling/", "", 200, "<html>"},
		{"alice", "GET", "node/this/profiling/heap", "", 400, "Only 'admin'"},
		{"admin", "GET", "node/this/profiling/nothing", "", 404, `{"message":"There is no profile`},
		{"admin", "GET", "node/this/profiling/goroutine?debug=1", "", 200, "goroutine profile:"},

		{"admin", "GET", "location/", "", 200, "[]\n"},
		{"alice", "GET", "location/", "", 400, "Only 'admin'"},
		{"alice", "POST", "location/", `{"name":"x"}`, 400, "Only 'admin'"},
		{"admin", "POST", "location/", `{"name":""}`, 400, `{"message":"Unable to create location: name can't be empty"}`},
		{"admin", "POST", "location/", `{"name":{}}`, 400, `{"error":"Wrong request body: `},

		{"admin", "GET", "servicemapping/", "", 200, `[{"UID":"{mapping}"`},
		{"alice", "GET", "servicemapping/", "", 400, "Only 'admin'"},
		{"admin", "GET", "servicemapping/{mapping}", "", 200, `"application_UID":"00000000-0000-0000-0000-000000000000"`},
		{"admin", "GET", "servicemapping/{absent}", "", 404, "Unable to find"},
		{"alice", "GET", "servicemapping/{mapping}", "", 400, "Only 'admin'"},
		{"alice", "POST", "servicemapping/", `{"service":"s","redirect":"r"}`, 400, "Only 'admin'"},
		{"bob", "POST", "servicemapping/", `{"service":"s","redirect":"r","application_UID":"{waiting}"}`, 400, "Only the owner"},
		{"alice", "POST", "servicemapping/", `{"service":"s","redirect":"r","application_UID":"{waiting}"}`, 200, `"application_UID":"{waiting}"`},
		{"admin", "POST", "servicemapping/", `{"service":"s"}`, 400, `{"message":"Unable to create service mapping: redirect can't be empty"}`},
		{"admin", "POST", "servicemapping/", `{"service":"s","redirect":"r"}`, 400, "mapped already"},
		{"admin", "POST", "servicemapping/", `{"service":"t","redirect":"http://r/"}`, 400, `{"message":"Unable to create service mapping: redirect \"http://r/\": want a DNS name`},
		{"admin", "POST", "servicemapping/", `{"service":"t:80","redirect":"r"}`, 400, "the name or the IP address alone"},
		{"admin", "POST", "servicemapping/", `{"service":"2001:db8::1","redirect":"[2001:db8::2]:80","location_name":"lab"}`, 200, `"location_name":"lab","redirect":"[2001:db8::2]:80","service":"2001:db8::1"}`},
		{"admin", "POST", "servicemapping/", `{"service":1}`, 400, `{"error":"Wrong request body: `},
		{"alice", "DELETE", "servicemapping/{mapping}", "", 400, "Only 'admin'"},
		{"admin", "DELETE", "servicemapping/{absent}", "", 200, `{"message":"ServiceMapping removed"}`},

		{"admin", "GET", "vote/", "", 200, `"rand":7,"round":0}`},
		{"alice", "GET", "vote/", "", 400, "Only 'admin'"},

		{"alice", "GET", "application/{waiting}/explain", "", 200, `{"application_UID":"{waiting}","description":"`},
		{"admin", "GET", "application/{ended}/explain", "", 200, `"never":false,"nodes":[],"since":"`},
		{"bob", "GET", "application/{waiting}/explain", "", 400, "Only the owner"},
		{"bob", "GET", "application/{absent}/explain", "", 404, "Unable to find the Application: {absent}"},
		{"alice", "GET", "application/x/explain", "", 400, "Invalid format for parameter uid: "},
		{"alice", "GET", "application/active/", "", 200, `[{"application":{"UID":"{waiting}"`},
		{"bob", "GET", "application/active/?ended_within=60", "", 200, "[]\n"},
		{"alice", "GET", "application/active/?ended_within=60", "", 200, `{"application":{"UID":"{ended}"`},
		{"alice", "GET", "application/active/?ended_within=0", "", 400, "want a number of seconds from 1 to 3600"},
		{"alice", "GET", "application/active/?ended_within=3601", "", 400, "want a number of seconds from 1 to 3600"},
		{"alice", "GET", "application/active/?ended_within=x", "", 400, "Invalid format for parameter ended_within: "},
		{"", "GET", "application/active/", "", 401, `{"message":"Unauthorized"}`},
		{"alice", "GET", "node/this/drivers", "", 400, "Only 'admin'"},
		{"admin", "GET", "node/this/drivers/", "", 404, `{"message":"Not Found"}`},
		{"alice", "POST", "label/check", `{"name":"x"}`, 400, "Only 'admin'"},
		{"admin", "POST", "label/check", ``, 400, `{"message":"Unable to create label: name can't be empty"}`},
		{"admin", "POST", "label/check", `{"name":["x"]}`, 400, `{"message":"Wrong request body: name can't be a JSON array, it takes a text"}`},
		{"alice", "GET", "label/check", "", 400, "Invalid format for parameter uid: "},

		// Forms that lead nowhere.
		{"alice", "GET", "label", "", 404, `{"message":"Not Found"}`},
		{"alice", "GET", "label/{label}/", "", 404, `{"message":"Not Found"}`},
		{"alice", "GET", "application/{waiting}/task", "", 404, `{"message":"Not Found"}`},
		{"alice", "PUT", "label/{label}", "", 404, `{"message":"Not Found"}`},
		{"alice", "PATCH", "label/", "", 404, `{"message":"Not Found"}`},
		{"alice", "POST", "label/{label}", "{", 404, `{"message":"Not Found"}`},
		{"alice", "OPTIONS", "label/", "", 404, `{"message":"Not Found"}`},
		{"alice", "GET", "nothing/", "", 404, `{"message":"Not Found"}`},
		{"alice", "GET", "", "", 404, `{"message":"Not Found"}`},
		{"", "GET", "nothing/", "", 401, `{"message":"Unauthorized"}`},
		{"", "POST", "openapi.yaml", "", 401, `{"message":"Unauthorized"}`},

		// Values that can not be read.
		{"alice", "GET", "label/x", "", 400, "Invalid format for parameter uid: "},
		{"alice", "GET", "application/zzzzzzzz-1111-2222-3333-444444444444/state", "", 400, "Invalid format for parameter uid: "},
		{"alice", "GET", "label/?filter=a&filter=b", "", 400, "Invalid format for parameter filter: "},
		{"alice", "GET", "label/?filter=%zz", "", 400, "Invalid format for the query: "},
		{"alice", "GET", "label/?filter=name='linux';DROP", "", 200, `[{"UID":"{label}","created_at":"`},
		{"alice", "GET", "label/?filter=", "", 200, "[]\n"},
	}
	for _, tt := range tests {
		t.Run(tt.user+" "+tt.method+" "+tt.path, func(t *testing.T) {
			got := n.do(t, call{user: tt.user, method: tt.method, path: "/api/v1/" + vars.Replace(tt.path), body: vars.Replace(tt.body)})
			want := vars.Replace(tt.want)
			if got.status != tt.status || !strings.Contains(got.body, want) {
				t.Fatalf("got %d %s, want %d with %s", got.status, got.body, tt.status, want)
			}
			if strings.Contains(tt.path, "profiling") && tt.status == 200 {
				return
			}
			if ct := got.header.Get("Content-Type"); ct != "application/json; charset=UTF-8" {
				t.Errorf("content type %q", ct)
			}
			if !strings.HasSuffix(got.body, "\n") {
				t.Errorf("%q has no newline at its end", got.body)
			}
			if got.header.Get("X-Request-Id") == "" {
				t.Error("no request id")
			}
		})
	}
}

func TestProfiles(t *testing.T) {
	n := newNode(t)
	for name := range strings.SplitSeq(profiles, ", ") {
		path := "/api/v1/node/this/profiling/" + name
		switch name {
		case "profile":
			path += "?seconds=1"
		case "trace":
			path += "?seconds=0.1"
		}
		if r := n.do(t, call{user: "admin", path: path}); r.status != http.StatusOK || r.body == "" {
			t.Errorf("%s = %d with %d bytes", name, r.status, len(r.body))
		}
	}
	for _, seconds := range []string{"x", "-1", "601", "NaN"} {
		if r := n.do(t, call{user: "admin", path: "/api/v1/node/this/profiling/profile?seconds=" + seconds}); r.status != http.StatusBadRequest {
			t.Errorf("%s seconds = %d %.100s, want 400", seconds, r.status, r.body)
		}
	}
}

func TestHeadIsNotFound(t *testing.T) {
	n := newNode(t)
	for _, path := range []string{"/api/v1/label/", "/api/", "/api/v1/openapi.yaml"} {
		if got := n.do(t, call{user: "alice", method: http.MethodHead, path: path}); got.status != http.StatusNotFound {
			t.Errorf("HEAD %s = %d, want 404", path, got.status)
		}
	}
}

func TestCredentials(t *testing.T) {
	n := newNode(t)
	tests := []struct {
		name, header string
		status       int
		want         string
	}{
		{"none", "", 401, `{"message":"Unauthorized"}`},
		{"other scheme", "Bearer x", 401, `{"message":"Unauthorized"}`},
		{"broken base64", "Basic ###", 400, `{"message":"Bad Request"}`},
		{"no colon", "Basic YWxpY2U=", 401, `{"message":"Unauthorized"}`},
		{"wrong password", "Basic YWxpY2U6d3Jvbmc=", 401, `{"message":"Unauthorized"}`},
		{"unknown user", "Basic bm9ib2R5OnJpZ2h0", 401, `{"message":"Unauthorized"}`},
		{"right", "bAsIc YWxpY2U6cmlnaHQ=", 200, `"name":"alice"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := call{path: "/api/v1/user/me/", header: map[string]string{}}
			if tt.header != "" {
				c.header["Authorization"] = tt.header
			}
			got := n.do(t, c)
			if got.status != tt.status || !strings.Contains(got.body, tt.want) {
				t.Errorf("got %d %s, want %d with %s", got.status, got.body, tt.status, tt.want)
			}
			if challenge := got.header.Get("WWW-Authenticate"); (tt.status == 401) != (challenge == "basic realm=Restricted") {
				t.Errorf("WWW-Authenticate = %q", challenge)
			}
		})
	}
}

// TestOutsideTheAPI checks what is served without credentials.
func TestOutsideTheAPI(t *testing.T) {
	n := newNode(t)
	tests := []struct {
		path   string
		status int
		want   string
	}{
		{"/api/v1/openapi.yaml", 200, "openapi: 3.0.3"},
		{"/api/", 200, "<h1>Aquarium Fish API"},
		{"/meta/v1/data/", 200, "meta /meta/v1/data/"},
		{"/", 404, `{"message":"Not Found"}`},
		{"/api", 404, `{"message":"Not Found"}`},
		{"/api/v2/label/", 404, `{"message":"Not Found"}`},
		{"/api/v1", 401, "Unauthorized"},
		{"/api/v1/openapi.yaml/", 401, "Unauthorized"},
	}
	for _, tt := range tests {
		t.Run(tt.path, func(t *testing.T) {
			got := n.do(t, call{path: tt.path})
			if got.status != tt.status || !strings.Contains(got.body, tt.want) {
				t.Errorf("got %d %.200s, want %d with %s", got.status, got.body, tt.status, tt.want)
			}
		})
	}
}
