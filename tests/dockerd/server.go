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
	"time"
)

// How long an engine is waited for: far more than it may take, because other
// tests keep the machine busy.
const (
	startTimeout = time.Minute
	stopTimeout  = time.Minute
	callTimeout  = time.Minute
)

// ErrMissing says what this machine or its user lacks to run an engine.
var ErrMissing = errors.New("needs a Docker engine")

// Options says how to run an engine. The zero value is good.
type Options struct {
	// Flags are added to dockerd's command line, such as "--live-restore".
	Flags []string
	// Bare engines hold no image. Others hold the Guest.
	Bare bool
	// Containerd gives the engine one that it does not start itself, and so does
	// not mend when it is killed or hangs.
	Containerd bool
	// InMemory engines keep their data in memory, if there is enough, as all of
	// tests do: one that waits for a busy disk several times in each call takes three
	// times as long.
	InMemory bool
}

// Server is one Docker engine, for a program that is no test; a test has an
// Engine.
type Server struct {
	options Options
	name    string // of its cgroup and of its name space in containerd
	dir     string
	claim   *os.File // held locked: who can lock it sweeps the folder
	network *network
	http    *http.Client
	log     *os.File
	process *exec.Cmd     // nil if it never ran
	exited  chan struct{} // closed when it has ended
	own     *exec.Cmd     // containerd, where dockerd does not start it; nil if it does not run
}

// Run starts an engine and returns when it answers. Close removes it and
// whatever it made.
func Run(o Options) (*Server, error) {
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("%w: only root can run one", ErrMissing)
	}
	for _, tool := range []string{"dockerd", "containerd", "runc", "iptables", "ip", "nsenter"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, fmt.Errorf("%w: no %s is installed", ErrMissing, tool)
		}
	}
	dir, claim, err := claimFolder()
	if err != nil {
		return nil, err
	}
	s := &Server{options: o, name: filepath.Base(dir), dir: dir, claim: claim}
	if err := s.prepare(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if err := s.Launch(); err != nil {
		return nil, errors.Join(err, s.logged(), s.Close())
	}
	if !o.Bare {
		if err := s.LoadImage(Guest); err != nil {
			return nil, errors.Join(err, s.logged(), s.Close())
		}
	}
	return s, nil
}

func (s *Server) prepare() (err error) {
	if s.network, err = newNetwork(); err != nil {
		return err
	}
	if s.log, err = os.OpenFile(s.logFile(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600); err != nil {
		return fmt.Errorf("make the engine's log: %w", err)
	}
	s.http = &http.Client{Timeout: callTimeout, Transport: &http.Transport{DialContext: s.dialEngine}}
	if s.options.InMemory {
		if err := mountMemory(s.data()); err != nil {
			return err
		}
	}
	if s.options.Containerd {
		s.options.Flags = append(slices.Clone(s.options.Flags), "--containerd="+s.containerdSocket())
		return s.startContainerd()
	}
	return nil
}

// Host is the engine's address as in DOCKER_HOST.
func (s *Server) Host() string { return "unix://" + s.Socket() }

// Socket is the file of the engine's socket.
func (s *Server) Socket() string { return filepath.Join(s.dir, "sock") }

// Dir is the engine's folder. Whatever lies in it is removed with the engine.
func (s *Server) Dir() string { return s.dir }

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

func (s *Server) logFile() string { return filepath.Join(s.dir, "log") }

// Running reports whether the engine has been started and not ended.
func (s *Server) Running() bool {
	if s.process == nil {
		return false
	}
	select {
	case <-s.exited:
		return false
	default:
		return true
	}
}

// PID is the process id of dockerd in this run.
func (s *Server) PID() int { return s.process.Process.Pid }

// Launch runs the engine once more, with what it had, and returns when it answers.
func (s *Server) Launch() error {
	if s.Running() {
		return errors.New("the engine runs already")
	}
	if err := s.spawn(); err != nil {
		return err
	}
	return s.answers()
}

// End ends the engine by a signal. By SIGKILL containers run on, and nobody
// knows them; containerd would follow in its own time.
func (s *Server) End(signal syscall.Signal) error {
	if err := s.process.Process.Signal(signal); err != nil {
		return fmt.Errorf("send %v to the engine: %w", signal, err)
	}
	if err := s.awaitExit(); err != nil || signal != syscall.SIGKILL || s.options.Containerd {
		return err
	}
	if err := end(s.containerd); err != nil {
		return err
	}
	// A dockerd that starts takes one that ended, but whose new parent has not asked how, for one that runs.
	if err := os.Remove(filepath.Join(s.dir, "exec/containerd/containerd.pid")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove containerd's pid file: %w", err)
	}
	return nil
}

func (s *Server) awaitExit() error {
	select {
	case <-s.exited:
		return nil
	case <-time.After(stopTimeout):
		return fmt.Errorf("the engine did not end within %v", stopTimeout)
	}
}

// containerd is that which dockerd started, unless it uses the machine's.
func (s *Server) containerd() (pids []int) {
	for _, pid := range engineProcesses(s.dir) {
		args, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)) // it may have ended just now
		if program, _, _ := strings.Cut(string(args), "\x00"); filepath.Base(program) == "containerd" {
			pids = append(pids, pid)
		}
	}
	return pids
}

// spawn runs dockerd in the engine's network name space.
func (s *Server) spawn() error {
	cmd := exec.Command("dockerd", append([]string{
		"--config-file=", "--host=" + s.Host(), "--pidfile=" + filepath.Join(s.dir, "pid"),
		"--data-root=" + s.data(), "--exec-root=" + filepath.Join(s.dir, "exec"),
		// Where the machine runs a containerd dockerd takes that one: name spaces of our own keep the things apart.
		"--containerd-namespace=" + s.name, "--containerd-plugins-namespace=" + s.name + "-p",
		"--cgroup-parent=/" + s.name, "--exec-opt=native.cgroupdriver=cgroupfs",
		"--userland-proxy=false", "--default-address-pool=base=10.213.0.0/16,size=24",
	}, s.options.Flags...)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, s.log, s.log
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir, "NO_PROXY=*"} // nothing of the machine's settings
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}                          // an interrupt is for the test, which then cleans up
	if err := s.network.within(cmd.Start); err != nil {
		return fmt.Errorf("start dockerd: %w", err)
	}
	exited := make(chan struct{})
	s.process, s.exited = cmd, exited
	go func() {
		_ = cmd.Wait() // how it ended is for the test to judge
		close(exited)
	}()
	return nil
}

// answers waits until the engine does.
func (s *Server) answers() error {
	deadline := time.Now().Add(startTimeout)
	for {
		resp, err := s.http.Get("http://engine/_ping")
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
			err = errors.New(resp.Status)
		}
		select {
		case <-s.exited:
			return fmt.Errorf("the engine ended at once: %v", s.process.ProcessState)
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the engine does not answer: %w", err)
		}
	}
}

// freeze stops every thread of a process.
func freeze(p *os.Process) error {
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		return fmt.Errorf("stop process: %w", err)
	}
	for deadline := time.Now().Add(stopTimeout); !stopped(p.Pid); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("the process did not stop within %v", stopTimeout)
		}
	}
	return nil
}

// stopped reports whether every thread of the process is.
func stopped(pid int) bool {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid)) // the pattern is good
	return len(threads) > 0 && !slices.ContainsFunc(threads, func(file string) bool { return !inState(file, "T") })
}

// Close ends the engine and removes whatever it made.
func (s *Server) Close() error {
	if s.http != nil {
		s.http.CloseIdleConnections()
	}
	err := errors.Join(s.endContainerd(), sweep(s.dir))
	if s.Running() {
		err = errors.Join(err, s.awaitExit())
	}
	if s.log != nil {
		err = errors.Join(err, s.log.Close())
	}
	if s.network != nil {
		err = errors.Join(err, s.network.close())
	}
	return errors.Join(err, s.claim.Close())
}

// shownLines is how much of its log an engine shows after a failure.
const shownLines = 150

// logged is the end of the engine's log.
func (s *Server) logged() error {
	text, err := os.ReadFile(s.logFile())
	if err != nil {
		return fmt.Errorf("no log of the engine: %w", err)
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		if !strings.Contains(line, `msg="[core]`) && !strings.Contains(line, "module=grpc") && !strings.Contains(line, "plugin") {
			lines = append(lines, line) // the others are many, and of gRPC and of containerd's start
		}
	}
	return fmt.Errorf("the engine's log ends with:\n%s", strings.Join(lines[max(0, len(lines)-shownLines):], ""))
}
