//go:build linux

package native

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// TestLife is the whole of it: a process runs, reads its own metadata and no
// other's, and is gone. The node's certificate names no loopback address.
func TestLife(t *testing.T) {
	t.Parallel()
	s := start(t, fish.Options{Config: "node_address: ci-1.example.com:8001\n"})
	a, b := s.run("a", reader, "ready"), s.run("b", reader, "ready")
	for name, want := range map[string]string{
		"HELLO": "hello a", "PRELOAD": "", "APP": a.app, "PWD": filepath.Join(a.folder, "home"), "GREETING": "'hello a'",
	} {
		if got := a.value(name); got != want {
			t.Errorf("the environment has %s=%q, want %q", name, got, want)
		}
	}
	url := a.value("URL")
	if url == b.value("URL") {
		t.Errorf("two environments have one metadata URL %s", url)
	}
	base := strings.TrimSuffix(url, "/meta/v1/"+strings.SplitN(url, "/meta/v1/", 2)[1])
	for what, want := range map[string]int{
		url:                     200,
		base + "/meta/v1/data/": 401, // loopback without a token
		base + "/meta/v1/token/" + strings.Repeat("0", 32) + "/data/": 401,
	} {
		if got := status(t, s, what); got != want {
			t.Errorf("GET %s = %d, want %d", what, got, want)
		}
	}
	a.release()
	if got := status(t, s, url); got != 401 {
		t.Errorf("GET %s after the environment is gone = %d, want 401", url, got)
	}
	if !b.alive() {
		t.Errorf("the other environment is gone with the first")
	}
	b.release()
}

func status(t *testing.T, s site, url string) int {
	t.Helper()
	resp, err := s.HTTP.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	return resp.StatusCode
}

// TestUsersAreApart: what one environment has, another can not read.
func TestUsersAreApart(t *testing.T) {
	needs.Root(t, "to make users")
	t.Parallel()
	s := start(t, fish.Options{})
	a, b := s.run("a", reader, "ready"), s.run("b", reader, "ready")
	if me := a.value("ME"); me != a.identifier {
		t.Errorf("the environment runs as %s, want %s", me, a.identifier)
	}
	for _, argv := range [][]string{
		{"cat", "/proc/" + a.value("PID") + "/environ"}, // its metadata URL is in there
		{"ls", filepath.Join(a.folder, "home")},
		{"ls", a.folder},
		{"ls", filepath.Dir(a.folder)},
		{"cat", filepath.Join(a.folder, "spec.json")},
		{"cat", filepath.Join(a.folder, "log")},
		{"kill", "-9", a.value("PID")},
		{"cat", filepath.Join(s.Dir, "fish_data", "ca.key")},
	} {
		if out, err := b.asUser(argv...); err == nil {
			t.Errorf("another environment's user may %v: %s", argv, out)
		}
	}
	if out, err := a.asUser("cat", a.value("CA")); err != nil || !strings.Contains(out, "BEGIN CERTIFICATE") {
		t.Errorf("the environment can not read its CA certificate: %v %s", err, out)
	}
	a.release()
	b.release()
}

// TestOutlivesTheNode: whatever happens to the node, its environment goes on.
func TestOutlivesTheNode(t *testing.T) {
	t.Parallel()
	binary := filepath.Join(t.TempDir(), "aquarium-fish")
	install := func() {
		text, err := os.ReadFile(os.Getenv(fish.BinaryEnv))
		if err == nil {
			err = os.WriteFile(binary+".new", text, 0o755)
		}
		if err == nil {
			err = os.Rename(binary+".new", binary)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	install()
	s := start(t, fish.Options{Binary: binary})
	e := s.run("outlives", reader, "ready")
	for _, tt := range []struct {
		name string
		end  func()
	}{
		{"SIGTERM", func() { s.Stop() }},
		{"kill -9", func() { s.Kill() }},
		{"an upgrade", func() { s.Stop(); install() }},
	} {
		tt.end()
		if !e.alive() {
			t.Fatalf("%s of the node ended the environment", tt.name)
		}
		s.Start()
		if got := s.State(e.app); got.Status != "ALLOCATED" {
			t.Errorf("after %s the application is %+v, want ALLOCATED", tt.name, got)
		}
		if got := status(t, s, e.value("URL")); got != 200 {
			t.Errorf("after %s the metadata URL answers %d, want 200", tt.name, got)
		}
	}
	e.release()
}

// TestEndsWhileTheNodeIsDown: it is noticed afterwards.
func TestEndsWhileTheNodeIsDown(t *testing.T) {
	t.Parallel()
	s := start(t, fish.Options{})
	e := s.run("ends", reader, "ready")
	s.Kill()
	kill(t, e.value("PID"))
	s.Start()
	s.WaitStatus(e.app, "DEALLOCATED")
	e.wantGone()
}

func kill(t *testing.T, pid string) {
	t.Helper()
	var n int
	if _, err := fmt.Sscan(pid, &n); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(n, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// TestEndsByItself: the application ends, and its end says how.
func TestEndsByItself(t *testing.T) {
	t.Parallel()
	s := start(t, fish.Options{})
	label := s.CreateLabel(fish.DriverLabel("ends", "native", `{"entry":"sleep 0.2; exit 3"}`))
	app := s.CreateApplication(label, `{}`)
	s.WaitLine("Environment ended by itself: exit code 3")
	s.WaitStatus(app, "DEALLOCATED")
	s.WaitGone("/api/v1/application/" + app + "/resource")
}

// TestCanNotRun: what can not be made or run ends, and leaves nothing.
func TestCanNotRun(t *testing.T) {
	t.Parallel()
	s := start(t, fish.Options{})
	label := s.CreateLabel(fish.DriverLabel("no-image", "native",
		`{"images":[{"url":"http://127.0.0.1:1/none-1.tar.gz"}]}`))
	refused := s.CreateLabel(fish.DriverLabel("no-folder", "native", `{"entry":"{{ \"/no/such\" }}"}`))
	app := s.CreateApplication(label, `{}`)
	ended := s.CreateApplication(refused, `{}`)
	s.WaitLine("Environment ended by itself: exit code 127")
	s.WaitStatus(ended, "DEALLOCATED")
	s.Deallocate(app) // it waits for a server that may come back
	s.WaitStatus(app, "DEALLOCATED")
	left, err := filepath.Glob(filepath.Join(s.Dir, "fish_native_workspace", "fish-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left in the workspace: %v, %v", left, err)
	}
	resp := s.Request("POST", "/api/v1/label/", []byte(fish.DriverLabel("bad", "native", `{"entry":"{{ .Disks.none }}"}`)))
	if resp.Status != 400 || !strings.Contains(string(resp.Body), "option entry") {
		t.Errorf("a label with a broken entry: %d %s, want 400 that names it", resp.Status, resp.Body)
	}
}

// TestDaemonsGoToo: no process gets away, whatever it does to itself.
func TestDaemonsGoToo(t *testing.T) {
	t.Parallel()
	s := start(t, fish.Options{})
	e := s.run("daemons", `sh -c 'setsid sh -c "trap : INT TERM HUP; (sleep 1001 &) ; (setsid sleep 1002 &) ; echo started; while :; do sleep 1; done" & `+
		`trap : INT; echo PID=$$; while :; do sleep 1; done'`, "started")
	if n := len(processesIn(t, e.folder)); n < 5 {
		t.Fatalf("%d processes run, want all that the entry started: %q", n, processesIn(t, e.folder))
	}
	e.release()
}

// TestManyAtOnce also keeps a lifetime.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	s := start(t, fish.Options{})
	label := s.CreateLabel(fish.DriverLabel("many", "native", `{"entry":"echo ready; exec sleep 1000"}`))
	const many = 20
	var apps [many]string
	var wg sync.WaitGroup
	for i := range apps {
		wg.Go(func() { apps[i] = s.CreateApplication(label, `{}`) })
	}
	wg.Wait()
	var all []environment
	seen := map[string]bool{}
	for _, app := range apps {
		e := s.allocate(app, "ready")
		seen[e.identifier] = true
		all = append(all, e)
	}
	if len(seen) != many {
		t.Errorf("%d applications have %d identifiers", many, len(seen))
	}
	for _, e := range all {
		s.Deallocate(e.app)
	}
	for _, e := range all {
		s.WaitStatus(e.app, "DEALLOCATED")
		e.wantGone()
	}
}

func TestLifetime(t *testing.T) {
	t.Parallel()
	s := start(t, fish.Options{})
	label := s.CreateLabel(`{"name":"short","version":1,"definitions":[{"driver":"native","options":{"entry":"echo ready; exec sleep 1000"},"resources":{"cpu":1,"ram":1,"lifetime":"2s"}}]}`)
	e := s.allocate(s.CreateApplication(label, `{}`), "ready")
	s.WaitStatus(e.app, "DEALLOCATED")
	e.wantGone()
}
