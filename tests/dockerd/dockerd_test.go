//go:build linux

package dockerd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// run makes and starts a container of the guest.
func run(t *testing.T, e *Engine, name, script, more string) string {
	t.Helper()
	id := Must[struct{ ID string }](e, "POST", "/containers/create?name="+name,
		fmt.Appendf(nil, `{"Image":%q,"Env":["GUEST=%s"]%s}`, Guest.Ref(), script, more)).ID
	Must[any](e, "POST", "/containers/"+id+"/start", nil)
	return id
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

func state(e *Engine, id string) string {
	for _, c := range e.Containers() {
		if c.ID == id {
			return c.State
		}
	}
	return "none"
}

// TestEngine is what tests do with an engine.
func TestEngine(t *testing.T) {
	t.Parallel()
	e := Start(t, Options{})
	if got, want := fmt.Sprint(e.Images()), "[guest:1]"; got != want {
		t.Errorf("the engine holds %s, want %s", got, want)
	}
	if got := Must[struct{ ID string }](e, "GET", "/images/guest:1/json", nil).ID; got != Guest.ID(t) {
		t.Errorf("the guest's ID is %s, want %s", got, Guest.ID(t))
	}
	a := run(t, e, "guest-a", "print hello $HOSTNAME; addresses; wait", "")
	eventually(t, "the guest prints", func() bool { return strings.Contains(e.Logs(a), "interface eth0") })
	if want := "hello " + a[:12]; !strings.Contains(e.Logs(a), want) {
		t.Errorf("the guest printed %q, want %q", e.Logs(a), want)
	}
	began := time.Now()
	Must[any](e, "POST", "/containers/guest-a/stop?t=30", nil)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("a guest that obeys ended after %v", took)
	}
	b := run(t, e, "guest-b", "exit 3", "")
	eventually(t, "the guest ends by itself", func() bool { return state(e, b) == "exited" })

	c := run(t, e, "guest-c", "wait", "")
	e.Kill()
	e.Start()
	eventually(t, "the engine ends what it lost", func() bool { return state(e, c) == "exited" })
	e.Freeze()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://engine/_ping", nil)
	if _, err := e.http.Do(req); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a frozen engine answers: %v", err)
	}
	e.Thaw()
	e.Restart()
	if n := len(e.Containers()); n != 3 {
		t.Errorf("%d containers after a restart, want 3", n)
	}
}

// TestContainersReachTheTest: over the bridge, in the engine's own network.
func TestContainersReachTheTest(t *testing.T) {
	t.Parallel()
	e := Start(t, Options{})
	Must[any](e, "POST", "/networks/create", []byte(`{"Name":"inner","Internal":true}`))
	go func() {
		_ = http.Serve(e.Listen("0.0.0.0:8080"), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			host, _, _ := net.SplitHostPort(r.RemoteAddr)
			_, _ = fmt.Fprintln(w, "you are", host)
		}))
	}()
	id := run(t, e, "guest-a", "get http://$GATEWAY:8080/; wait", `,"HostConfig":{"NetworkMode":"inner"}`)
	eventually(t, "the guest gets an answer", func() bool { return strings.Contains(e.Logs(id), "you are 10.213.") })
}

// TestKilledTest: what a test leaves that was killed is gone after the next.
func TestKilledTest(t *testing.T) {
	if os.Getenv("DOCKERD_LEAVE") != "" {
		e := Start(t, Options{})
		id := run(t, e, "guest-a", "stubborn", "")
		if status, answer, err := e.Call(http.MethodPost, "/containers/"+id+"/pause", nil); err != nil || status >= 300 {
			t.Fatalf("pause: %d %s %v", status, answer, err) // what is frozen does not end when it is killed
		}
		fmt.Printf("folder=%s\n", e.Dir())
		select {}
	}
	t.Parallel()
	beside := Start(t, Options{Bare: true}) // skips where there is none
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilledTest$")
	cmd.Env = append(os.Environ(), "DOCKERD_LEAVE=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var dir string
	for lines := bufio.NewScanner(out); dir == "" && lines.Scan(); {
		if rest, found := strings.CutPrefix(lines.Text(), "folder="); found {
			dir = rest
		}
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if dir == "" {
		t.Fatal("the other test did not start an engine")
	}
	if len(engineProcesses(dir)) < 4 { // dockerd, containerd, a shim, the guest
		t.Fatalf("processes %v run after the test was killed, want its engine", engineProcesses(dir))
	}
	sockets := shimSockets(dir)
	Start(t, Options{Bare: true})
	if left := engineProcesses(dir); len(left) > 0 {
		t.Errorf("processes %v are left", left)
	}
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	if strings.Contains(string(mounts), dir) {
		t.Errorf("mounts are left in %s:\n%s", dir, mounts)
	}
	groups, _ := filepath.Glob("/sys/fs/cgroup/*/" + filepath.Base(dir))
	for _, file := range append(append(groups, dir), sockets...) {
		if _, err := os.Stat(file); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", file, err)
		}
	}
	if len(sockets) != 1 {
		t.Errorf("sockets of shims: %v, want one", sockets)
	}
	if !beside.Running() {
		t.Error("the sweep ended another test's engine")
	}
}

// TestRegistry: the engine pulls with the right password, by tag and by digest,
// and a layer can be held half-way.
func TestRegistry(t *testing.T) {
	t.Parallel()
	e := Start(t, Options{Bare: true})
	r := e.Registry("alice", "secret")
	image := Image{Name: "pulled", Version: "7"}
	by := r.Push(e, image)
	name := r.Host + "/" + image.Ref()
	pull := func(ref, password string) error {
		out, err := e.Docker("login", "--username", "alice", "--password", password, r.Host)
		if err == nil {
			out, err = e.Docker("pull", ref)
		}
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}
	if err := pull(name, "wrong"); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("pull with a wrong password: %v", err)
	}
	r.Hold()
	pulled := make(chan error, 1)
	go func() { pulled <- pull(name, "secret") }()
	select {
	case <-r.Stuck():
	case err := <-pulled:
		t.Fatalf("pull of what is held ended: %v", err)
	}
	r.Release()
	if err := <-pulled; err != nil {
		t.Fatal(err)
	}
	if err := pull(r.Host+"/pulled@"+by, "secret"); err != nil {
		t.Error(err)
	}
	if got := Must[struct{ ID string }](e, "GET", "/images/"+name+"/json", nil).ID; got != image.ID(t) {
		t.Errorf("the image that was pulled is %s, want %s", got, image.ID(t))
	}
}
