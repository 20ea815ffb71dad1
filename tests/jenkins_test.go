package tests

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"os/exec"
	"reflect"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// strict reads an object as a generated client does: a key that it does not
// know is an error, and so is a missing or null one that it requires.
func strict[T any](t *testing.T, got fish.Response) T {
	t.Helper()
	var v T
	dec := json.NewDecoder(bytes.NewReader(got.Body))
	dec.DisallowUnknownFields()
	if got.Status != http.StatusOK {
		t.Fatalf("status %d %s", got.Status, got.Body)
	}
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, got.Body)
	}
	if reflect.ValueOf(v).Kind() == reflect.Slice && reflect.ValueOf(v).IsNil() {
		t.Fatalf("a list is null")
	}
	return v
}

type (
	pluginLabel struct {
		UID         string
		CreatedAt   string `json:"created_at"`
		Name        string
		Version     int
		Metadata    map[string]json.RawMessage
		Definitions []struct {
			Driver    string
			Options   map[string]json.RawMessage
			Resources map[string]json.RawMessage
		}
	}
	pluginState struct {
		UID, Description, Status string
		ApplicationUID           string `json:"application_UID"`
		CreatedAt                string `json:"created_at"`
	}
	pluginTask struct {
		UID, Task, When string
		ApplicationUID  string `json:"application_UID"`
		CreatedAt       string `json:"created_at"`
		UpdatedAt       string `json:"updated_at"`
		Options, Result map[string]json.RawMessage
	}
)

// testJenkins goes the way of the cloud plugin, from the check of its
// credentials to the end of an agent (contract 26).
func testJenkins(t *testing.T, w *world) {
	name := fresh("it's a label")
	for _, version := range []string{"1", "3", "2"} {
		w.admin.CreateLabel(`{"name":` + quoted(name) + `,"version":` + version + `,"definitions":[{"driver":"nosuch","resources":{"cpu":1,"ram":1}},{"driver":"test","resources":{"cpu":1,"ram":1},"authentication":{"password":"x"}}]}`)
	}
	jenkins := addUser(t, w.admin, fresh("jenkins"))
	get := func(path string) fish.Response { return jenkins.Call(fish.Call{Path: "/api/v1/" + path}) }
	want(t, "check of credentials", get("user/me/"), 200, `"hash":{"algo":""`)
	if all := strict[[]pluginLabel](t, get("label/")); len(all) < 3 {
		t.Errorf("%d labels", len(all))
	}
	escaped := "name='" + strings.ReplaceAll(name, "'", "''") + "'"
	byName := strict[[]pluginLabel](t, get("label/?filter="+url.QueryEscape(escaped)))
	exact := strict[[]pluginLabel](t, get("label/?filter="+url.QueryEscape(escaped+" AND version=3")))
	if len(byName) != 3 || len(exact) != 1 || exact[0].Version != 3 || exact[0].Name != name {
		t.Fatalf("labels by name: %+v, by version: %+v", byName, exact)
	}
	if none := strict[[]pluginLabel](t, get("label/?filter="+url.QueryEscape(escaped+" AND version=4"))); len(none) != 0 {
		t.Errorf("labels of a version that is not there: %+v", none)
	}
	app := jenkins.CreateApplication(exact[0].UID, `{"JENKINS_URL":"https://ci/","JENKINS_AGENT_NAME":"a-1","JENKINS_AGENT_SECRET":"s3cret"}`)
	var state pluginState
	fish.Eventually(t, "the agent is allocated", func() bool {
		state = strict[pluginState](t, get("application/"+app+"/state"))
		return state.Status == "ALLOCATED"
	})
	var resource struct {
		DefinitionIndex int `json:"definition_index"`
		Metadata        map[string]json.RawMessage
		Authentication  map[string]json.RawMessage
	}
	got := get("application/" + app + "/resource")
	if err := json.Unmarshal(got.Body, &resource); err != nil || resource.DefinitionIndex != 1 || string(resource.Metadata["JENKINS_AGENT_SECRET"]) != `"s3cret"` || string(resource.Authentication["password"]) != `"x"` {
		t.Errorf("resource %s, want the second definition's", got.Body)
	}
	created := strict[pluginTask](t, jenkins.Request("POST", applicationsPath+app+"/task/", []byte(`{"task":"snapshot","when":"ALLOCATED","options":{"full":true}}`)))
	if created.Result == nil {
		t.Error("the result of a task is null")
	}
	fish.Eventually(t, "the snapshot is there", func() bool { return len(strict[pluginTask](t, get("task/"+created.UID)).Result) > 0 })
	if state = strict[pluginState](t, get("application/"+app+"/deallocate")); state.Status != "DEALLOCATE" {
		t.Errorf("deallocate answers %+v", state)
	}
	fish.Eventually(t, "the agent is gone", func() bool {
		state = strict[pluginState](t, get("application/"+app+"/state"))
		return state.Status == "DEALLOCATED"
	})
	want(t, "the state of what never was", get("application/"+absent+"/state"), 404, `{"message":"`)
}

// testScripts: scripts cut the compact JSON up with sed and grep, and take the
// last label for the newest.
func testScripts(t *testing.T, w *world) {
	name := fresh("script")
	for _, version := range []string{"1", "10", "9"} {
		want(t, "create", w.admin.Call(fish.Call{Method: "POST", Path: labelsPath, Type: fish.YAML, Body: "name: " + name + "\nversion: " + version + `
definitions:
  - driver: test
    resources: {cpu: 1, ram: 1}
metadata: {UID: misleading, version: 77}
`}), 200, "")
	}
	sh := func(input []byte, script string) string {
		cmd := exec.Command("sh", "-c", script)
		cmd.Stdin = bytes.NewReader(input)
		out, err := cmd.Output()
		if err != nil {
			t.Errorf("%s: %v", script, err)
		}
		return strings.TrimSpace(string(out))
	}
	list := w.owner.Call(fish.Call{Path: labelsPath + `?filter=name="` + name + `"`}).Body
	if got := sh(list, `grep -o '"name":"[^"]*","version":[-0-9]*}' | tail -1 | sed 's/.*"version"://; s/}//'`); got != "9" {
		t.Errorf("the last version is %q, want 9", got)
	}
	uid := sh(list, `sed 's/},{"UID"/}\n{"UID"/g' | tail -n 1 | cut -d '"' -f 4`)
	want(t, "the label that the script found", w.owner.Request("GET", labelsPath+uid, nil), 200, `"version":9}`)
	app := w.owner.Request("POST", applicationsPath, []byte(`{"label_UID":"`+uid+`"}`)).Body
	appUID := sh(app, `grep -o '"UID":"[^"]*"' | head -1 | cut -d '"' -f 4`)
	if s := w.owner.WaitStatus(appUID, "ALLOCATED"); sh(w.owner.Request("GET", applicationsPath+appUID+"/state", nil).Body, `sed 's/.*"status":"\([A-Z]*\)".*/\1/'`) != s.Status {
		t.Errorf("the script does not find the status in %+v", s)
	}
	w.owner.Deallocate(appUID)
}

// testHTTP2: the other protocol that the listener speaks answers the same.
func testHTTP2(t *testing.T, w *world) {
	c := w.owner.Fresh()
	c.HTTP.Transport.(*http.Transport).ForceAttemptHTTP2 = true
	for _, tt := range []struct {
		method, route, body string
		status              int
	}{
		{"GET", "user/me/", "", 200}, {"GET", "application/{live}/state", "", 200}, {"GET", "label/?filter=name=\"fixture\"", "", 200}, {"GET", "label/{absent}", "", 404},
		{"POST", "application/", `{"label_UID":"{nowhere}"}`, 200}, {"POST", "application/", `{`, 400}, {"POST", "application/", strings.Repeat(" ", 65<<10), 413}, {"PUT", "label/", "{}", 404},
		{"GET", "label/x", "", 400}, {"GET", "user/", "", 400},
	} {
		got := c.Call(fish.Call{Method: tt.method, Path: w.path(tt.route), Body: w.fill(tt.body)})
		want(t, tt.method+" "+tt.route, got, tt.status, "")
		if got.Proto != "HTTP/2.0" {
			t.Errorf("%s %s went over %s", tt.method, tt.route, got.Proto)
		}
	}
}
