//go:build linux

package proxy

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/tests/farm"
	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// mirror is an HTTP server that says its name, as somebody's near the nodes.
func mirror(t testing.TB, name string) (address string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, name+" for "+r.Host+"\n")
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// socksAddress is where the node's proxy listens.
func socksAddress(n *fish.Node) string {
	_, address, _ := strings.Cut(n.WaitLine("PROXYSOCKS listening on: "), "listening on: ")
	return address
}

// mapService has a name lead to an address, for all or for an application.
func mapService(t testing.TB, c fish.Client, service, redirect, app string) (uid string) {
	t.Helper()
	body := fmt.Sprintf(`{"service":%q,"redirect":%q}`, service, redirect)
	if app != "" {
		body = fmt.Sprintf(`{"service":%q,"redirect":%q,"application_UID":%q}`, service, redirect, app)
	}
	return fish.Post[struct{ UID string }](c, "/api/v1/servicemapping/", body).UID
}

// curl is what the real one prints, errors as well.
func curl(t testing.TB, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "curl", append([]string{"-sS", "--noproxy", ""}, args...)...)
	out, _ := cmd.CombinedOutput() // what it says is what counts
	return string(out)
}

func wantCurl(t testing.TB, want string, args ...string) {
	t.Helper()
	if got := curl(t, args...); !strings.Contains(got, want) {
		t.Errorf("curl %v: %s, want %q", args, got, want)
	}
}

// An environment that is the only one with its address needs no credential; it
// reaches what is mapped, as long as it is there, and the audit says so.
func TestSOCKSByAddress(t *testing.T) {
	t.Parallel()
	n := fish.Start(t, fish.Options{Config: "node_location: lab\ndrivers:\n- name: test\n"})
	proxy, site := socksAddress(n), mirror(t, "mirror")
	wantCurl(t, "No authentication method was acceptable", "--socks5-hostname", proxy, "http://mirror.lab/")
	label := n.CreateLabel(fish.TestLabel("one", `{}`))
	app := n.CreateApplication(label, `{}`)
	n.WaitStatus(app, "ALLOCATED")

	wantCurl(t, "(2)", "--socks5-hostname", proxy, "http://mirror.lab/")
	mapService(t, n.Client, "mirror.lab", site, "")
	wantCurl(t, "mirror for mirror.lab", "--socks5-hostname", proxy, "http://mirror.lab/")
	wantCurl(t, "mirror for mirror.lab", "-p", "-x", "http://"+proxy, "http://mirror.lab/")
	mapService(t, n.Client, "192.0.2.80", site, "")
	wantCurl(t, "mirror for 192.0.2.80", "--socks5", proxy, "http://192.0.2.80/")

	// Owners map for their own, but not into the node.
	fish.Post[struct{}](n.Client, "/api/v1/user/", `{"name":"alice","password":"alice-password"}`)
	alice := n.As("alice", "alice-password")
	hers := alice.CreateApplication(n.CreateLabel(fish.TestLabel("two", `{}`)), `{}`)
	n.Deallocate(app)
	n.WaitStatus(app, "DEALLOCATED")
	n.WaitStatus(hers, "ALLOCATED")
	mapService(t, alice, "mirror.lab", site, hers)
	wantCurl(t, "403", "-p", "-x", "http://"+proxy, "http://mirror.lab/")
	wantCurl(t, "mirror for 192.0.2.80", "--socks5", proxy, "http://192.0.2.80/")
	n.Deallocate(hers)
	n.WaitStatus(hers, "DEALLOCATED")
	wantCurl(t, "407", "-p", "-x", "http://"+proxy, "http://192.0.2.80/")
	fish.Eventually(t, "the audit has what was reached and what was refused", func() bool {
		text := string(n.Request("GET", "/api/v1/audit/?action=proxy.connect", nil).Body)
		return strings.Contains(text, `"mirror.lab:80"`) && strings.Contains(text, `"refused"`) && strings.Contains(text, `"alice"`)
	})
}

// What an environment has open ends with it.
func TestSOCKSEndsWithTheEnvironment(t *testing.T) {
	t.Parallel()
	n := fish.Start(t, fish.Options{Config: "drivers:\n- name: test\n"})
	app := n.CreateApplication(n.CreateLabel(fish.TestLabel("one", `{}`)), `{}`)
	n.WaitStatus(app, "ALLOCATED")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	mapService(t, n.Client, "silent", l.Addr().String(), "")
	before := goroutines(t, n.Client)
	c, err := net.Dial("tcp", socksAddress(n))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	fmt.Fprintf(c, "CONNECT silent:1 HTTP/1.1\r\n\r\n")
	const answer = "HTTP/1.1 200 Connection established\r\n\r\n"
	if got := make([]byte, len(answer)); true {
		if _, err := io.ReadFull(c, got); string(got) != answer {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	n.Deallocate(app)
	if n, err := c.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
		t.Errorf("read %d bytes, %v, want a reset", n, err)
	}
	n.WaitStatus(app, "DEALLOCATED")
	backTo(t, n.Client, before)
}

// A native environment finds the proxy in its own environment, with what it
// proves itself with there, and another one next to it is another one.
func TestSOCKSFromNative(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "fish-socks-*") // that users of environments may pass
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	isolation := "process"
	if os.Getuid() == 0 {
		isolation = "user"
	}
	n := fish.Start(t, fish.Options{
		Dir: dir, Config: "drivers:\n- name: native\n  cfg:\n    isolation: " + isolation + "\n    cpu_alter: 64\n    ram_alter: 512\n- name: test\n",
	})
	// What curl says at once, before the node has noted that the environment runs, counts as well.
	entry := `no_proxy= NO_PROXY=; export no_proxy NO_PROXY
curl -sS -x "$AQUARIUM_FISH_SOCKS_PROXY" http://mirror.lab/ 2>&1
curl -sS -p -x "$AQUARIUM_FISH_HTTP_PROXY" http://mirror.lab/ 2>&1
echo asked once; while [ ! -e again ]; do sleep 0.05; done
curl -sS -x "$AQUARIUM_FISH_SOCKS_PROXY" http://later.lab/ 2>&1
echo asked again; exec sleep 600`
	mapService(t, n.Client, "mirror.lab", mirror(t, "mirror"), "")
	label := n.CreateLabel(fish.DriverLabel("curl", "native", fmt.Sprintf("{%q:%q}", "entry", entry)))
	test := n.CreateApplication(n.CreateLabel(fish.TestLabel("one", `{}`)), `{}`) // whose address it shares
	n.WaitStatus(test, "ALLOCATED")
	app := n.CreateApplication(label, `{}`)
	n.WaitStatus(app, "ALLOCATED")
	resource := n.Resource(app)
	folder := filepath.Join(n.Dir, "fish_native_workspace", resource.Identifier)
	printed := func() string {
		text, _ := os.ReadFile(filepath.Join(folder, "log")) // not there yet
		return string(text)
	}
	fish.Eventually(t, "the environment has asked", func() bool { return strings.Contains(printed(), "asked once") })
	if got := strings.Count(printed(), "mirror for mirror.lab"); got != 2 {
		t.Errorf("it reached the mirror %d times of 2:\n%s", got, printed())
	}
	mapService(t, n.Client, "later.lab", mirror(t, "later"), "") // while it runs
	if err := os.WriteFile(filepath.Join(folder, "home", "again"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	fish.Eventually(t, "it has asked again", func() bool { return strings.Contains(printed(), "asked again") })
	if !strings.Contains(printed(), "later for later.lab") {
		t.Errorf("it did not reach what was mapped meanwhile:\n%s", printed())
	}
	audit := string(n.Request("GET", "/api/v1/audit/?action=proxy.connect", nil).Body)
	if !strings.Contains(audit, resource.UID) || strings.Contains(audit, n.Resource(test).UID) {
		t.Errorf("the audit has %s, want %s and not the environment that has its address", audit, resource.UID)
	}
}

// A mapping made at one node holds within a second at another one, also for an
// environment that runs there already; so does its end.
func TestSOCKSMappingOfAnotherNode(t *testing.T) {
	t.Parallel()
	f := farm.Start(t, farm.Options{Topology: farm.Full(2), Config: "proxy_socks_address: 127.0.0.1:0\n"})
	f.Together(time.Minute)
	app := f.Admin(0).CreateApplication(f.Admin(0).CreateLabel(fish.TestLabel("one", `{}`)), `{}`)
	f.Admin(0).WaitStatus(app, "ALLOCATED")
	site := mirror(t, "mirror")
	var runs, other int // which node runs it
	for node := range 2 {
		if strings.Contains(curl(t, "-p", "-x", "http://"+socksAddress(f.Members[node].Node), "http://mirror.lab/"), "403") {
			runs, other = node, 1-node
		}
	}
	proxy := socksAddress(f.Members[runs].Node)
	wantCurl(t, "(2)", "--socks5-hostname", proxy, "http://mirror.lab/")
	wantCurl(t, "407", "-p", "-x", "http://"+socksAddress(f.Members[other].Node), "http://mirror.lab/")

	within := func(what, want string) {
		t.Helper()
		began := time.Now()
		fish.Eventually(t, what, func() bool { return strings.Contains(curl(t, "--socks5-hostname", proxy, "http://mirror.lab/"), want) })
		t.Logf("%s: after %v", what, time.Since(began))
		if took := time.Since(began); took > time.Second {
			t.Errorf("%s: after %v, want it within a second", what, took)
		}
	}
	uid := mapService(t, f.Admin(other), "mirror.lab", site, "")
	within("mapped", "mirror for mirror.lab")
	f.Admin(other).Request("DELETE", "/api/v1/servicemapping/"+uid, nil)
	within("unmapped", "(2)")
}

// TestReadmeMirror types what the README has an environment do, with a mirror
// that has what it asks for.
func TestReadmeMirror(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	const first = "```sh\ncurl --proxy \"$AQUARIUM_FISH_SOCKS_PROXY\""
	_, block, found := strings.Cut(string(readme), first)
	block, _, ended := strings.Cut(strings.TrimPrefix(first, "```sh\n")+block, "```")
	if !found || !ended {
		t.Fatal("the README has no block that begins with " + first)
	}
	n := fish.Start(t, fish.Options{Config: "node_location: lab\ndrivers:\n- name: test\n"})
	n.WaitStatus(n.CreateApplication(n.CreateLabel(fish.TestLabel("one", `{}`)), `{}`), "ALLOCATED")
	site, work := t.TempDir(), t.TempDir()
	bash := func(dir, script string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, "bash", "-euxc", script)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "no_proxy=", "NO_PROXY=", "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_SYSTEM="+os.DevNull,
			"AQUARIUM_FISH_SOCKS_PROXY=socks5h://"+socksAddress(n), "AQUARIUM_FISH_HTTP_PROXY=http://"+socksAddress(n))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	bash(site, `git init -q tool; cd tool; git -c user.name=a -c user.email=a@b commit -q --allow-empty -m first
git update-server-info; mv .git ../tool.git; echo tool > ../tool.tar.gz`)
	server := httptest.NewServer(http.FileServer(http.Dir(site)))
	t.Cleanup(server.Close)
	for _, service := range []string{"artifacts.example.com", "code.example.com"} {
		mapService(t, n.Client, service, strings.TrimPrefix(server.URL, "http://"), "")
	}
	bash(work, block)
	for _, name := range []string{"tool.tar.gz", "again.tar.gz", "third.tar.gz"} {
		if text, err := os.ReadFile(filepath.Join(work, name)); string(text) != "tool\n" {
			t.Errorf("%s has %q, %v, want what the mirror has", name, text, err)
		}
	}
	if _, err := os.Stat(filepath.Join(work, "tool", ".git")); err != nil {
		t.Errorf("the clone: %v", err)
	}
}
