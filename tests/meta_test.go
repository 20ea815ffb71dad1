package tests

import (
	"context"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

func TestMetadataInARealShell(t *testing.T) {
	t.Parallel()
	n := fish.Start(t, fish.Options{})
	app := n.CreateApplication(n.CreateLabel(fish.TestLabel("linux", `{}`)),
		`{"q":"it's $(id) \"x\" \\","nl":"a\nb","n":12345678901234567890,"a":[1,{"b":1.0}],"z":null,"d-a.s h":{"x":true}}`)
	n.WaitStatus(app, "ALLOCATED")
	nobody := n.As("", "")
	text := nobody.Request("GET", "/meta/v1/data/?format=export", nil)
	script := string(text.Body) + `printf '%s|' "$q" "$nl" "$n" "$a" "$z" "$da_sh_x"`
	cmd := exec.Command("sh")
	cmd.Stdin = strings.NewReader(script)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("sh: %v\n%s", err, script)
	}
	if want := `it's $(id) "x" \|` + "a\nb|12345678901234567890|" + `[1,{"b":1.0}]||true|`; string(out) != want {
		t.Errorf("sh has %q, want %q", out, want)
	}
	json := nobody.Request("GET", "/meta/v1/data/", nil)
	if !strings.Contains(string(json.Body), `"n":12345678901234567890`) || json.Header.Get("Content-Type") != "application/json; charset=UTF-8" {
		t.Errorf("JSON: %q %s", json.Header.Get("Content-Type"), json.Body)
	}
}

const dataPath = "/meta/v1/data/"

// TestMetadata is contract 17 for a caller on this host and the test driver.
func TestMetadata(t *testing.T) {
	t.Parallel()
	n := fish.Start(t, fish.Options{})
	nobody := n.As("", "")
	unknown := `{"message":"Client IP was not found in the node Resources"}` + "\n"
	want(t, "before any resource", nobody.Call(fish.Call{Path: dataPath}), 401, unknown)
	label := n.CreateLabel(`{"name":"meta","metadata":{"HOME":"/h","both":"label"},"definitions":[{"driver":"test","resources":{"cpu":1,"ram":1}}]}`)
	app := n.CreateApplication(label, `{"both":"app","PATH":"/evil","LD_PRELOAD":"x","JENKINS_URL":"https://ci/","a-b c":1,"9lives":"nine","!":"dropped","n":{"x.y":[1,"two"],"z":null},"q":"it's"}`)
	n.WaitStatus(app, "ALLOCATED")
	for _, tt := range []struct{ query, contentType, want string }{
		{"", "application/json; charset=UTF-8", `{"both":"label","PATH":"/evil","LD_PRELOAD":"x","JENKINS_URL":"https://ci/","a-b c":1,"9lives":"nine","!":"dropped","n":{"x.y":[1,"two"],"z":null},"q":"it's","HOME":"/h"`},
		{"?format=json&prefix=ignored", "application/json; charset=UTF-8", `{"both":"label",`},
		{"?format=env", "text/plain; charset=UTF-8", "HOME=/h\nJENKINS_URL=https://ci/\nabc=1\nboth=label\nlives=nine\nn_x_y='[1,\"two\"]'\nn_z=''\nq='it'\"'\"'s'\n"},
		{"?format=export&prefix=data", "text/plain; charset=UTF-8", "export data_JENKINS_URL=https://ci/\n"},
		{"?format=ps1&prefix=data", "text/plain; charset=UTF-8", "$data_q='it''s'\n"},
		{"?format=env&prefix=data", "text/plain; charset=UTF-8", "data_PATH=/evil\n"},
	} {
		got := nobody.Call(fish.Call{Path: dataPath + tt.query})
		if tt.query == "?format=env" && fish.OfUsers(got.Body) != tt.want {
			t.Errorf("%s: %q, want %q and nothing else of users", tt.query, got.Body, tt.want)
		}
		want(t, tt.query, got, 200, tt.want)
		if kind := got.Header.Get("Content-Type"); kind != tt.contentType {
			t.Errorf("%s is %q, want %q", tt.query, kind, tt.contentType)
		}
	}
	if got := nobody.Call(fish.Call{Path: dataPath}); strings.HasSuffix(string(got.Body), "\n") {
		t.Errorf("JSON ends in a newline: %q", got.Body)
	}
	for path, status := range map[string]int{
		dataPath + "?format=xml": 400, dataPath + "?format=env&format=json": 400, dataPath + "?format=%zz": 400, dataPath + "JENKINS_URL": 404,
		"/meta/v1/data": 404, "/meta/v1/": 404, "/meta/v1/data/a/b": 404, "/meta/v1/token/" + strings.Repeat("0", 32) + "/data/": 401,
	} {
		want(t, path, nobody.Call(fish.Call{Path: path}), status, `{"message":"`)
	}
	want(t, "a key", nobody.Call(fish.Call{Path: dataPath + "q"}), 404, `{"message":"TODO: Not implemented"}`)
	for _, method := range []string{"POST", "PUT", "DELETE", "HEAD", "OPTIONS"} {
		want(t, method, nobody.Call(fish.Call{Method: method, Path: dataPath}), 404, "")
	}
	forwarded(t, n)
	n.Deallocate(app)
	n.WaitStatus(app, "DEALLOCATED")
	want(t, "after the resource", nobody.Call(fish.Call{Path: dataPath}), 401, unknown)
}

// forwarded: headers that a proxy would add say nothing about who asks (27.2).
func forwarded(t *testing.T, n *fish.Node) {
	t.Helper()
	headers := func(address string) map[string]string {
		return map[string]string{"X-Forwarded-For": address, "X-Real-IP": address, "Forwarded": "for=" + address, "X-Client-IP": address}
	}
	want(t, "a resource that claims to be another", n.As("", "").Call(fish.Call{Path: dataPath, Header: headers("192.0.2.1")}), 200, "JENKINS_URL")
	const stranger = "127.0.0.2" // all of 127/8 is this host on Linux
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", stranger+":0")
	if err != nil {
		t.Logf("no second loopback address here, the caller that claims to be a resource is not tested: %v", err)
		return
	}
	_ = l.Close()
	c := n.As("", "").Fresh()
	c.HTTP.Transport.(*http.Transport).DialContext = (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(stranger)}}).DialContext
	for _, header := range []map[string]string{nil, headers("127.0.0.1"), headers("::1"), headers("127.0.0.1, 127.0.0.2")} {
		want(t, "a stranger with "+header["X-Forwarded-For"], c.Call(fish.Call{Path: dataPath, Header: header}), 401, "Client IP was not found")
	}
}
