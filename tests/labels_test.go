package tests

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

const labelsPath, applicationsPath = "/api/v1/label/", "/api/v1/application/"

// quoted is a text in JSON, escaped as the API does.
func quoted(text string) string {
	b, _ := json.Marshal(text) // text always marshals
	return string(b)
}

// testLabels: versions, defaults, immutability, removal (contract 8).
func testLabels(t *testing.T, w *world) {
	name := fresh("label with spaces")
	body := func(version string) []byte { return []byte(`{"name":` + quoted(name) + version + `}`) }
	for _, version := range []string{"", `,"version":-3`, `,"version":7`, `,"version":2`} {
		got := w.admin.Request("POST", labelsPath, body(version))
		if version == "" {
			version = `,"version":0`
		}
		want(t, "create"+version, got, 200, version+"}\n")
	}
	for _, version := range []string{"", `,"version":7`} {
		want(t, "create again"+version, w.admin.Request("POST", labelsPath, body(version)), 400, `{"message":"Unable to create label: `)
	}
	type label struct {
		UID     string
		Version int
	}
	list := fish.Get[[]label](w.owner, labelsPath+"?filter=name%3D%27"+strings.ReplaceAll(name, " ", "%20")+"%27")
	if len(list) != 4 || list[0].Version != 0 || list[1].Version != -3 || list[2].Version != 7 || list[3].Version != 2 {
		t.Errorf("labels are %+v, want versions 0, -3, 7, 2 as they were created", list)
	}
	app := w.owner.CreateApplication(list[0].UID, `{}`)
	want(t, "remove a used label", w.admin.Request("DELETE", labelsPath+list[0].UID, nil), 200, `{"message":"Label removed"}`)
	want(t, "get it", w.admin.Request("GET", labelsPath+list[0].UID, nil), 404, "")
	want(t, "ask for it", w.owner.Request("POST", applicationsPath, []byte(`{"label_UID":"`+list[0].UID+`"}`)), 400, list[0].UID)
	fish.Eventually(t, "an application of a removed label ends or can be recalled", func() bool {
		if w.owner.State(app).Status == "NEW" {
			w.owner.Request("GET", applicationsPath+app+"/deallocate", nil)
		}
		s := w.owner.State(app).Status
		return s == "RECALLED" || s == "ERROR"
	})
}

// testLabelChecks are the checks of contract 8 and 32, in their order.
func testLabelChecks(t *testing.T, w *world) {
	definition := func(text string) string { return `{"name":"{new}","definitions":[` + text + `]}` }
	const good = `{"driver":"test","resources":{"cpu":1,"ram":1}}`
	for _, tt := range []struct{ name, body, want string }{ // want: in the 400, or nothing for 200
		{"nothing", `{}`, "name"}, {"empty name", `{"name":"","definitions":[{}]}`, "name"},
		{"no driver", definition(`{"resources":{"cpu":1,"ram":1}}`), "driver"},
		{"no cpu", definition(`{"driver":"x","resources":{"ram":1}}`), "cpu"},
		{"no ram", definition(`{"driver":"x","resources":{"cpu":1}}`), "ram"},
		{"driver before cpu", definition(`{"resources":{}}`), "driver"}, {"cpu before ram", definition(`{"driver":"x"}`), "cpu"},
		{"lifetime", definition(`{"driver":"x","resources":{"cpu":1,"ram":1,"lifetime":"soon"}}`), "lifetime"},
		{"second definition", definition(good + `,{"driver":"x"}`), "cpu"},
		{"pattern", definition(`{"driver":"x","resources":{"cpu":1,"ram":1,"node_filter":["["]}}`), "node_filter"},
		{"bad option", definition(`{"driver":"test","options":{"fail_allocate":256},"resources":{"cpu":1,"ram":1}}`), "fail_allocate"},
		{"crash option", definition(`{"driver":"test","options":{"crash_allocate":"begin"},"resources":{"cpu":1,"ram":1}}`), "crash"},

		{"no definitions", `{"name":"{new}"}`, ""}, {"good", definition(good), ""},
		{"unknown driver", definition(`{"driver":"nosuch/x","options":{"any":"thing"},"resources":{"cpu":1,"ram":1}}`), ""},
		{"unknown option", definition(`{"driver":"test","options":{"any":"thing"},"resources":{"cpu":1,"ram":1}}`), ""},
		{"unknown fields", `{"name":"{new}","colour":"red","definitions":[{"driver":"test","resources":{"cpu":1,"ram":1,"gpu":4}}]}`, ""},
		{"huge cpu", definition(`{"driver":"test","resources":{"cpu":4000000000,"ram":4000000000}}`), ""},
		{"negative lifetime", definition(`{"driver":"test","resources":{"cpu":1,"ram":1,"lifetime":"-1s"}}`), ""},
		{"nulls", `{"name":"{new}","metadata":null,"definitions":[{"driver":"test","options":null,"resources":{"cpu":1,"ram":1,"node_filter":null,"disks":null}}]}`, ""},
		{"null disk", definition(`{"driver":"test","resources":{"cpu":1,"ram":1,"disks":{"a":null}}}`), ""},
	} {
		got := w.admin.Request("POST", labelsPath, []byte(w.fill(tt.body)))
		if tt.want == "" {
			want(t, tt.name, got, 200, `"UID"`)
		} else {
			want(t, tt.name, got, 400, `{"message":"Unable to create label: `)
			want(t, tt.name, got, 400, tt.want)
		}
	}
}

// testYAMLFields: what a YAML body says arrives, every field of it (27.8), and
// the same as JSON would.
func testYAMLFields(t *testing.T, w *world) {
	name := fresh("yaml")
	got := w.admin.Call(fish.Call{Method: "POST", Path: labelsPath, Type: "application/yaml; charset=utf-8", Body: `---
# as an admin writes it
name: ` + name + `
version: 0x10
definitions:
  - &first
    driver: test
    options: {z: 1, a: [1.50, ~, yes]}
    resources: &small
      cpu: 2
      ram: 3
      cpu_overbook: true
      ram_overbook: true
      multitenancy: true
      network: nat
      lifetime: 1h30m
      node_filter: ["OS:*", 'Arch:?*']
      disks:
        xvda: {type: ext4, size: 10, reuse: true, clone: "", label: data}
    authentication:
      username: packer
      password: 'it''s'
      port: 22
      key: |
        line 1
        line 2
  - <<: *first
    resources: {<<: *small, cpu: 4}
metadata:
  JENKINS_URL: https://ci/
  long: >-
    folded
    text
  date: 2026-11-22
  big: 12345678901234567890
`})
	want(t, "block YAML", got, 200, "")
	label := string(got.Body)
	const first = `{"authentication":{"key":"line 1\nline 2\n","password":"it's","port":22,"username":"packer"},"driver":"test","options":{"z":1,"a":[1.50,null,"yes"]},` +
		`"resources":{"cpu":%d,"cpu_overbook":true,"disks":{"xvda":{"clone":"","label":"data","reuse":true,"size":10,"type":"ext4"}},"lifetime":"1h30m","multitenancy":true,` +
		`"network":"nat","node_filter":["OS:*","Arch:?*"],"ram":3,"ram_overbook":true}}`
	wantText := fmt.Sprintf(`"definitions":[`+first+`,`+first+`],"metadata":{"JENKINS_URL":"https://ci/","long":"folded text","date":"2026-11-22","big":12345678901234567890},"name":"%s","version":16}`,
		2, 4, name)
	if !strings.Contains(label, wantText) {
		t.Errorf("the label is\n%s, want\n%s", label, wantText)
	}
	uid := uidOf(t, got)
	for _, tt := range []struct{ route, body, want string }{
		{"application/", "label_UID: " + uid + "\nmetadata: {A: [1, b]}\n", `"label_UID":"` + uid + `","metadata":{"A":[1,"b"]},"owner_name":"admin"}`},
		{"application/{waiting}/task/", "task: snapshot\nwhen: RECALLED\noptions: {full: true}\n", `"options":{"full":true},"result":{},"task":"snapshot"`},
		{"location/", "name: {new}\ndescription: d\n", `"description":"d"`},
		{"servicemapping/", "service: s\nlocation_name: {new}\nredirect: r\napplication_UID: {live}\n", `"redirect":"r","service":"s"`},
		{"user/", "name: {new}\npassword: 12345\n", ``},
	} {
		status := 200
		if tt.want == "" { // a number is no text, in YAML as in JSON
			status = 400
		}
		want(t, tt.route, w.admin.Call(fish.Call{Method: "POST", Path: w.path(tt.route), Type: fish.YAML, Body: w.fill(tt.body)}), status, tt.want)
	}
}

func uidOf(t *testing.T, r fish.Response) string {
	t.Helper()
	var v uidOnly
	if err := json.Unmarshal(r.Body, &v); err != nil {
		t.Fatalf("%v in %s", err, r.Body)
	}
	return v.UID
}

// testNumbers: numbers come back digit by digit (27.22), wherever raw JSON is
// kept.
func testNumbers(t *testing.T, w *world) {
	const numbers = `{"big":12345678901234567890,"huge":1e400,"tiny":-1.0E-7,"zero":-0,"third":0.10000000000000000000000001,"one":1.0,"list":[340282366920938463463374607431768211456]}`
	label := w.admin.Call(fish.Call{Method: "POST", Path: labelsPath, Body: w.fill(`{"name":"{new}","metadata":{"L":100000000000000000001},"definitions":[{"driver":"test","options":` + numbers + `,"resources":{"cpu":1,"ram":1}}]}`)})
	want(t, "label", label, 200, `"options":`+numbers)
	app := w.owner.CreateApplication(uidOf(t, label), numbers)
	w.owner.WaitStatus(app, "ALLOCATED")
	task := w.owner.Call(fish.Call{Method: "POST", Path: applicationsPath + app + "/task/", Body: `{"task":"x","when":"NEW","options":` + numbers + `}`})
	want(t, "task", task, 200, `"options":`+numbers)
	both := strings.TrimSuffix(numbers, "}") + `,"L":100000000000000000001}`
	for path, text := range map[string]string{
		labelsPath + uidOf(t, label): `"metadata":{"L":100000000000000000001}`, applicationsPath + app: `"metadata":` + numbers,
		applicationsPath + app + "/resource": `"metadata":` + both, "/api/v1/task/" + uidOf(t, task): `"options":` + numbers,
	} {
		want(t, path, w.owner.Request("GET", path, nil), 200, text)
	}
	w.owner.Deallocate(app)
}

// testForgedFields: what the node sets, a request can not (27.9).
func testForgedFields(t *testing.T, w *world) {
	const forged = `"UID":"` + absent + `","created_at":"2001-01-01T00:00:00Z","updated_at":"2001-01-01T00:00:00Z","owner_name":"admin","result":{"done":1},"application_UID":"` + absent + `",`
	for _, tt := range []struct{ route, body string }{
		{"label/", `"name":"{new}"}`}, {"application/", `"label_UID":"{nowhere}"}`}, {"application/{waiting}/task/", `"task":"snapshot","when":"ALLOCATED"}`},
		{"user/", `"name":"{new}"}`}, {"location/", `"name":"{new}"}`},
	} {
		caller := w.admin
		if strings.HasPrefix(tt.route, "application") {
			caller = w.owner
		}
		for _, contentType := range []string{"application/json", fish.YAML} {
			got := caller.Call(fish.Call{Method: "POST", Path: w.path(tt.route), Body: w.fill("{" + forged + tt.body), Type: contentType})
			want(t, tt.route, got, 200, "created_at")
			for _, lie := range []string{absent, "2001", `"owner_name":"admin"`, "done"} {
				if strings.Contains(string(got.Body), lie) {
					t.Errorf("POST %s: the answer has the forged %s: %s", tt.route, lie, got.Body)
				}
			}
		}
	}
}

// TestNobodyJumpsTheQueue: created_at is the order of service, and only the
// node's clock sets it (27.9).
func TestNobodyJumpsTheQueue(t *testing.T) {
	t.Parallel()
	n := fish.Start(t, fish.Options{Config: "drivers:\n- name: test\n  cfg: {cpu_limit: 1, ram_limit: 1}\n"})
	label := n.CreateLabel(fish.TestLabel("one", `{}`))
	running := n.CreateApplication(label, `{}`)
	n.WaitStatus(running, "ALLOCATED")
	honest := n.CreateApplication(label, `{}`)
	cheat := fish.Post[uidOnly](n.Client, applicationsPath, `{"label_UID":"`+label+`","created_at":"2001-01-01T00:00:00Z"}`).UID
	n.Deallocate(running)
	n.WaitStatus(honest, "ALLOCATED")
	if got := n.State(cheat); got.Status != "NEW" {
		t.Errorf("the one with the forged date is %+v", got)
	}
	start := time.Now()
	n.Deallocate(honest)
	n.WaitStatus(cheat, "ALLOCATED")
	if took := time.Since(start); took > 10*time.Second { // and not the 30 s of an old round
		t.Errorf("freed capacity was taken after %v", took)
	}
}
