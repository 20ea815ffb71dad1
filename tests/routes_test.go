package tests

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// testRoutes goes through contract 6: every route, as the admin, as the owner
// of what it names, as another user, and without credentials. Bodies are sent
// as JSON and as YAML.
func testRoutes(t *testing.T, w *world) {
	const forbidden = `{"message":"Only `
	for _, tt := range []struct {
		method, route, body string
		statuses            string // for admin, owner, other
		want                string // in the answer to the first who gets 200, or to all if nobody does
	}{
		{"GET", "user/", "", "200 400 400", `[{"created_at":`},
		{"POST", "user/", `{"name":"{new}","password":"x"}`, "200 400 400", `"password":""`},
		{"GET", "user/me/", "", "200 200 200", `"name":"admin"`},
		{"GET", "user/owner", "", "200 400 400", `"name":"owner"`},
		{"GET", "user/{absent}", "", "404 400 400", ""},
		{"GET", "user/me", "", "404 400 400", ""},
		{"DELETE", "user/{absent}", "", "200 400 400", `{"message":"User removed"}`},
		{"DELETE", "user/admin", "", "400 400 400", ""},

		{"GET", "label/", "", "200 200 200", `[{"UID":"`},
		{"POST", "label/", `{"name":"{new}"}`, "200 400 400", `"definitions":[],"metadata":{}`},
		{"POST", "label/check", `{"name":"{new}"}`, "200 400 400", `{"warnings":["there are no definitions`},
		{"GET", "label/{label}", "", "200 200 200", `"name":"fixture"`},
		{"GET", "label/{absent}", "", "404 404 404", absent},
		{"DELETE", "label/{absent}", "", "200 400 400", `{"message":"Label removed"}`},

		{"GET", "resource/", "", "200 400 400", `"UID":"{resource}"`},
		{"GET", "resource/{resource}", "", "200 400 400", `"UID":"{resource}"`},
		{"GET", "resource/{absent}", "", "404 400 400", ""},
		{"GET", "resource/{resource}/access", "", "200 200 400", ""},
		{"GET", "resource/{resource}/ssh", "", "200 200 400", ""},
		{"GET", "resource/{absent}/ssh", "", "404 404 404", ""},
		{"GET", "node/this/ssh", "", "200 200 200", ""},
		{"GET", "resource/{absent}/access", "", "404 404 404", ""},

		{"GET", "application/", "", "200 200 200", `"UID":"{live}"`},
		{"POST", "application/", `{"label_UID":"{nowhere}"}`, "200 200 200", `"label_UID":"{nowhere}","metadata":{},"owner_name":"admin"`},
		{"POST", "application/", `{"label_UID":"{absent}"}`, "400 400 400", absent},
		{"POST", "application/", `{}`, "400 400 400", "label_UID"},
		{"GET", "application/{live}", "", "200 200 400", `"metadata":{"A":"\u003cb\u003e"}`},
		{"GET", "application/{absent}", "", "404 404 404", absent},
		{"GET", "application/{live}/state", "", "200 200 400", `"description":"Driver allocated the resource","status":"ALLOCATED"}`},
		{"GET", "application/{ended}/state", "", "200 200 400", `"status":"DEALLOCATED"}`},
		{"GET", "application/{recalled}/state", "", "200 200 400", `"description":"Requested by user owner","status":"RECALLED"}`},
		{"GET", "application/{failed}/state", "", "200 200 400", `"description":"Driver allocate resource error:`},
		{"GET", "application/{waiting}/state", "", "200 200 400", `"status":"NEW"}`},
		{"GET", "application/{absent}/state", "", "404 404 404", absent},
		{"GET", "application/{live}/resource", "", "200 200 400", `"metadata":{"A":"\u003cb\u003e","L":1}`},
		{"GET", "application/{waiting}/resource", "", "404 404 400", ""},
		{"GET", "application/{ended}/resource", "", "404 404 400", ""},
		{"GET", "application/{failed}/resource", "", "404 404 400", ""},
		{"GET", "application/{absent}/resource", "", "400 400 400", absent},
		{"GET", "application/{live}/task/", "", "200 200 400", `[{"UID":"{task}"`},
		{"GET", "application/{recalled}/task/", "", "200 200 400", `[]`},
		{"GET", "application/{absent}/task/", "", "400 400 400", absent},
		{"POST", "application/{waiting}/task/", `{"task":"snapshot","when":"never"}`, "200 200 400", `"result":{},"task":"snapshot"`},
		{"POST", "application/{waiting}/task/", `{"task":""}`, "400 400 400", `{"message":"`},
		{"POST", "application/{absent}/task/", `{"task":"snapshot"}`, "400 400 400", absent},
		{"GET", "task/{task}", "", "200 200 400", `"when":"DEALLOCATE"`},
		{"GET", "task/{absent}", "", "400 400 400", absent},
		{"GET", "application/{ended}/deallocate", "", "400 400 400", ""},
		{"GET", "application/{recalled}/deallocate", "", "400 400 400", ""},
		{"GET", "application/{absent}/deallocate", "", "400 400 400", absent},

		{"GET", "node/", "", "200 200 200", `[{"UID":"`},
		{"GET", "node/this/", "", "200 200 200", `"location_name":"lab"`},
		{"GET", "node/this/maintenance?enable=false", "", "200 400 400", `{"enable":false}`},
		{"GET", "node/this/maintenance?enable=false&shutdown=false&shutdown_delay=1h", "", "200 400 400", `{"enable":false,"shutdown":false,"shutdown_delay":"1h"}`},
		{"GET", "node/this/maintenance?enable=false&shutdown_delay=soon", "", "400 400 400", ""},
		{"GET", "node/this/maintenance?enable=2", "", "400 400 400", `Invalid format for parameter enable: `},
		{"GET", "node/this/profiling/", "", "200 400 400", `<html>`},
		{"GET", "node/this/profiling/cmdline", "", "200 400 400", `--cfg`},
		{"GET", "node/this/profiling/nothing", "", "404 400 400", ""},
		{"GET", "node/this/image/", "", "200 400 400", `{"errors":[],"images":[`},
		{"POST", "node/this/image/", `{"label_UID":"{absent}"}`, "400 400 400", ""},
		{"DELETE", "node/this/image/?instance=nothing&id=x", "", "404 400 400", ""},
		{"GET", "node/this/driver/command/", "", "200 400 400", `"name":"room"`},
		{"POST", "node/this/driver/command/", `{"instance":"test","command":"room"}`, "200 400 400", `{"command":"room","instance":"test","result":{"environments":`},
		{"POST", "node/this/driver/command/", `{"instance":"nothing","command":"room"}`, "404 400 400", ""},
		{"GET", "vote/", "", "200 400 400", `[`},
		{"GET", "audit/", "", "200 400 400", `{"events":[{"action":"`},
		{"GET", "audit/?limit=1&action=login", "", "200 400 400", `"action":"login"`},
		{"GET", "audit/?cursor=x", "", "400 400 400", ""},

		{"GET", "location/", "", "200 400 400", `"name":"lab"`},
		{"POST", "location/", `{"name":"{new}","description":"d"}`, "200 400 400", `"description":"d","name":"new-`},
		{"POST", "location/", `{"name":""}`, "400 400 400", ""},
		{"GET", "servicemapping/", "", "200 400 400", `[{"UID":"{mapping}"`},
		{"POST", "servicemapping/", `{"service":"{new}","redirect":"r"}`, "200 400 400", `"application_UID":"00000000-0000-0000-0000-000000000000"`},
		{"POST", "servicemapping/", `{"service":"{new}","redirect":"r","application_UID":"{live}","location_name":"lab"}`, "200 200 400", `"application_UID":"{live}"`},
		{"GET", "servicemapping/{mapping}", "", "200 400 400", `"service":"dns"`},
		{"GET", "servicemapping/{absent}", "", "404 400 400", ""},
		{"DELETE", "servicemapping/{absent}", "", "200 400 400", `{"message":"ServiceMapping removed"}`},
	} {
		shown := false
		types := []string{""}
		if tt.body != "" {
			types = []string{"application/json; charset=utf-8", fish.YAML}
		}
		if got := w.nobody.Call(fish.Call{Method: tt.method, Path: w.path(tt.route), Body: w.fill(tt.body)}); got.Status != http.StatusUnauthorized {
			t.Errorf("%s %s without credentials: %d %s, want 401", tt.method, tt.route, got.Status, got.Body)
		}
		for i, status := range strings.Fields(tt.statuses) {
			user := []string{"admin", "owner", "other"}[i]
			for _, contentType := range types {
				got := w.as(user).Call(fish.Call{Method: tt.method, Path: w.path(tt.route), Body: w.fill(tt.body), Type: contentType})
				text := ""
				if none := !strings.Contains(tt.statuses, "200"); status == "200" && !shown || none {
					text, shown = w.fill(tt.want), true
				}
				if status == "400" && strings.Contains(tt.statuses, "200") {
					text = forbidden
				}
				what := fmt.Sprintf("%s %s as %s %s", tt.method, tt.route, user, contentType)
				want(t, what, got, atoi(t, status), text)
				if got.Status >= 400 && got.Header.Get("Content-Type") != "application/json; charset=UTF-8" {
					t.Errorf("%s: the error is %q", what, got.Header.Get("Content-Type"))
				}
			}
		}
	}
}

func atoi(t *testing.T, text string) int {
	t.Helper()
	var n int
	if _, err := fmt.Sscan(text, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// testWrongPaths: a trailing slash too many or too few, another method and a
// path that is not there are all 404, and 401 without credentials.
func testWrongPaths(t *testing.T, w *world) {
	served := map[string]string{ // methods by path; a GET that acts is not tried
		"user/": "GET POST", "user/me/": "GET", "user/owner": "GET DELETE", "label/": "GET POST", "label/{label}": "GET DELETE",
		"resource/": "GET", "resource/{resource}": "GET", "resource/{resource}/access": "GET", "application/": "GET POST",
		"application/{live}": "GET", "application/{live}/state": "GET", "application/{live}/resource": "GET",
		"application/{live}/task/": "GET POST", "task/{task}": "GET", "application/{live}/deallocate": "GET", "node/": "GET",
		"node/this/": "GET", "node/this/image/": "GET POST DELETE", "node/this/maintenance": "GET", "node/this/profiling/": "GET", "node/this/profiling/heap": "GET",
		"vote/": "GET", "location/": "GET POST", "servicemapping/": "GET POST", "servicemapping/{mapping}": "GET DELETE",
	}
	check := func(method, path string) {
		for _, user := range []string{"admin", "owner", ""} {
			status, body := http.StatusNotFound, "{\"message\":\"Not Found\"}\n"
			if user == "" {
				status, body = http.StatusUnauthorized, "{\"message\":\"Unauthorized\"}\n"
			}
			if method == "HEAD" {
				body = ""
			}
			got := w.as(user).Call(fish.Call{Method: method, Path: path})
			if got.Status != status || string(got.Body) != body {
				t.Errorf("%s %s as %q: %d %q, want %d %q", method, path, user, got.Status, got.Body, status, body)
			}
			if got.Header.Get("Allow") != "" || got.Header.Get("Location") != "" {
				t.Errorf("%s %s: headers %v", method, path, got.Header)
			}
		}
	}
	for route, methods := range served {
		for _, method := range []string{"GET", "POST", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS", "TRACE", "NOSUCH"} {
			if !strings.Contains(methods, method) {
				check(method, w.path(route))
			}
		}
		other, isCollection := strings.CutSuffix(route, "/")
		if !isCollection {
			other = route + "/"
		}
		if other != "user/me" && other != "user/owner" { // that is the user of that name
			check("GET", w.path(other))
		}
	}
	for _, route := range []string{"", "nothing", "nothing/", "label//", "/label/", "application/{live}/nothing", "user/a/b", "Label/", "../label/", "label/../label/"} {
		check("GET", w.path(route))
	}
	for path, status := range map[string]int{"/": 404, "/api": 404, "/api/v2/label/": 404, "/meta/": 404, "/meta/v1/": 404, "/api/v1": 401, "/cluster/v1/connect": 404, "/favicon.ico": 404} {
		want(t, path+" without credentials", w.nobody.Call(fish.Call{Path: path}), status, `{"message":"`)
	}
}

func testMalformedParameters(t *testing.T, w *world) {
	for _, route := range []string{
		"label/?", "resource/?", "resource/?/access", "application/?", "application/?/state", "application/?/resource",
		"application/?/task/", "application/?/deallocate", "servicemapping/?", "task/?",
	} {
		name := "uid"
		if strings.HasPrefix(route, "task") {
			name = "task_uid"
		}
		for _, value := range []string{"x", absent + "0", absent[:35], "zzzzzzzz-1111-2222-3333-444444444444", "%00", "%20", "'", "null", "1"} {
			path := w.path(strings.Replace(route, "?", value, 1))
			want(t, "GET "+path, w.owner.Call(fish.Call{Path: path}), 400, `{"message":"Invalid format for parameter `+name+`: `)
		}
	}
	for _, tt := range []struct{ route, want string }{
		{"label/?filter=1&filter=0", "filter"}, {"application/{live}/task/?filter=1&filter=1", "filter"},
		{"label/?filter=%zz", "%zz"}, {"label/?filter=name%3D'x'%4", "%4"}, {"label/?x=%", "%"}, {"label/?%gg=1", "%gg"},
		{"node/this/maintenance?enable=false&enable=false", "enable"}, {"node/this/maintenance?enable=", "enable"},
		{"node/this/maintenance?enable=false&shutdown=no", "shutdown"}, {"node/this/maintenance?enable=false&shutdown_delay=-1s", "shutdown_delay"},
		{"node/this/maintenance?enable=false&shutdown_delay=", "shutdown_delay"},
		{"node/this/profiling/heap?debug=x", "debug"}, {"node/this/profiling/profile?seconds=x", "seconds"},
		{"node/this/profiling/profile?seconds=-1", "seconds"}, {"node/this/profiling/profile?seconds=1e9", "seconds"},
		{"node/this/profiling/trace?seconds=NaN", "seconds"},
	} {
		want(t, "GET "+tt.route, w.admin.Call(fish.Call{Path: w.path(tt.route)}), 400, tt.want)
	}
}

// testWrongBodies: bodies that are not what the noun takes. What the body's
// text may be at all is in the tests of bad input.
func testWrongBodies(t *testing.T, w *world) {
	for _, tt := range []struct{ route, body, field string }{
		{"user/", `{"name":5}`, "name"}, {"user/", `{"name":"x","password":["a"]}`, "password"}, {"user/", `{"name":"x","hash":5}`, "hash"},
		{"label/", `{"name":{}}`, "name"}, {"label/", `{"name":"x","version":"1"}`, "version"}, {"label/", `{"name":"x","version":1.5}`, "version"},
		{"label/", `{"name":"x","version":99999999999999999999}`, "version"}, {"label/", `{"name":"x","definitions":{}}`, "definitions"},
		{"label/", `{"name":"x","definitions":[5]}`, "definitions"}, {"label/", `{"name":"x","metadata":[]}`, "metadata"},
		{"label/", `{"name":"x","definitions":[{"driver":"test","resources":{"cpu":-1,"ram":1}}]}`, "cpu"},
		{"label/", `{"name":"x","definitions":[{"driver":"test","resources":{"cpu":1,"ram":1,"node_filter":"OS:linux"}}]}`, "node_filter"},
		{"label/", `{"name":"x","definitions":[{"driver":"test","resources":{"cpu":1,"ram":1,"disks":[]}}]}`, "disks"},
		{"label/", `{"name":"x","definitions":[{"driver":"test","options":"x","resources":{"cpu":1,"ram":1}}]}`, "options"},
		{"application/", `{"label_UID":"x"}`, "UUID"}, {"application/", `{"label_UID":5}`, ""},
		{"application/{waiting}/task/", `{"task":5}`, "task"}, {"application/{waiting}/task/", `{"task":"x","when":5}`, "when"},
		{"location/", `{"name":5}`, "name"}, {"location/", `{"name":"x","description":{}}`, "description"},
		{"node/this/image/", `{"label_UID":"x"}`, "UUID"}, {"node/this/image/", `{"label_UID":[]}`, ""},
		{"servicemapping/", `{"service":5}`, "service"}, {"servicemapping/", `{"application_UID":"x"}`, "UUID"},
	} {
		key := "error"
		if tt.route == "user/" || tt.route == "label/" || strings.HasPrefix(tt.route, "node/") {
			key = "message"
		}
		for _, contentType := range []string{"application/json", fish.YAML} {
			got := w.admin.Call(fish.Call{Method: "POST", Path: w.path(tt.route), Body: w.fill(tt.body), Type: contentType})
			want(t, tt.route+" "+tt.body+" as "+contentType, got, 400, tt.field)
			// Checks beyond the type are the noun's own, under `message`.
			if text := string(got.Body); strings.Contains(text, "Wrong request body") && !strings.HasPrefix(text, `{"`+key+`":"Wrong request body: `) {
				t.Errorf("POST %s %s as %s: %s, want the reason under %q", tt.route, tt.body, contentType, text, key)
			}
		}
	}
}

// testCrossSite: a page of another site can not make a browser act.
func testCrossSite(t *testing.T, w *world) {
	own := "https://" + w.admin.Address()
	for _, route := range []string{"application/{live}/deallocate", "resource/{resource}/access", "node/this/maintenance?enable=true"} {
		for _, header := range []map[string]string{
			{"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": own + ".evil.example"},
			{"Origin": own, "Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"},
		} {
			want(t, fmt.Sprint(route, header), w.admin.Call(fish.Call{Path: w.path(route), Header: header}), 400, "another site")
		}
	}
	for _, header := range []map[string]string{
		{"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}, {"Origin": own}, {"Origin": own, "Sec-Fetch-Site": "same-origin"},
	} {
		got := w.admin.Call(fish.Call{Path: w.path("node/this/maintenance?enable=false"), Header: header})
		want(t, fmt.Sprint(header), got, 200, `{"enable":false}`)
	}
	if got := w.owner.State(w.vars["live"]); got.Status != "ALLOCATED" {
		t.Errorf("after all that the application is %+v", got)
	}
}

// testCredentials is the front door of contract 5.
func testCredentials(t *testing.T, w *world) {
	for _, tt := range []struct {
		header string
		status int
		want   string
	}{
		{"", 401, `{"message":"Unauthorized"}` + "\n"}, {"Bearer abc", 401, `{"message":"Unauthorized"}` + "\n"},
		{"Basic", 401, "Unauthorized"}, {"Basic !!!", 400, `{"message":"Bad Request"}` + "\n"}, {"Basic YWRtaW4", 400, "Bad Request"},
		{"Basic YWRtaW4=", 401, "Unauthorized"}, // no colon
		{"Basic YWRtaW46d3Jvbmc=", 401, "Unauthorized"}, {"basic Og==", 401, "Unauthorized"},
	} {
		got := w.nobody.Call(fish.Call{Path: "/api/v1/user/me/", Header: map[string]string{"Authorization": tt.header}})
		want(t, tt.header, got, tt.status, tt.want)
		if challenge := got.Header.Get("WWW-Authenticate"); (challenge == "basic realm=Restricted") != (tt.status == 401) {
			t.Errorf("%q is challenged by %q", tt.header, challenge)
		}
	}
}

// testDocuments: the specification and its page need no credentials.
func testDocuments(t *testing.T, w *world) {
	got := w.nobody.Call(fish.Call{Path: "/api/v1/openapi.yaml"})
	want(t, "specification", got, 200, "openapi: 3.0.3")
	got = w.nobody.Call(fish.Call{Path: "/api/"})
	want(t, "page", got, 200, "Aquarium Fish")
	for _, foreign := range []string{"src=\"http", "href=\"http", "@import", "url(http"} {
		for line := range strings.Lines(string(got.Body)) {
			if strings.Contains(line, foreign) && !strings.Contains(line, "<a ") {
				t.Errorf("the page needs another host: %.200s", line)
			}
		}
	}
}
