package tests

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// TestBadInput throws at one node what clients should not send, each piece of
// which has a clear answer.
func TestBadInput(t *testing.T) {
	t.Parallel()
	survive(t, fish.Start(t, fish.Options{}), map[string]func(*testing.T, *fish.Node){
		"bodies": testBodies, "body sizes": testBodySizes, "kept bodies": testKeptBodies, "YAML": testBadYAML,
		"content types": testContentTypes, "raw requests": testRawRequests, "headers": testHeaders, "gone": testGoneClients,
	})
}

// TestSlowClients is about those who take their time, on a node that gives
// them little.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	n := fish.Start(t, fish.Options{Config: "api_header_timeout: 2s\napi_read_timeout: 4s\napi_write_timeout: 4s\n"})
	survive(t, n, map[string]func(*testing.T, *fish.Node){
		"connections": testBadConnections, "slow": testSlowSenders, "reader": testSlowReader,
	})
}

// survive runs the tests. When all is over the node is as it was: it serves,
// it has lost nothing, and nothing is stuck in it.
func survive(t *testing.T, n *fish.Node, tests map[string]func(*testing.T, *fish.Node)) {
	t.Helper()
	label := n.CreateLabel(fish.TestLabel("before", `{}`))
	app := n.CreateApplication(label, `{}`)
	n.WaitStatus(app, "ALLOCATED")
	before := goroutines(t, n)
	t.Run("all", func(t *testing.T) {
		for name, test := range tests {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				mine := *n
				mine.Client = n.For(t)
				test(t, &mine)
			})
		}
	})
	n.HTTP.CloseIdleConnections()
	if got := n.State(app); got.Status != "ALLOCATED" {
		t.Errorf("the application from before is %+v", got)
	}
	n.Deallocate(app)
	n.WaitStatus(app, "DEALLOCATED")
	app = n.CreateApplication(label, `{}`)
	n.WaitStatus(app, "ALLOCATED")
	var now int
	const slack = 4 // this test's own connection, a timer's goroutine
	fish.Eventually(t, "goroutines go back to what they were", func() bool {
		now = goroutines(t, n)
		return now <= before+slack
	})
	t.Logf("goroutines: %d before, %d after", before, now)
	stdout, stderr := n.Lines()
	for _, line := range append(stdout, stderr...) {
		if strings.Contains(line, "panic") || strings.Contains(line, "ERROR") {
			t.Errorf("the node says: %.500s", line)
		}
	}
}

// goroutines counts those of the node.
func goroutines(t *testing.T, n *fish.Node) int {
	t.Helper()
	got := n.Request("GET", "/api/v1/node/this/profiling/goroutine?debug=1", nil)
	m := regexp.MustCompile(`^goroutine profile: total (\d+)\n`).FindSubmatch(got.Body)
	if m == nil {
		t.Fatalf("no goroutine profile: %d %.200s", got.Status, got.Body)
	}
	count, _ := strconv.Atoi(string(m[1]))
	return count
}

// refused posts a label and wants to be told why not, and soon.
func refused(t *testing.T, n *fish.Node, name, contentType, body, reason string) {
	t.Helper()
	start := time.Now()
	got := n.Call(fish.Call{Method: "POST", Path: labelsPath, Body: body, Type: contentType})
	want(t, name, got, http.StatusBadRequest, `{"message":"Wrong request body: `)
	want(t, name, got, http.StatusBadRequest, reason)
	if len(got.Body) > 1000 {
		t.Errorf("%s: the answer has %d bytes", name, len(got.Body))
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("%s took %v", name, took)
	}
}

func testBodies(t *testing.T, n *fish.Node) {
	nested := func(open, end string, count int) string {
		return `{"name":"x","metadata":` + strings.Repeat(open, count) + "1" + strings.Repeat(end, count) + `}`
	}
	for _, tt := range []struct{ name, body, want string }{
		{"half", `{"name":"x"`, "JSON"}, {"nothing but a brace", `{`, "JSON"}, {"trailing comma", `{"name":"x",}`, "JSON"}, {"single quotes", `{'name':'x'}`, "JSON"},
		{"comment", `{"name":"x"/**/}`, "JSON"}, {"NaN", `{"version":NaN}`, "JSON"}, {"leading zero", `{"version":01}`, "JSON"}, {"plus", `{"version":+1}`, "JSON"},
		{"two values", `{"name":"x"}{"name":"y"}`, "JSON"}, {"two values on lines", "{\"name\":\"x\"}\n{\"name\":\"y\"}", "JSON"}, {"garbage behind", `{"name":"x"}]`, "JSON"},
		{"raw newline", "{\"name\":\"a\nb\"}", "JSON"}, {"raw NUL", "{\"name\":\"a\x00b\"}", "JSON"}, {"byte order mark", "\xef\xbb\xbf{}", "JSON"}, {"UTF-16", "{\x00}\x00", "JSON"},
		{"bad UTF-8", "{\"name\":\"\xff\xfe\"}", "UTF-8"}, {"overlong UTF-8", "{\"name\":\"\xc0\xaf\"}", "UTF-8"}, {"surrogate in UTF-8", "{\"name\":\"\xed\xa0\x80\"}", "UTF-8"},
		{"null", `null`, "object"}, {"list", `[{"name":"x"}]`, "object"}, {"text", `"name"`, "object"}, {"number", `5`, "object"}, {"true", `true`, "object"},
		{"key twice", `{"name":"x","name":"y"}`, "name"}, {"key twice, escaped", `{"name":"x","n\u0061me":"y"}`, "name"}, {"key twice within", `{"name":"x","metadata":{"a":[{"b":1,"b":1}]}}`, `b`},
		{"deep lists", nested("[", "]", 30_000), "dep"}, {"deep objects", nested(`{"a":`, "}", 10_000), "dep"}, {"deep, not closed", strings.Repeat("[", 60_000), ""}, {"a little too deep", nested("[", "]", 100), "deep"},
		{"huge version", `{"name":"x","version":1e400}`, "version"}, {"large version", `{"name":"x","version":9223372036854775808}`, "version"}, {"version with digits", `{"name":"x","version":` + strings.Repeat("9", 60_000) + `}`, "version"},
		{"negative cpu", `{"name":"x","definitions":[{"driver":"d","resources":{"cpu":-1,"ram":1}}]}`, "cpu"}, {"many definitions of the wrong type", `{"definitions":[` + strings.Repeat("5,", 30_000) + `5]}`, "definitions"},
		{"HTML", `<html></html>`, "JSON"}, {"XML", `<?xml version="1.0"?><Label><Name>x</Name></Label>`, "JSON"}, {"form", `name=x&version=1`, "JSON"},
	} {
		refused(t, n, tt.name, "application/json", tt.body, tt.want)
	}
}

// testBodySizes: 64 KB are taken, one byte more is not, however it is sent.
func testBodySizes(t *testing.T, n *fish.Node) {
	const limit = 64 << 10
	sized := func(size int) string {
		body := fmt.Sprintf(`{"name":%q,"metadata":{"pad":"`, fresh("size"))
		return body + strings.Repeat("x", size-len(body)-len(`"}}`)) + `"}}`
	}
	for _, contentType := range []string{"application/json", fish.YAML} {
		for _, size := range []int{limit, limit + 1, 2 * limit, 100 * limit} {
			status, text := 413, "{\"message\":\"Request Entity Too Large\"}\n"
			if size == limit {
				status, text = 200, `"metadata":{"pad":"xxx`
			}
			what := fmt.Sprintf("%d bytes of %s", size, contentType)
			c := n.Fresh() // a connection may be closed behind an answer
			got, err := c.Do(t.Context(), "POST", labelsPath, []byte(sized(size)), contentType)
			if err != nil && size <= 2*limit {
				t.Errorf("%s: %v", what, err)
			}
			if err == nil {
				want(t, what, got, status, text)
			}
			if got := rawRequest(t, n, chunked(n, contentType, sized(size))); got.status != status && (got.status != 0 || size <= 2*limit) {
				t.Errorf("%s in chunks: %d %.200s, want %d", what, got.status, got.body, status)
			}
			c.HTTP.CloseIdleConnections()
		}
	}
	want(t, "spaces alone", n.Request("POST", labelsPath, []byte(strings.Repeat(" ", limit))), 400, "name")
	got := rawRequest(t, n, "POST /api/v1/label/ HTTP/1.1\r\nHost: x\r\n"+basic(n)+"Expect: 100-continue\r\nContent-Type: application/json\r\nContent-Length: 99999999\r\n\r\n")
	if got.status != 413 {
		t.Errorf("a body announced as too large: %d %s, want 413 before it is sent", got.status, got.body)
	}
}

// testKeptBodies: odd, but sound: taken, and returned as it was.
func testKeptBodies(t *testing.T, n *fish.Node) {
	digits := strings.Repeat("1234567890", 6000)
	for _, metadata := range []string{
		`{"n":` + digits + `}`, `{"n":-` + digits + `.` + `5e-99999}`, `{"n":1E+400}`, `{"":""}`, `{"a\u0000b":"\u0000"}`, `{"s":"\ud83d\ude00 \u2028"}`, `{"lone":"\ud800"}`,
		`{"d":` + strings.Repeat("[", 95) + strings.Repeat("]", 95) + `}`, `{"k":"` + strings.Repeat(`\"`, 20_000) + `"}`, `{` + strings.TrimSuffix(numbered(5000), ",") + `}`,
		`{"__proto__":{"x":1},"UID":5,"constructor":null}`, `{"sql":"'); DROP TABLE labels; --"}`, `{"t":"{{.}} $(id) %s %n"}`,
	} {
		created := n.Request("POST", labelsPath, []byte(`{"name":`+quoted(fresh("odd"))+`,"metadata":`+metadata+`}`))
		want(t, metadata[:min(len(metadata), 60)], created, 200, `"metadata":`+metadata)
		want(t, "the stored one", n.Request("GET", labelsPath+uidOf(t, created), nil), 200, `"metadata":`+metadata)
	}
	for _, name := range []string{"a\x00b", "\u202e", "😀", strings.Repeat("x", 60_000), " ", "\n"} {
		created := n.Request("POST", labelsPath, []byte(`{"name":`+quoted(name)+`}`))
		want(t, fmt.Sprintf("name %.20q", name), created, 200, `"name":`+quoted(name))
	}
}

func numbered(count int) string {
	var b strings.Builder
	for i := range count {
		fmt.Fprintf(&b, `"k%d":%d,`, i, i)
	}
	return b.String()
}

func testBadYAML(t *testing.T, n *fish.Node) {
	bomb := "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
	for i := 1; i < 10; i++ {
		bomb += fmt.Sprintf("a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i-1), 10), ","))
	}
	merges := "b: &b {" + strings.TrimSuffix(strings.ReplaceAll(numbered(500), `"`, ""), ",") + "}\n"
	merges = strings.ReplaceAll(merges, ":", ": ")
	for i := range 500 {
		merges += fmt.Sprintf("m%d: {<<: [*b, *b, *b, *b]}\n", i)
	}
	for _, tt := range []struct{ name, body, want string }{
		{"bomb", "name: x\nmetadata:\n  " + strings.ReplaceAll(bomb, "\n", "\n  "), "alias"}, {"bomb in the body", bomb, "alias"}, {"merges", merges, ""},
		{"alias within itself", "name: x\nmetadata: &m {a: [*m]}\n", ""}, {"merge of itself", "&a {<<: *a}", ""}, {"unknown alias", "name: *nobody", ""},
		{"two documents", "name: x\n---\nname: y\n", "document"}, {"tab", "name:\n\t- x", ""}, {"not closed", "name: [x", ""}, {"not closed quote", `name: "x`, ""},
		{"key twice", "name: x\nname: y\n", "name"}, {"list as key", "? [a, b]\n: x\n", "key"}, {"infinite", "name: x\nmetadata: {a: .inf}", ".inf"}, {"no number", "name: x\nmetadata: {a: .nan}", ".nan"},
		{"tag of a program", "name: !!python/object/apply:os.system [id]", ""}, {"binary", "name: x\nmetadata: {a: !!binary aGVsbG8=}", ""}, {"own tag", "name: !x y", ""},
		{"text", "hello", "object"}, {"list", "- name: x\n", "object"}, {"number", "5", "object"}, {"number as name", "name: 5", "name"}, {"date as version", "name: x\nversion: 2026-11-22", "version"},
		{"bad UTF-8", "name: \xff\xfe", "UTF-8"}, {"control characters", "name: \x01\x02", ""}, {"UTF-16", "\xff\xfen\x00a\x00", "UTF-8"},
		{"deep", "name: x\nmetadata: " + strings.Repeat("[", 9_000) + strings.Repeat("]", 9_000), ""}, {"deep block", deepBlock(300), ""}, {"anchors", "name: " + strings.Repeat("&a ", 20_000), ""},
		{"directive", "%YAML 9.9\n---\nname: [x]", ""}, {"JSON that is cut", `{"name":"x"`, ""},
	} {
		refused(t, n, tt.name, fish.YAML, tt.body, tt.want)
	}
}

// deepBlock is nested YAML without brackets.
func deepBlock(depth int) string {
	var b strings.Builder
	b.WriteString("name: x\nmetadata:\n")
	for i := range depth {
		b.WriteString(strings.Repeat(" ", i+1) + "a:\n")
	}
	return b.String()
}

// testContentTypes: JSON and YAML alone are taken (27.25).
func testContentTypes(t *testing.T, n *fish.Node) {
	const unsupported = "code=415, message=Unsupported Media Type"
	for _, contentType := range []string{
		"text/plain", "text/json", "application/xml", "text/xml", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/x-yaml", "application/octet-stream",
		"application", "json", ";", "*/*", "application/ json",
	} {
		refused(t, n, contentType, contentType, `{"name":"x"}`, unsupported)
	}
	refused(t, n, "XML with Go's names", "application/xml", `<Label><Name>x</Name></Label>`, unsupported)
	refused(t, n, "form", "application/x-www-form-urlencoded", `name=x`, unsupported)
	for _, contentType := range []string{"application/json", "Application/JSON", "application/json;charset=UTF-8", "application/json; charset=latin1; x=y", "application/yaml", "application/yaml; charset=utf-8"} {
		want(t, contentType, n.Call(fish.Call{Method: "POST", Path: labelsPath, Type: contentType, Body: `{"name":"` + fresh("type") + `"}`}), 200, `"version":0}`)
	}
	got := rawRequest(t, n, "POST /api/v1/label/ HTTP/1.1\r\nHost: x\r\n"+basic(n)+"Content-Length: 12\r\n\r\n{\"name\":\"x\"}")
	if got.status != 400 || !strings.Contains(got.body, unsupported) {
		t.Errorf("no content type: %d %s, want 400 with %s", got.status, got.body, unsupported)
	}
	// Nobody unpacks anything.
	want(t, "gzip", n.Call(fish.Call{Method: "POST", Path: labelsPath, Body: "\x1f\x8b\x08\x00\x00", Header: map[string]string{"Content-Encoding": "gzip"}}), 400, "Wrong request body: ")
}
