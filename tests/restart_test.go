package tests

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// freeAddress is one that was free a moment ago.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// TestFirstAnswerIsAllocated knocks from before the node's start on: whatever
// it answers first, it already knows what runs (contract 19).
func TestFirstAnswerIsAllocated(t *testing.T) {
	t.Parallel()
	n := fish.Start(t, fish.Options{Config: "api_address: " + freeAddress(t) + "\n"})
	label := n.CreateLabel(fish.TestLabel("linux", `{}`))
	var apps []string
	for range 20 {
		apps = append(apps, n.CreateApplication(label, `{}`))
	}
	for _, app := range apps {
		n.WaitStatus(app, "ALLOCATED")
	}
	n.Kill()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	first := make(chan string, len(apps))
	for i, app := range apps {
		c := n.Fresh()
		path := applicationsPath + app + "/" + []string{"state", "resource"}[i%2]
		go func() {
			for ctx.Err() == nil {
				got, err := c.Do(ctx, http.MethodGet, path, nil, "")
				if err == nil {
					first <- fmt.Sprintf("%d %s", got.Status, got.Body)
					return
				}
			}
			first <- "none"
		}()
	}
	n.Start()
	for range apps {
		if got := <-first; !strings.HasPrefix(got, "200 ") || !strings.Contains(got, `"ALLOCATED"`) && !strings.Contains(got, `"identifier"`) {
			t.Errorf("a first answer after the restart is %s", got)
		}
	}
}

// TestRestartInEveryState kills the node with an application in each state. It
// never hangs in one, nothing that the driver made is left, and what waits goes
// on waiting.
func TestRestartInEveryState(t *testing.T) {
	t.Parallel()
	n := fish.Start(t, fish.Options{Config: "drivers:\n- name: test\n- name: test/slow\n  cfg: {workspace_path: slow, delay_allocate: 2s}\n- name: test/sticky\n  cfg: {workspace_path: sticky, delay_deallocate: 2s}\n"})
	label := n.CreateLabel(fish.TestLabel("quick", `{}`))
	slow, sticky := n.CreateLabel(fish.DriverLabel("slow", "test/slow", `{}`)), n.CreateLabel(fish.DriverLabel("sticky", "test/sticky", `{}`))
	absentDriver := n.CreateLabel(fish.DriverLabel("absent", "test/absent", `{}`))
	ended, releasing := n.CreateApplication(label, `{}`), n.CreateApplication(sticky, `{}`)
	n.WaitStatus(ended, "ALLOCATED")
	n.Deallocate(ended)
	n.WaitStatus(releasing, "ALLOCATED")
	n.WaitStatus(ended, "DEALLOCATED")
	waiting, recalled := n.CreateApplication(absentDriver, `{}`), n.CreateApplication(absentDriver, `{}`)
	n.Deallocate(recalled)
	elected, givenUp := n.CreateApplication(slow, `{}`), n.CreateApplication(slow, `{}`)
	n.WaitStatus(elected, "ELECTED")
	n.WaitStatus(givenUp, "ELECTED")
	n.Deallocate(givenUp)
	n.Deallocate(releasing)
	n.Kill()
	n.Start()
	for app, status := range map[string]string{ended: "DEALLOCATED", waiting: "NEW", recalled: "RECALLED"} {
		if got := n.State(app); got.Status != status {
			t.Errorf("after the restart %+v, was %s", got, status)
		}
	}
	n.WaitStatus(elected, "ALLOCATED")
	for _, app := range []string{givenUp, releasing} {
		n.WaitStatus(app, "DEALLOCATED")
	}
	n.Deallocate(elected)
	n.WaitStatus(elected, "DEALLOCATED")
	if got := n.Deallocate(waiting); got.Status != "RECALLED" {
		t.Errorf("what waited across the restart is given up: %+v", got)
	}
	for _, workspace := range []string{"fish_test_workspace", "slow", "sticky"} {
		if left := environments(t, filepath.Join(n.Dir, workspace)); len(left) > 0 {
			t.Errorf("left in %s: %v", workspace, left)
		}
	}
}

// environments are the files of the test driver in its folder.
func environments(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "test-") {
			names = append(names, e.Name())
		}
	}
	return names
}

// TestRecallIsNotLost: what is given up while it is being made is never shown
// as ALLOCATED, and is removed (27.3).
func TestRecallIsNotLost(t *testing.T) {
	t.Parallel()
	n := fish.Start(t, fish.Options{})
	app := n.CreateApplication(n.CreateLabel(fish.TestLabel("slow", `{"delay_allocate":"500ms"}`)), `{}`)
	n.WaitStatus(app, "ELECTED")
	if got := n.Deallocate(app); got.Status != "RECALLED" {
		t.Errorf("deallocate while ELECTED answers %+v", got)
	}
	want(t, "deallocate again", n.Request("GET", applicationsPath+app+"/deallocate", nil), 400, "Unable to deallocate the Application with status: ")
	fish.Eventually(t, "a recalled application ends", func() bool {
		s := n.State(app).Status
		if s == "ALLOCATED" || s == "ELECTED" {
			t.Fatalf("after RECALLED it is %s", s)
		}
		return s == "DEALLOCATED"
	})
	if left := environments(t, filepath.Join(n.Dir, "fish_test_workspace")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// TestLifetimeAndRetries: an environment ends by itself when its time is over
// (contract 14), and a driver that fails to remove it is asked again, after a
// restart as well (27.5).
func TestLifetimeAndRetries(t *testing.T) {
	t.Parallel()
	n := fish.Start(t, fish.Options{Config: "default_resource_lifetime: 1s\ndrivers:\n- name: test\n- {name: test/bad, cfg: {workspace_path: bad, fail_deallocate: 255}}\n"})
	ask := func(driver, lifetime string) string {
		return n.CreateApplication(n.CreateLabel(fmt.Sprintf(
			`{"name":%q,"definitions":[{"driver":%q,"resources":{"cpu":1,"ram":1,"lifetime":%q}}]}`, fresh("l"), driver, lifetime)), `{}`)
	}
	unlimited, stuck := ask("test", "-1s"), ask("test/bad", "1500ms")
	for _, app := range []string{ask("test", ""), ask("test", "0"), ask("test", "500ms")} {
		n.WaitStatus(app, "DEALLOCATED")
	}
	if s := n.WaitStatus(stuck, "DEALLOCATE"); s.Description != "Resource lifetime timeout reached:1.5s" {
		t.Errorf("at the end of its lifetime it is %+v", s)
	}
	fish.Eventually(t, "the driver is asked again", func() bool {
		stdout, _ := n.Lines()
		failures := slices.DeleteFunc(slices.Clone(stdout), func(line string) bool { return !strings.Contains(line, "fail_deallocate hit") })
		return len(failures) > 1
	})
	if s := n.State(unlimited); s.Status != "ALLOCATED" {
		t.Errorf("one without end is %+v", s)
	}
	n.Stop()
	file := filepath.Join(n.Dir, "fish.yaml")
	healed := strings.Replace(readFile(t, file), "fail_deallocate: 255", "fail_deallocate: 0", 1)
	if err := os.WriteFile(file, []byte(healed), 0o600); err != nil {
		t.Fatal(err)
	}
	n.Start()
	n.WaitStatus(stuck, "DEALLOCATED")
	if left := environments(t, filepath.Join(n.Dir, "bad")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// TestTwoNodesOnOneHost: neither ports nor folders of their defaults collide,
// and the SOCKS port may be anybody's.
func TestTwoNodesOnOneHost(t *testing.T) {
	t.Parallel()
	socks, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = socks.Close() })
	config := func(name string) fish.Options {
		return fish.Options{Config: "node_name: " + name + "\nproxy_socks_address: " + socks.Addr().String() + "\n"}
	}
	one, two := fish.Start(t, config("one")), fish.Start(t, config("two"))
	for _, n := range []*fish.Node{one, two} {
		app := n.CreateApplication(n.CreateLabel(fish.TestLabel("linux", `{}`)), `{}`)
		n.WaitStatus(app, "ALLOCATED")
		if line := n.WaitLine("environments reach no services through this node"); !strings.Contains(line, "WARN") || !strings.Contains(line, "proxy_socks_address") {
			t.Errorf("the node says %q, want a warning that says what to do", line)
		}
	}
	want(t, "the other's admin", two.As("admin", one.AdminPassword).Request("GET", mePath, nil), 401, "Unauthorized")
}

// TestOneProcessPerNode: a second process on the same folder is refused and
// disturbs nothing.
func TestOneProcessPerNode(t *testing.T) {
	t.Parallel()
	n := fish.Start(t, fish.Options{})
	app := n.CreateApplication(n.CreateLabel(fish.TestLabel("linux", `{}`)), `{}`)
	n.WaitStatus(app, "ALLOCATED")
	got := fish.Run(t, n.Dir, "--cfg", filepath.Join(n.Dir, "fish.yaml"))
	if all := got.Stdout + got.Stderr; got.Code != 1 || !strings.Contains(all, "Error: ") || !strings.Contains(all, fish.NodeName) {
		t.Errorf("the second process: exit code %d\n%s", got.Code, all)
	}
	if s := n.State(app); s.Status != "ALLOCATED" {
		t.Errorf("the first process' application is %+v", s)
	}
}

// TestAnotherNodeName: a folder that gets another node_name holds two nodes;
// the new one has its own key, knows the users, and runs nothing of the old.
func TestAnotherNodeName(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := fish.Start(t, fish.Options{Dir: dir})
	type node struct{ UID, Name, Pubkey string }
	before := fish.Get[node](first.Client, "/api/v1/node/this/")
	first.Stop()
	second := fish.Start(t, fish.Options{Dir: dir, Config: "node_name: renamed\n", AdminPassword: first.AdminPassword})
	nodes := fish.Get[[]node](second.Client, "/api/v1/node/")
	this := fish.Get[node](second.Client, "/api/v1/node/this/")
	if len(nodes) != 2 || !slices.Contains(nodes, before) || this.Name != "renamed" || this.UID == before.UID || this.Pubkey == before.Pubkey {
		t.Errorf("nodes %+v, this is %+v, was %+v", nodes, this, before)
	}
}

// TestBurst: fifty agents asked for at once, each over a connection of its
// own, are answered within a second. Other work on the machine may spoil a try,
// so the best of three counts.
func TestBurst(t *testing.T) { // not parallel: it is about time
	n := fish.Start(t, fish.Options{})
	label := n.CreateLabel(fish.TestLabel("burst", `{}`))
	const count = 50
	best := time.Hour
	for range 3 {
		clients := make([]fish.Client, count)
		for i := range clients {
			clients[i] = n.Fresh()
		}
		start := make(chan struct{})
		answers := make(chan error, count)
		for _, c := range clients {
			go func() {
				<-start
				got, err := c.Do(t.Context(), http.MethodPost, applicationsPath, []byte(`{"label_UID":"`+label+`"}`), "")
				if err == nil && got.Status != http.StatusOK {
					err = fmt.Errorf("status %d %s", got.Status, got.Body)
				}
				answers <- err
			}()
		}
		began := time.Now()
		close(start)
		for range count {
			if err := <-answers; err != nil {
				t.Fatalf("in a burst: %v", err)
			}
		}
		best = min(best, time.Since(began))
		for _, c := range clients {
			c.HTTP.CloseIdleConnections()
		}
		if best < time.Second {
			break
		}
	}
	t.Logf("%d applications were answered within %v", count, best)
	if best > time.Second {
		t.Errorf("%d parallel applications took %v, want at most a second", count, best)
	}
}
