package tests

import (
	"encoding/json"
	"net"
	"net/url"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

const socksName, httpName = "AQUARIUM_FISH_SOCKS_PROXY", "AQUARIUM_FISH_HTTP_PROXY"

// TestMetadataTellsOfTheProxy: the metadata API has the address at which the
// proxy really listens, whatever users wrote in the node's name, and the
// Resource has nothing of it.
func TestMetadataTellsOfTheProxy(t *testing.T) {
	t.Parallel()
	n := fish.Start(t, fish.Options{})
	const faked = `"AQUARIUM_FISH_SOCKS_PROXY":"evil","AQUARIUM_FISH_SSH_RECORD":true,"KEY":"value"`
	label := n.CreateLabel(`{"name":"meta","metadata":{` + faked + `},"definitions":[{"driver":"test","resources":{"cpu":1,"ram":1}}]}`)
	app := n.CreateApplication(label, `{`+faked+`,"aquarium_fish_http_proxy":"evil"}`)
	n.WaitStatus(app, "ALLOCATED")
	nobody := n.As("", "")
	var got map[string]any
	if err := json.Unmarshal(nobody.Request("GET", dataPath, nil).Body, &got); err != nil {
		t.Fatal(err)
	}
	socks, _ := got[socksName].(string)
	u, err := url.Parse(socks)
	if err != nil || u.Scheme != "socks5h" || u.User != nil || got[httpName] != "http://"+u.Host || got["KEY"] != "value" || len(got) != 3 {
		t.Fatalf("the environment reads %v, want where the proxy is, and KEY", got)
	}
	c, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatalf("nothing listens where the proxy is said to be: %v", err)
	}
	_ = c.Close()
	lines := string(nobody.Request("GET", dataPath+"?format=env&prefix=data", nil).Body)
	if want := "data_" + httpName + "=http://" + u.Host + "\ndata_" + socksName + "=socks5h://" + u.Host + "\ndata_KEY=value\n"; lines != want {
		t.Errorf("as text it reads %q, want %q", lines, want)
	}
	for _, path := range []string{"/api/v1/resource/", "/api/v1/application/" + app + "/resource"} {
		if body := string(n.Request("GET", path, nil).Body); strings.Contains(strings.ToUpper(body), "AQUARIUM_FISH_") || !strings.Contains(body, `"KEY":"value"`) {
			t.Errorf("%s shows %s", path, body)
		}
	}
	if body := string(n.Request("GET", "/api/v1/application/"+app, nil).Body); !strings.Contains(body, faked) {
		t.Errorf("the application is %s, want what its owner wrote", body)
	}
}

// TestNoProxyIsTold: a node whose SOCKS port was taken works, and sends nobody
// to whoever has it.
func TestNoProxyIsTold(t *testing.T) {
	t.Parallel()
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() })
	n := fish.Start(t, fish.Options{Config: "proxy_socks_address: " + other.Addr().String() + "\n"})
	app := n.CreateApplication(n.CreateLabel(fish.TestLabel("linux", `{}`)), `{"KEY":"value"}`)
	n.WaitStatus(app, "ALLOCATED")
	if got := n.As("", "").Request("GET", dataPath, nil); string(got.Body) != `{"KEY":"value"}` {
		t.Errorf("the environment reads %s", got.Body)
	}
}
