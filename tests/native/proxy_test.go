//go:build linux

package native

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// TestProxyOfTheNode: a process gets out by what its variables say, as SOCKS and
// as HTTP, and the metadata API says the same. After a restart on another port
// its variables are old, and the metadata API knows the new one.
func TestProxyOfTheNode(t *testing.T) {
	t.Parallel()
	mirror := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintln(w, "MIRROR"+strings.ReplaceAll(r.URL.Path, "/", "_")+"="+r.Host) // a client that went away needs no answer
	}))
	t.Cleanup(mirror.Close)
	_, port, _ := strings.Cut(strings.TrimPrefix(mirror.URL, "http://"), ":")
	before, after := freeAddress(t), freeAddress(t)
	o := options(t, fish.Options{Config: "proxy_socks_address: " + before + "\n"})
	s := site{fish.Start(t, o), t}
	fish.Post[struct{ UID string }](s.Client, "/api/v1/servicemapping/", `{"service":"mirror.test","redirect":"127.0.0.1"}`)
	e := s.run("a", `sh -c 'echo URL=$AQUARIUM_FISH_METADATA_URL; echo SOCKS=$AQUARIUM_FISH_SOCKS_PROXY; echo HTTP=$AQUARIUM_FISH_HTTP_PROXY; `+
		`curl -sS --fail --max-time 10 --proxy "$AQUARIUM_FISH_SOCKS_PROXY" http://mirror.test:`+port+`/socks; `+
		`curl -sS --fail --max-time 10 --proxytunnel --proxy "$AQUARIUM_FISH_HTTP_PROXY" http://mirror.test:`+port+`/http; `+
		`curl -sS --fail --cacert "$AQUARIUM_FISH_CA" "$AQUARIUM_FISH_METADATA_URL?format=env" || echo FAILED; echo ready; exec sleep 1000'`, "ready")
	for _, name := range []string{"MIRROR_socks", "MIRROR_http"} {
		if got := e.value(name); got != "mirror.test:"+port {
			t.Errorf("%s=%s, want mirror.test:%s", name, got, port)
		}
	}
	u, err := url.Parse(e.value("SOCKS"))
	if err != nil || u.Scheme != "socks5h" || u.Host != before || u.User.Username() != e.app {
		t.Errorf("the process was told of %s, want %s and user %s", e.value("SOCKS"), before, e.app)
	}
	if e.value("AQUARIUM_FISH_SOCKS_PROXY") != e.value("SOCKS") || e.value("AQUARIUM_FISH_HTTP_PROXY") != e.value("HTTP") {
		t.Errorf("variables and metadata API differ:\n%s", e.printed())
	}
	s.Stop()
	s.Reconfigure(strings.Replace(o.Config, before, after, 1))
	s.Start()
	u.Host = after
	if got := s.metadataAt(e.value("URL")); !strings.Contains(got, "AQUARIUM_FISH_SOCKS_PROXY="+u.String()+"\n") {
		t.Errorf("after a restart on %s the metadata API says:\n%s", after, got)
	}
	e.release()
}

// metadataAt is what the environment with the address reads.
func (s site) metadataAt(address string) string {
	s.t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(s.As("", "").Request("GET", u.Path+"?format=env", nil).Body)
}
