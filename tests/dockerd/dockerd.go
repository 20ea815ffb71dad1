//go:build linux

package dockerd

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
)

// How long a test waits for an engine: far more than it may take, because other
// tests keep the machine busy.
const (
	startTimeout = time.Minute
	stopTimeout  = time.Minute
	callTimeout  = time.Minute
)

// Options says how to run an engine. The zero value is good.
type Options struct {
	// Flags are added to dockerd's command line, such as "--live-restore".
	Flags []string
	// Bare engines hold no image. Others hold the Guest.
	Bare bool
}

// Engine is one Docker engine under test. Its methods are for the test's
// goroutine, but those of net and HTTP.
type Engine struct {
	t       testing.TB
	options Options
	name    string // of its cgroup and of its name space in containerd
	dir     string
	claim   *os.File // held locked: who can lock it sweeps the folder
	network *network
	http    *http.Client
	log     *os.File
	process *exec.Cmd     // nil if it does not run
	exited  chan struct{} // closed when it has ended
}

// Start runs an engine and returns when it answers. When the test ends it is
// gone, and with it whatever it made.
func Start(t testing.TB, o Options) *Engine {
	t.Helper()
	needs.Root(t, "to run a Docker engine")
	for _, tool := range []string{"dockerd", "containerd", "runc", "iptables", "ip", "nsenter"} {
		if _, err := exec.LookPath(tool); err != nil {
			needs.Lacking(t, "needs a Docker engine: no", tool, "is installed")
		}
	}
	dir, claim, err := claimFolder()
	if err != nil {
		t.Fatal(err)
	}
	e := &Engine{t: t, options: o, name: filepath.Base(dir), dir: dir, claim: claim}
	t.Cleanup(e.remove)
	if e.network, err = newNetwork(); err != nil {
		t.Fatal(err)
	}
	if e.log, err = os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600); err != nil {
		t.Fatal(err)
	}
	e.http = &http.Client{Timeout: callTimeout, Transport: &http.Transport{DialContext: e.dialEngine}}
	e.Start()
	if !o.Bare {
		e.Load(Guest)
	}
	return e
}

// Host is the engine's address as in DOCKER_HOST.
func (e *Engine) Host() string { return "unix://" + e.Socket() }

// Socket is the file of the engine's socket.
func (e *Engine) Socket() string { return filepath.Join(e.dir, "sock") }

// Dir is the engine's folder. Whatever lies in it is removed with the engine.
func (e *Engine) Dir() string { return e.dir }

// Start runs the ended engine again, with what it had.
func (e *Engine) Start() {
	e.t.Helper()
	if e.Running() {
		e.t.Fatal("the engine runs already")
	}
	if err := e.spawn(); err != nil {
		e.t.Fatal(err)
	}
	if err := e.answers(); err != nil {
		e.t.Fatal(err)
	}
}

// Running reports whether the engine has been started and not ended.
func (e *Engine) Running() bool {
	if e.process == nil {
		return false
	}
	select {
	case <-e.exited:
		return false
	default:
		return true
	}
}

// PID is the process id of dockerd in this run.
func (e *Engine) PID() int { return e.process.Process.Pid }

// Stop ends the engine as a system does: it stops its containers, unless it
// runs with --live-restore.
func (e *Engine) Stop() {
	e.t.Helper()
	e.signal(syscall.SIGTERM)
	e.waitExit()
}

// Kill ends the engine by SIGKILL: containers run on, and nobody knows them. Its
// containerd would follow in its own time.
func (e *Engine) Kill() {
	e.t.Helper()
	e.signal(syscall.SIGKILL)
	e.waitExit()
	if err := end(e.containerd); err != nil {
		e.t.Fatal(err)
	}
	// A dockerd that starts takes one that ended, but whose new parent has not asked how, for one that runs.
	if err := os.Remove(filepath.Join(e.dir, "exec/containerd/containerd.pid")); err != nil && !errors.Is(err, os.ErrNotExist) {
		e.t.Fatal(err)
	}
}

// containerd is that which dockerd started, unless it uses the machine's.
func (e *Engine) containerd() (pids []int) {
	for _, pid := range engineProcesses(e.dir) {
		args, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)) // it may have ended just now
		if program, _, _ := strings.Cut(string(args), "\x00"); filepath.Base(program) == "containerd" {
			pids = append(pids, pid)
		}
	}
	return pids
}

// Restart stops and starts.
func (e *Engine) Restart() {
	e.t.Helper()
	e.Stop()
	e.Start()
}

// Freeze lets the engine hang: it accepts connections and answers nothing.
func (e *Engine) Freeze() {
	e.t.Helper()
	e.signal(syscall.SIGSTOP)
	for deadline := time.Now().Add(stopTimeout); !stopped(e.PID()); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			e.t.Fatalf("the engine did not stop within %v", stopTimeout)
		}
	}
}

// stopped reports whether every thread of the process is.
func stopped(pid int) bool {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid)) // the pattern is good
	return len(threads) > 0 && !slices.ContainsFunc(threads, func(file string) bool { return !inState(file, "T") })
}

// Thaw ends what Freeze began.
func (e *Engine) Thaw() {
	e.t.Helper()
	e.signal(syscall.SIGCONT)
}

func (e *Engine) signal(s syscall.Signal) {
	e.t.Helper()
	if err := e.process.Process.Signal(s); err != nil {
		e.t.Fatalf("send %v to the engine: %v", s, err)
	}
}

func (e *Engine) waitExit() {
	e.t.Helper()
	select {
	case <-e.exited:
	case <-time.After(stopTimeout):
		e.t.Fatalf("the engine did not end within %v", stopTimeout)
	}
}

// spawn runs dockerd in the engine's network name space.
func (e *Engine) spawn() error {
	cmd := exec.Command("dockerd", append([]string{
		"--config-file=", "--host=" + e.Host(), "--pidfile=" + filepath.Join(e.dir, "pid"),
		"--data-root=" + filepath.Join(e.dir, "data"), "--exec-root=" + filepath.Join(e.dir, "exec"),
		// Where the machine runs a containerd dockerd takes that one: name spaces of our own keep the things apart.
		"--containerd-namespace=" + e.name, "--containerd-plugins-namespace=" + e.name + "-p",
		"--cgroup-parent=/" + e.name, "--exec-opt=native.cgroupdriver=cgroupfs",
		"--userland-proxy=false", "--default-address-pool=base=10.213.0.0/16,size=24",
	}, e.options.Flags...)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = e.dir, e.log, e.log
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + e.dir, "NO_PROXY=*"} // nothing of the machine's settings
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}                          // an interrupt is for the test, which then cleans up
	if err := e.network.within(cmd.Start); err != nil {
		return fmt.Errorf("start dockerd: %w", err)
	}
	exited := make(chan struct{})
	e.process, e.exited = cmd, exited
	go func() {
		_ = cmd.Wait() // how it ended is for the test to judge
		close(exited)
	}()
	return nil
}

// answers waits until the engine does.
func (e *Engine) answers() error {
	deadline := time.Now().Add(startTimeout)
	for {
		resp, err := e.http.Get("http://engine/_ping")
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
			err = errors.New(resp.Status)
		}
		select {
		case <-e.exited:
			return fmt.Errorf("the engine ended at once: %v", e.process.ProcessState)
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the engine does not answer: %w", err)
		}
	}
}

// remove ends the engine and whatever it made.
func (e *Engine) remove() {
	if e.http != nil {
		e.http.CloseIdleConnections()
	}
	if e.t.Failed() {
		e.showLog()
	}
	err := sweep(e.dir)
	if e.Running() {
		e.waitExit()
	}
	if e.log != nil {
		err = errors.Join(err, e.log.Close())
	}
	if e.network != nil {
		err = errors.Join(err, e.network.close())
	}
	if err = errors.Join(err, e.claim.Close()); err != nil {
		e.t.Error(err)
	}
}

// shownLines is how much of its log an engine shows at the end of a failed test.
const shownLines = 150

func (e *Engine) showLog() {
	text, err := os.ReadFile(filepath.Join(e.dir, "log"))
	if err != nil {
		e.t.Logf("no log of the engine: %v", err)
		return
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		if !strings.Contains(line, `msg="[core]`) && !strings.Contains(line, "module=grpc") && !strings.Contains(line, "plugin") {
			lines = append(lines, line) // the others are many, and of gRPC and of containerd's start
		}
	}
	e.t.Logf("the engine's log ends with:\n%s", strings.Join(lines[max(0, len(lines)-shownLines):], ""))
}
