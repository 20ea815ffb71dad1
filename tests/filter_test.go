package tests

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// found lists the names that a filter leaves of a collection.
func found(t *testing.T, c fish.Client, route, filter string) string {
	t.Helper()
	got := c.Call(fish.Call{Path: "/api/v1/" + route + "?filter=" + strings.ReplaceAll(url.QueryEscape(filter), "+", "%20")})
	if got.Status != 200 {
		return fmt.Sprintf("%d %s", got.Status, got.Body)
	}
	return namesIn(string(got.Body))
}

// namesIn are the values of the key `name` in a list of objects.
func namesIn(body string) string {
	if body == "[]\n" {
		return ""
	}
	var names []string
	for _, part := range strings.Split(body, `"name":"`)[1:] {
		name, _, _ := strings.Cut(part, `"`)
		names = append(names, name)
	}
	return strings.Join(names, " ")
}

// testFilters is the language of contract 9, on labels of its own.
func testFilters(t *testing.T, w *world) {
	p := fresh("f") + "-"
	for _, l := range []string{
		`"name":"` + p + `a","version":1,"metadata":{"k":"v"}`, `"name":"` + p + `b","version":2`, `"name":"` + p + `b","version":3`,
		`"name":"` + p + `it's","version":4`, `"name":"` + p + `C","version":-5`,
	} {
		w.admin.CreateLabel("{" + l + "}")
	}
	mine := " AND name LIKE '" + p + "%'"
	uid := uidOf(t, w.admin.Request("POST", labelsPath, []byte(`{"name":"`+p+`uid","version":100}`)))
	a, b, its, c, last := p+"a", p+"b", p+"it's", p+"C", p+"uid"
	bb := b + " " + b
	all := strings.Join([]string{a, b, b, its, c, last}, " ")
	for _, tt := range []struct{ filter, want string }{
		{"name='" + a + "'", a}, {"name = '" + b + "' AND version=3", b}, {`name="` + a + `"`, a}, {`"name"='` + a + `'`, a}, {"NAME='" + a + "'", a},
		{"name='" + p + "it''s'", its}, {"'" + a + "'=name", a}, {"labels.name='" + a + "'", a},
		{"name='" + strings.ToUpper(a) + "'", ""}, {"name LIKE '" + p + "c'", c}, {"name GLOB '" + p + "c'", ""}, {"name GLOB '" + p + "[A-Z]*'", c},
		{"name NOT LIKE '" + p + "%' AND name='" + a + "'", ""}, {"name LIKE '" + p + "it_s'", its}, {`name LIKE '` + p + `it\_s' ESCAPE '\'`, ""},
		{"version>2 AND version<=4" + mine, b + " " + its}, {"version!=2" + mine, strings.Replace(all, b+" ", "", 1)}, {"version>=100" + mine, last},
		{"version<-4" + mine, c}, {"version=-5" + mine, c}, {"version = 2+1" + mine, b}, {"version*2=6" + mine, b}, {"-version=5" + mine, c}, {"version%2=0" + mine, b + " " + its + " " + last},
		{"version IN (2, 3)" + mine, bb}, {"version NOT IN (2,3,4,100)" + mine, a + " " + c}, {"name IN ('" + a + "')", a},
		{"version BETWEEN 2 AND 3" + mine, bb}, {"version NOT BETWEEN 1 AND 100" + mine, c},
		{"name IS NULL" + mine, ""}, {"name IS NOT NULL" + mine, all}, {"TRUE" + mine, all}, {"FALSE OR name='" + a + "'", a}, {"1=1" + mine, all},
		{"(version=2 OR version=3)" + mine, bb}, {"(version=1 OR version=2 AND name='none')" + mine, a},
		{"'" + p + "' || 'a' = name", a}, {"metadata LIKE '%\"k\":\"v\"%'" + mine, a}, {"metadata='{}'" + mine, strings.TrimPrefix(all, a+" ")},
		{"uid='" + uid + "'", last}, {"UID='" + strings.ToUpper(uid) + "'", last}, {"uid!='" + uid + "'" + mine, strings.TrimSuffix(all, " "+last)},
		{"uid IN ('" + absent + "','" + uid + "')", last}, {"uid LIKE '" + uid[:30] + "%'", last},
		{"created_at>'2026-01-01'" + mine, all}, {"created_at<'2026-01-01T00:00:00Z'" + mine, ""}, {"created_at LIKE '20%'" + mine, all},

		// What follows the first complete expression is dropped.
		{"name='" + a + "'; DROP TABLE labels", a}, {"name='" + a + "' ORDER BY version", a}, {"name='" + a + "' -- OR 1=1", a},
		{"name='" + a + "' COLLATE NOCASE", a}, {"name='" + a + "' name='" + b + "'", a}, {"(name='" + a + "'", a}, {"name='" + a + "'" + ")", a},
	} {
		if got := found(t, w.other, "label/", tt.filter); got != tt.want {
			t.Errorf("filter %s: %q, want %q", tt.filter, got, tt.want)
		}
	}
	for _, filter := range []string{"nosuch.column=1", "labels.nosuch=1", "name=?", "name=:x", "name=@x"} {
		if got := found(t, w.other, "label/", filter); !strings.HasPrefix(got, "500 ") || !strings.Contains(got, "Unable to get the label list: ") {
			t.Errorf("filter %s: %.200q, want 500", filter, got)
		}
	}
}

// testRejectedFilters: what the language does not have, and what would tell
// secrets or cost the node (27.1): 200, and an empty list that is no null
// (27.6), whoever asks.
func testRejectedFilters(t *testing.T, w *world) {
	filters := []string{
		"", " ", "DROP labels", "SELECT 1", "SELECT * FROM users", "name IN (SELECT name FROM users)", "name IN (DROP label)", "NOT name='x'", "NOT (1=1)", "name=='x'",
		"name<>'x'", "name ISNULL", "name NOT NULL", "name NOTNULL", "/* x */ 1=1", "1=1 /* x */ AND 2=2", "`name`='x'", "[name]='x'", "name='x", `name="x`, "name=", "=1", "AND 1=1", "()",
		"EXISTS (SELECT 1 FROM users WHERE name='admin' AND hex(hash) LIKE 'A%')", "NOT EXISTS (SELECT 1)", "randomblob(1000000000)", "load_extension('x')", "1=1 OR hex(name)='x'",
		"length(name)>0", "zeroblob(1e9)", "CASE WHEN 1 THEN 1 END", "CAST(name AS TEXT)='x'", "x'41'='A'", "1=(SELECT 1)", "PRAGMA user_version", "ATTACH 'x' AS y",
		"name MATCH 'x'", "name REGEXP 'x'", "name->>'$'='x'", "name LIKE 'x' ESCAPE ''", `name LIKE 'x' ESCAPE 'ab'`, "(1,2)=(1,2)", "1<<62", "~1", "1&1",
		"name LIKE '" + strings.Repeat("%a", 100) + "'", strings.Repeat("(", 5000) + "1" + strings.Repeat(")", 5000), strings.Repeat("1=1 AND ", 2000) + "1=1",
		strings.Repeat("-", 3000) + "1", "name='" + strings.Repeat("x", 20_000) + "'", "name='\xff'", "name=\x00'x'", "\x00", "'a'||" + strings.Repeat("name||", 100) + "'a'='x'",
		"name LIKE name", "name GLOB '" + strings.Repeat("*a", 50) + "'",
	}
	for _, route := range []string{"label/", "application/", "node/", "application/{live}/task/"} {
		for _, filter := range filters {
			if got := found(t, w.owner, w.fill(route), filter); got != "" {
				t.Errorf("%s: filter %.80q gives %.200q, want an empty list", route, filter, got)
			}
		}
	}
	for _, route := range []string{"user/", "resource/", "location/", "servicemapping/", "vote/"} {
		for _, filter := range filters[:40] {
			if got := found(t, w.admin, route, filter); got != "" {
				t.Errorf("%s: filter %.80q gives %.200q, want an empty list", route, filter, got)
			}
		}
	}
	for _, route := range []string{"label/?filter=name='none'", "application/", "application/?filter=name(", "application/?filter=1%3D1"} {
		empty := w.other
		if strings.HasPrefix(route, "application") {
			empty = addUser(t, w.admin, fresh("empty"))
		}
		if got := empty.Call(fish.Call{Path: w.path(route)}); string(got.Body) != "[]\n" {
			t.Errorf("%s for a user who has none: %q, want []", route, got.Body)
		}
	}
}

// testHiddenColumns: a filter tells nobody what an answer would not show, nor
// anything of other nouns.
func testHiddenColumns(t *testing.T, w *world) {
	visible := w.vars["live"]
	for _, tt := range []struct{ user, route, filter, want string }{
		{"other", "label/", "definitions LIKE '%secret%'", ""}, {"other", "label/", "definitions IS NOT NULL", ""}, {"other", "label/", "1=1 OR definitions=''", ""},
		{"other", "label/", "labels.definitions LIKE '%'", ""}, {"other", "label/", "Definitions LIKE '%'", ""}, {"other", "label/", `"definitions" LIKE '%'`, ""},
		{"admin", "label/", "definitions LIKE '%secret%'", "fixture"},
		{"admin", "user/", "hash IS NOT NULL", ""}, {"admin", "user/", "salt IS NOT NULL", ""}, {"admin", "user/", "users.hash!=''", ""}, {"admin", "user/", "algo='Argon2id' AND name='owner'", "owner"},
		{"admin", "user/", "prop_memory=65536 AND name='other'", "other"},
	} {
		if got := found(t, w.as(tt.user), tt.route, tt.filter); got != tt.want {
			t.Errorf("%s%s as %s: %q, want %q", tt.route, tt.filter, tt.user, got, tt.want)
		}
	}
	// The owner's restriction holds whatever the filter says.
	for _, filter := range []string{"1=1", "owner_name='owner'", "1=1 OR 1=1", "1=1) OR (1=1", "uid='" + visible + "'", "1=1; --", "metadata LIKE '%'"} {
		got := w.other.Call(fish.Call{Path: "/api/v1/application/?filter=" + url.QueryEscape(filter)})
		if got.Status != 200 || strings.Contains(string(got.Body), visible) || strings.Contains(string(got.Body), `"owner_name":"owner"`) {
			t.Errorf("filter %s shows another user's application: %d %.300s", filter, got.Status, got.Body)
		}
	}
	// And the application's own tasks are all that its list is about.
	for _, filter := range []string{"1=1", "1=1 OR 1=1", "1=1) OR (1=1", `"when"='DEALLOCATE'`} {
		got := w.owner.Call(fish.Call{Path: w.path("application/{waiting}/task/?filter=") + url.QueryEscape(filter)})
		if got.Status != 200 || strings.Contains(string(got.Body), w.vars["task"]) {
			t.Errorf("filter %s shows another application's task: %d %.300s", filter, got.Status, got.Body)
		}
	}
	got := w.owner.Call(fish.Call{Path: w.path("application/{live}/task/?filter=") + url.QueryEscape(`"when"='DEALLOCATE' AND task='snapshot'`)})
	want(t, "tasks by when", got, 200, w.vars["task"])
}

// testUnescapedFilters: scripts write the filter into the URL as it is. A
// filter must never vanish from the query: the answer would be the whole list.
func testUnescapedFilters(t *testing.T, w *world) {
	for _, tt := range []struct{ query, want string }{
		{`filter=name="fixture"`, "fixture"}, {`filter=name='fixture'`, "fixture"}, {`filter=name="fixture"+AND+version=1`, "fixture"}, {`filter=(name="fixture")`, "fixture"},
		{`pretty=false&filter=name="fixture"`, "fixture"}, {`filter=name="fixture"&unknown=1`, "fixture"}, {`unknown=1&filter=name="fixture"`, "fixture"},
		{`filter=name="fixture"%3B%20DROP%20TABLE%20labels`, "fixture"}, {`filter=name="fixture";DROP`, "fixture"}, {`filter=name="none";1=1`, ""}, {`a;b&filter=name="fixture"`, "fixture"},
		{`filter=`, ""}, {`filter`, ""}, {`filter=name="none"`, ""}, {`Filter=name="none"&filter=name="fixture"`, "fixture"},
	} {
		got := w.owner.Call(fish.Call{Path: "/api/v1/label/?" + tt.query})
		if names := namesIn(strings.ReplaceAll(string(got.Body), `"name": "`, `"name":"`)); got.Status != 200 || names != tt.want {
			t.Errorf("?%s: %d %.200s, want 200 with %q", tt.query, got.Status, got.Body, tt.want)
		}
	}
}

// testListOrder: lists are in the order of creation, whatever sorts otherwise
// (contract 6, 26), with a filter and without, for every noun.
func testListOrder(t *testing.T, w *world) {
	suffixes := []string{"m", "z", "a", "y", "b"}
	p := fresh("order") + "-"
	owner := addUser(t, w.admin, p+"owner")
	var apps, tasks, mappings []string
	for _, s := range suffixes {
		w.admin.CreateLabel(`{"name":"` + p + s + `"}`)
		fish.Post[userAnswer](w.admin, usersPath, `{"name":"`+p+s+`","password":"x"}`)
		fish.Post[userAnswer](w.admin, "/api/v1/location/", `{"name":"`+p+s+`"}`)
		mappings = append(mappings, fish.Post[uidOnly](w.admin, "/api/v1/servicemapping/", `{"service":"`+p+s+`","redirect":"r"}`).UID)
		apps = append(apps, owner.CreateApplication(w.vars["nowhere"], `{}`))
		tasks = append(tasks, fish.Post[uidOnly](owner, applicationsPath+apps[0]+"/task/", `{"task":"`+p+s+`","when":"x"}`).UID)
	}
	inOrder := p + strings.Join(suffixes, " "+p)
	for _, route := range []string{"label/", "user/", "location/"} {
		filter := "name LIKE '" + p + "%' AND name!='" + p + "owner'"
		if got := found(t, w.admin, route, filter); got != inOrder {
			t.Errorf("%s filtered is %q, want %q", route, got, inOrder)
		}
		all := strings.Fields(namesIn(string(w.admin.Call(fish.Call{Path: "/api/v1/" + route}).Body)))
		all = slices.DeleteFunc(all, func(name string) bool { return !strings.HasPrefix(name, p) || name == p+"owner" })
		if got := strings.Join(all, " "); got != inOrder {
			t.Errorf("%s is %q, want %q", route, got, inOrder)
		}
	}
	for _, tt := range []struct {
		client fish.Client
		route  string
		want   []string
	}{
		{owner, "application/", apps}, {owner, "application/?filter=1%3D1", apps}, {owner, "application/" + apps[0] + "/task/", tasks},
		{owner, "application/" + apps[0] + "/task/?filter=1%3D1", tasks}, {w.admin, "servicemapping/?filter=service+LIKE+'" + p + "%25'", mappings},
	} {
		var got []string
		for _, o := range fish.Get[[]uidOnly](tt.client, "/api/v1/"+tt.route) {
			got = append(got, o.UID)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s is %v, want %v", tt.route, got, tt.want)
		}
	}
}
