package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/lib/maintenance"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

const emptyHash = `"hash":{"algo":"","prop":{"memory":0,"iterations":0,"threads":0},"salt":null,"hash":null}`

func TestUserLife(t *testing.T) {
	n := newNode(t)
	create := func(user, body string) reply {
		return n.do(t, call{user: user, method: "POST", path: "/api/v1/user/", body: body})
	}
	var made apiv1.UserAPIPassword
	r := create("admin", `{"name":"carol"}`)
	if err := json.Unmarshal([]byte(r.body), &made); err != nil || len(made.Password) != 64 {
		t.Fatalf("creation without a password = %d %s, want one of 64 characters", r.status, r.body)
	}
	if strings.Contains(r.body, `"hash"`) {
		t.Errorf("creation shows a hash that was not sent: %s", r.body)
	}
	r = create("admin", `{"name":"carol","password":"`+password+`","hash":{"algo":"x","prop":{},"salt":"AQ==","hash":null}}`)
	if want := `"hash":{"algo":"x","prop":{"memory":0,"iterations":0,"threads":0},"salt":"AQ==","hash":null},"name":"carol","password":"",`; !strings.Contains(r.body, want) {
		t.Errorf("change with a hash = %s, want %s", r.body, want)
	}
	var again apiv1.UserAPIPassword
	if err := json.Unmarshal([]byte(r.body), &again); err != nil || !again.CreatedAt.Equal(made.CreatedAt) || !again.UpdatedAt.After(made.UpdatedAt) {
		t.Errorf("change = %s, want the creation kept and a later update", r.body)
	}
	for _, path := range []string{"user/me/", "user/carol", "user/"} {
		user := "admin"
		if path == "user/me/" {
			user = "carol"
		}
		if r := n.do(t, call{user: user, path: "/api/v1/" + path}); r.status != 200 || !strings.Contains(r.body, emptyHash) {
			t.Errorf("GET %s = %d %s, want the hash emptied", path, r.status, r.body)
		}
	}
	if r := create("carol", `{"name":"carol","password":"other"}`); r.status != 200 {
		t.Errorf("own password = %d %s", r.status, r.body)
	}
	if r := n.do(t, call{user: "carol", path: "/api/v1/user/me/"}); r.status != 401 {
		t.Errorf("the old password answers %d, want 401", r.status)
	}
	if r := n.do(t, call{user: "admin", method: "DELETE", path: "/api/v1/user/carol"}); r.status != 200 {
		t.Errorf("DELETE = %d %s", r.status, r.body)
	}
	if _, ok := n.store.UserByName("carol"); ok {
		t.Error("the user is still there after DELETE")
	}
}

func TestUserWithAStrangeName(t *testing.T) {
	n := newNode(t)
	for _, name := range []string{"a/b", "100%", "ü", "a b", "me"} {
		body, _ := json.Marshal(map[string]string{"name": name, "password": password})
		if r := n.do(t, call{user: "admin", method: "POST", path: "/api/v1/user/", body: string(body)}); r.status != 200 {
			t.Fatalf("POST %s = %d %s", body, r.status, r.body)
		}
		path := "/api/v1/user/" + strings.NewReplacer("/", "%2F", "%", "%25", " ", "%20", "ü", "%C3%BC").Replace(name)
		var u apiv1.User
		n.get(t, call{user: "admin", path: path}, &u)
		if u.Name != name {
			t.Errorf("GET %s is user %q, want %q", path, u.Name, name)
		}
	}
}

func TestLabelChecks(t *testing.T) {
	n := newNode(t)
	definition := func(rest string) string {
		return `{"name":"x","definitions":[{"driver":"test","resources":{"cpu":1,"ram":1}` + rest + `}]}`
	}
	tests := []struct{ name, body, want string }{
		{"name first", `{"definitions":[{"driver":""}]}`, "name can't be empty"},
		{"driver", `{"name":"x","definitions":[{"resources":{"cpu":0}}]}`, "definition 0: driver can't be empty"},
		{"cpu", `{"name":"x","definitions":[{"driver":"d","resources":{"ram":0}}]}`, "cpu must be 1 or more"},
		{"ram", `{"name":"x","definitions":[{"driver":"d","resources":{"cpu":1,"lifetime":"x"}}]}`, "ram must be 1"},
		{"lifetime", `{"name":"x","definitions":[{"driver":"d","resources":{"cpu":1,"ram":1,"lifetime":"x"}}]}`, `lifetime \"x\" is not a duration`},
		{"known driver refuses", definition(`,"options":{"bad":1}`), `definition 0: driver test: option \"bad\" is unknown`},
		{"options are a list", definition(`,"options":[]`), "options must be a JSON object"},
		{"metadata is a text", `{"name":"x","metadata":"m"}`, "metadata must be a JSON object"},
		{"ssh record is a text", `{"name":"x","metadata":{"AQUARIUM_FISH_SSH_RECORD":"true"}}`,
			"metadata key AQUARIUM_FISH_SSH_RECORD: want true or false, without quotes"},
		{"ssh record is misspelt", `{"name":"x","metadata":{"aquarium_fish_ssh_record":true}}`, "it is written AQUARIUM_FISH_SSH_RECORD"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := n.do(t, call{user: "admin", method: "POST", path: "/api/v1/label/", body: tt.body})
			if r.status != 400 || !strings.HasPrefix(r.body, `{"message":"Unable to create label: `) || !strings.Contains(r.body, tt.want) {
				t.Errorf("got %d %s, want 400 with %s", r.status, r.body, tt.want)
			}
		})
	}
	if got := len(n.store.Labels()); got != 0 {
		t.Errorf("%d labels were stored", got)
	}
}

func TestLabelAnswers(t *testing.T) {
	n := newNode(t)
	post := func(contentType, body string) reply {
		return n.do(t, call{user: "admin", method: "POST", path: "/api/v1/label/", body: body, contentType: contentType})
	}
	r := post("application/yaml", "name: <y>\nversion: 3\ncreated_at: 2001-01-01T00:00:00Z\nUID: x\n"+
		"definitions:\n- driver: other\n  resources: {cpu: 2, ram: 4, node_filter: ['OS:linux'], cpu_overbook: true, disks: {d: {size: 1}}}\n"+
		"  authentication: {username: u}\n  options: {z: 12345678901234567890, a: 1.50}\nmetadata: {B: 1, A: '&'}\n")
	l := n.store.Labels()[0]
	want := `{"UID":"` + l.UID.String() + `","created_at":"` + l.CreatedAt.Format(time.RFC3339Nano) + `","definitions":[` +
		`{"authentication":{"key":"","password":"","port":0,"username":"u"},"driver":"other","options":{"z":12345678901234567890,"a":1.50},` +
		`"resources":{"cpu":2,"cpu_overbook":true,"disks":{"d":{"clone":"","label":"","reuse":false,"size":1,"type":""}},"lifetime":"",` +
		`"multitenancy":false,"network":"","node_filter":["OS:linux"],"ram":4,"ram_overbook":false}}],` +
		`"metadata":{"B":1,"A":"\u0026"},"name":"\u003cy\u003e","version":3}` + "\n"
	if diff := cmp.Diff(want, r.body); r.status != 200 || diff != "" {
		t.Errorf("answer %d (-want +got):\n%s", r.status, diff)
	}
	if l.CreatedAt.Year() == 2001 {
		t.Error("the client chose created_at")
	}
	if r := post("", `{"name":"<y>","version":3}`); r.status != 400 || !strings.Contains(r.body, "has a version 3 already") {
		t.Errorf("the same again = %d %s", r.status, r.body)
	}
	if r := post("", `{"name":"bare","version":-1,"metadata":null}`); !strings.Contains(r.body, `"definitions":[],"metadata":{},"name":"bare","version":-1}`) {
		t.Errorf("a bare label = %d %s", r.status, r.body)
	}
	plain := post("", `{"name":"plain","definitions":[{"driver":"d","resources":{"cpu":1,"ram":1}}]}`)
	if !strings.Contains(plain.body, `[{"driver":"d","options":{},"resources":{"cpu":1,"cpu_overbook":false,"disks":null,`) ||
		!strings.Contains(plain.body, `"node_filter":[]`) {
		t.Errorf("defaults = %s", plain.body)
	}
	for _, path := range []string{"label/", "label/" + l.UID.String()} {
		if r := n.do(t, call{user: "alice", path: "/api/v1/" + path}); r.status != 200 || strings.Contains(r.body, "authentication") {
			t.Errorf("%s shows the login to everybody: %s", path, r.body)
		}
		if r := n.do(t, call{user: "admin", path: "/api/v1/" + path}); !strings.Contains(r.body, `"authentication"`) {
			t.Errorf("%s hides the login from the admin: %s", path, r.body)
		}
	}
	if r := n.do(t, call{user: "alice", path: "/api/v1/label/?filter=name%3D%22plain%22"}); strings.Count(r.body, `"UID"`) != 1 || !strings.HasPrefix(r.body, `[{"UID"`) {
		t.Errorf("filtered list = %s", r.body)
	}
	if r := n.do(t, call{user: "alice", path: "/api/v1/label/?filter=definitions+LIKE+'%25u%25'"}); r.body != "[]\n" {
		t.Errorf("a filter over what is not shown = %s", r.body)
	}
}

func TestApplicationLife(t *testing.T) {
	n := newNode(t)
	label := n.label(t, "linux")
	var made apiv1.Application
	n.get(t, call{
		user: "alice", method: "POST", path: "/api/v1/application/",
		body: fmt.Sprintf(`{"UID":"x","owner_name":"bob","created_at":"2001-01-01T00:00:00Z","label_UID":%q,"metadata":{"b": 12345678901234567890, "a":"<"}}`, label),
	}, &made)
	if made.OwnerName != "alice" || made.CreatedAt.Year() == 2001 || string(made.Metadata) != `{"b":12345678901234567890,"a":"\u003c"}` {
		t.Errorf("created %+v with metadata %s", made, made.Metadata)
	}
	path := "/api/v1/application/" + made.UID.String()
	var state apiv1.ApplicationState
	n.get(t, call{user: "alice", path: path + "/state"}, &state)
	if state.Status != "NEW" || state.Description != "Just created by Fish node-1" || state.ApplicationUID != made.UID {
		t.Errorf("state = %+v", state)
	}
	n.get(t, call{user: "alice", path: path + "/deallocate"}, &state)
	if state.Status != "RECALLED" || state.Description != "Requested by user alice" {
		t.Errorf("deallocate of a waiting one = %+v", state)
	}
	if r := n.do(t, call{user: "alice", path: path + "/deallocate"}); r.status != 400 || !strings.Contains(r.body, "with status: RECALLED") {
		t.Errorf("second deallocate = %d %s", r.status, r.body)
	}
	live := n.allocate(t, n.application(t, label, "alice"))
	n.get(t, call{user: "admin", path: "/api/v1/application/" + live.Application.UID.String() + "/deallocate"}, &state)
	if state.Status != "DEALLOCATE" || state.Description != "Requested by user admin" {
		t.Errorf("deallocate of a live one = %+v", state)
	}
	var list []apiv1.Application
	n.get(t, call{user: "alice", path: "/api/v1/application/"}, &list)
	if len(list) != 2 || list[0].UID != made.UID {
		t.Errorf("list = %+v, want both in order of creation", list)
	}
}

func TestTaskAnswers(t *testing.T) {
	n := newNode(t)
	label := n.label(t, "linux")
	live := n.allocate(t, n.application(t, label, "alice"))
	post := func(e *model.Entry, body string) (task apiv1.ApplicationTask) {
		n.get(t, call{user: "alice", method: "POST", path: "/api/v1/application/" + e.Application.UID.String() + "/task/", body: body}, &task)
		return task
	}
	task := post(live, `{"task":"snapshot","when":"bogus","options":{"full": true},"result":{"x":1},"application_UID":"y","created_at":"2001-01-01T00:00:00Z"}`)
	if string(task.Result) != `{}` || string(task.Options) != `{"full":true}` || task.CreatedAt.Year() == 2001 || task.ApplicationUID != live.Application.UID {
		t.Errorf("task = %+v, result %s, options %s", task, task.Result, task.Options)
	}
	ended := n.end(t, n.allocate(t, n.application(t, label, "alice")))
	late := post(ended, `{"task":"snapshot"}`)
	if want := `{"error":"the Application is over, its status is DEALLOCATED"}`; string(late.Result) != want {
		t.Errorf("task of an ended application has result %s, want %s", late.Result, want)
	}
	e, err := n.store.Application(t.Context(), ended.Application.UID)
	if err != nil || !e.Done() {
		t.Errorf("the ended application is not done after its late task: %v", err)
	}
}

func TestMaintenance(t *testing.T) {
	n := newNode(t)
	yes, no, delay := true, false, 90*time.Second
	tests := []struct {
		query, body string
		want        maintenance.Request
	}{
		{"", "{}\n", maintenance.Request{}},
		{"?enable=false", `{"enable":false}` + "\n", maintenance.Request{Enable: &no}},
		{"?shutdown=true&shutdown_delay=1m30s&enable=true", `{"enable":true,"shutdown":true,"shutdown_delay":"1m30s"}` + "\n",
			maintenance.Request{Enable: &yes, Shutdown: &yes, Delay: &delay}},
	}
	for _, tt := range tests {
		r := n.do(t, call{user: "admin", path: "/api/v1/node/this/maintenance" + tt.query})
		if r.status != 200 || r.body != tt.body {
			t.Errorf("%s = %d %s, want %s", tt.query, r.status, r.body, tt.body)
		}
		tt.want.By = "admin"
		if diff := cmp.Diff([]maintenance.Request{tt.want}, n.maintenance.taken()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.query, diff)
		}
	}
	for _, query := range []string{"?shutdown_delay=soon&enable=false", "?enable=2", "?shutdown=true&shutdown=false"} {
		if r := n.do(t, call{user: "admin", path: "/api/v1/node/this/maintenance" + query}); r.status != 400 {
			t.Errorf("%s = %d %s, want 400", query, r.status, r.body)
		}
	}
	if got := n.maintenance.taken(); len(got) != 0 {
		t.Errorf("refused requests had an effect: %v", got)
	}
}

func TestCrossSite(t *testing.T) {
	n := newNode(t)
	e := n.allocate(t, n.application(t, n.label(t, "linux"), "alice"))
	paths := []string{
		"/api/v1/application/" + e.Application.UID.String() + "/deallocate",
		"/api/v1/resource/" + e.Resource.UID.String() + "/access",
		"/api/v1/node/this/maintenance",
	}
	for _, header := range []map[string]string{
		{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": "::"},
	} {
		for _, path := range paths {
			r := n.do(t, call{user: "admin", path: path, header: header})
			if r.status != 400 || !strings.Contains(r.body, "another site") {
				t.Errorf("%s with %v = %d %s", path, header, r.status, r.body)
			}
		}
	}
	if got := n.maintenance.taken(); len(got) != 0 {
		t.Errorf("maintenance was changed from another site: %v", got)
	}
	own := map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": n.server.URL}
	if r := n.do(t, call{user: "admin", path: paths[2], header: own}); r.status != 200 {
		t.Errorf("the own site = %d %s", r.status, r.body)
	}
	if r := n.do(t, call{user: "alice", path: "/api/v1/label/", header: map[string]string{"Sec-Fetch-Site": "cross-site"}}); r.status != 200 {
		t.Errorf("a GET that only reads = %d %s", r.status, r.body)
	}
}

func TestVotesOfOpenRounds(t *testing.T) {
	n := newNode(t)
	n.votes = []model.Vote{{UID: model.UID{5}, NodeUID: testNode, Round: 3, Available: -1}}
	r := n.do(t, call{user: "admin", path: "/api/v1/vote/"})
	if r.status != http.StatusOK || !strings.Contains(r.body, `"available":-1`) || !strings.Contains(r.body, `"round":3`) {
		t.Errorf("votes = %d %s", r.status, r.body)
	}
	if r := n.do(t, call{user: "admin", path: "/api/v1/vote/?filter=round%3D4"}); r.body != "[]\n" {
		t.Errorf("filtered votes = %s", r.body)
	}
}

func TestLocationAnswers(t *testing.T) {
	n := newNode(t)
	post := func() reply {
		return n.do(t, call{user: "admin", method: "POST", path: "/api/v1/location/", body: `{"name":"office","description":"d"}`})
	}
	if r := post(); r.status != 200 || !strings.HasSuffix(r.body, `","description":"d","name":"office"}`+"\n") {
		t.Errorf("POST = %d %s", r.status, r.body)
	}
	if r := post(); r.status != 400 || !strings.Contains(r.body, "already") {
		t.Errorf("the same again = %d %s", r.status, r.body)
	}
}

// An owner does not fill every node's memory with mappings.
func TestMappingsOfOneApplicationAreBounded(t *testing.T) {
	n := newNode(t)
	app := n.application(t, n.label(t, "linux"), "alice").Application.UID.String()
	post := func(user, service string) reply {
		return n.do(t, call{
			user: user, method: "POST", path: "/api/v1/servicemapping/",
			body: fmt.Sprintf(`{"service":%q,"redirect":"r","application_UID":%q}`, service, app),
		})
	}
	for i := range maxMappings {
		if r := post("alice", fmt.Sprint("s", i)); r.status != http.StatusOK {
			t.Fatalf("mapping %d = %d %s", i, r.status, r.body)
		}
	}
	if r := post("alice", "more"); r.status != http.StatusBadRequest || !strings.Contains(r.body, "ask an admin") {
		t.Errorf("one more = %d %s, want 400", r.status, r.body)
	}
	if r := post("admin", "more"); r.status != http.StatusOK {
		t.Errorf("one more of the admin = %d %s", r.status, r.body)
	}
}

func TestNodeDefinitionIsWhole(t *testing.T) {
	for _, facts := range []string{``, `{}`, `null`, `[]`, `{"cpu":null}`} {
		got, err := json.Marshal(toNodeDefinition(json.RawMessage(facts)))
		if want := `{"cpu":[],"disks":{},"host":{},"memory":{},"nets":[]}`; err != nil || string(got) != want {
			t.Errorf("toNodeDefinition(%s) = %s, %v, want %s", facts, got, err, want)
		}
	}
}
