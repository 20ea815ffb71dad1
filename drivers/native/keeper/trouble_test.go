//go:build linux

package keeper

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
)

// helperCommand makes the test binary play a node that starts one environment.
const helperCommand = "keeper-test-node"

// playNode reads a spec from each line of its input, starts it and answers.
func playNode() int {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var spec Spec
		if err := json.Unmarshal(lines.Bytes(), &spec); err != nil {
			fmt.Println(err)
			return 1
		}
		fmt.Println("answer:", Start(context.Background(), spec))
	}
	return 0
}

// node is a running playNode in a process group of its own.
type node struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func startNode(t *testing.T, binary string, extra ...*os.File) *node {
	t.Helper()
	n := &node{cmd: exec.Command(binary, helperCommand)}
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	n.cmd.ExtraFiles = extra
	n.cmd.Stderr = os.Stderr
	n.in, _ = n.cmd.StdinPipe()
	out, _ := n.cmd.StdoutPipe()
	n.out = bufio.NewReader(out)
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.kill)
	return n
}

// kill ends the node and all of its process group the hard way.
func (n *node) kill() {
	_ = syscall.Kill(-n.cmd.Process.Pid, syscall.SIGKILL)
	_ = n.cmd.Wait()
}

func (n *node) start(t *testing.T, spec Spec) {
	t.Helper()
	data, _ := json.Marshal(spec)
	_, _ = n.in.Write(append(data, '\n'))
	if line, err := n.out.ReadString('\n'); line != "answer: <nil>\n" {
		t.Fatalf("node's answer = %q, %v", line, err)
	}
}

// pidIn waits for a process id in a file of the folder, written as one line.
func pidIn(t *testing.T, folder, name string) int {
	t.Helper()
	pid := 0
	until(t, "pid in "+name, func() bool {
		data, _ := os.ReadFile(filepath.Join(folder, name))
		text, whole := strings.CutSuffix(string(data), "\n")
		pid, _ = strconv.Atoi(text)
		return whole
	})
	return pid
}

func lives(pid int) bool {
	p, err := processOf(pid)
	return err == nil && !p.Dead
}

// daemon forks twice into a session of its own and writes its process id to a file.
func daemon(folder, name string) string {
	return fmt.Sprintf(`( setsid sh -c 'trap "" INT TERM HUP; echo $$ >%s/%s.tmp; mv %[1]s/%[2]s.tmp %[1]s/%[2]s; exec tail -f /dev/null' & ) &`, folder, name)
}

func TestOutlivesNode(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "binary")
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(binary, self, 0o700); err != nil {
		t.Fatal(err)
	}
	leak, err := os.Open("/dev/zero")
	if err != nil {
		t.Fatal(err)
	}
	n := startNode(t, binary, leak)
	if err := errors.Join(os.Remove(binary), os.WriteFile(binary, []byte("another version"), 0o700)); err != nil {
		t.Fatal(err)
	}
	spec := specOf(t, "echo $SECRET; exec tail -f /dev/null")
	spec.Env = append(spec.Env, "SECRET=hush")
	n.start(t, spec)
	n.kill()
	state := look(t, spec)
	if state.Presence != Running {
		t.Fatalf("after the node was killed: %+v", state)
	}
	for _, pid := range []int{state.Keeper, state.Entry} {
		files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
		for _, file := range files {
			if target, _ := os.Readlink(file); target == "/dev/zero" {
				t.Errorf("process %d inherited the node's descriptor %s", pid, file)
			}
		}
	}
	for _, name := range []string{"cmdline", "environ"} {
		if strings.Contains(read(t, fmt.Sprintf("/proc/%d/%s", state.Keeper, name)), "hush") {
			t.Errorf("keeper's %s holds a secret", name)
		}
	}
	if err := Stop(patient(t), spec.Folder, spec.Token, time.Second); err != nil {
		t.Errorf("Stop by another node: %v", err)
	}
	if lives(state.Keeper) || lives(state.Entry) {
		t.Error("keeper or entry lives after Stop")
	}
}

func TestTreeEnds(t *testing.T) {
	tests := []struct {
		name string
		last string // the entry's end
		end  func(t *testing.T, spec Spec, s State)
		want string
	}{
		{name: "entry ends by itself", last: "exit 0", want: "exit code 0", end: func(*testing.T, Spec, State) {}},
		{name: "stop", last: "exec tail -f /dev/null", want: "killed by signal 2 (interrupt)", end: func(t *testing.T, spec Spec, _ State) {
			if err := Stop(patient(t), spec.Folder, spec.Token, time.Minute); err != nil {
				t.Errorf("Stop: %v", err)
			}
		}},
		{name: "keeper is killed", last: "exec tail -f /dev/null", want: "keeper was killed", end: func(t *testing.T, spec Spec, s State) {
			_ = syscall.Kill(s.Keeper, syscall.SIGKILL)
			if ending, err := Wait(patient(t), spec.Folder, spec.Token); err != nil || ending != "keeper was killed" {
				t.Errorf("Wait = %q, %v", ending, err)
			}
			until(t, "entry dies with its keeper", func() bool { return !lives(s.Entry) })
			if !look(t, spec).Lost {
				t.Error("Look does not say that processes may live on")
			}
			if err := Stop(patient(t), spec.Folder, spec.Token, time.Second); err != nil {
				t.Errorf("Stop: %v", err)
			}
		}},
		{name: "keeper hangs", last: "exec tail -f /dev/null", want: "keeper was killed", end: func(t *testing.T, spec Spec, s State) {
			_ = syscall.Kill(s.Keeper, syscall.SIGSTOP)
			ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
			defer cancel()
			if err := Stop(ctx, spec.Folder, spec.Token, time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Stop = %v, want deadline exceeded", err)
			}
			if err := stopKeeper(patient(t), spec.Folder, -stopSlack); err != nil { // as if it had hung for long enough
				t.Errorf("stop of a hung keeper: %v", err)
			}
			if err := Stop(patient(t), spec.Folder, spec.Token, time.Millisecond); err != nil {
				t.Errorf("Stop: %v", err)
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			spec := specOf(t, "")
			spec.Argv[2] = daemon(spec.Folder, "one") + daemon(spec.Folder, "two") +
				fmt.Sprintf("until [ -e %s/one ] && [ -e %[1]s/two ]; do sleep 0.01; done; ", spec.Folder) + tt.last
			start(t, spec)
			one, two := pidIn(t, spec.Folder, "one"), pidIn(t, spec.Folder, "two")
			state := look(t, spec)
			tt.end(t, spec, state)
			if ending, err := Wait(patient(t), spec.Folder, spec.Token); err != nil || ending != tt.want {
				t.Errorf("Wait = %q, %v, want %q", ending, err, tt.want)
			}
			if lives(one) || lives(two) {
				t.Error("a daemon lives on")
			}
		})
	}
}

func TestFloodIsBounded(t *testing.T) {
	spec := specOf(t, "yes | head -c 50000000; echo; echo last words")
	spec.LogMax = 100_000
	start(t, spec)
	if ending, err := Wait(patient(t), spec.Folder, spec.Token); err != nil || ending != "exit code 0" {
		t.Fatalf("Wait = %q, %v", ending, err)
	}
	now, old := read(t, filepath.Join(spec.Folder, LogFile)), read(t, filepath.Join(spec.Folder, OldLogFile))
	if len(now)+len(old) > 100_000 || !strings.HasSuffix(now, "last words\n") {
		t.Errorf("log has %d + %d bytes and ends with %q", len(now), len(old), now[max(0, len(now)-20):])
	}
}

func TestFullDisk(t *testing.T) {
	needs.Root(t, "to mount a small disk")
	spec := specOf(t, "")
	spec.Argv[2] = fmt.Sprintf("cat /dev/zero >%s/fill; cat /dev/zero >%[1]s/fill2; echo full; exit 5", spec.Folder)
	if err := unix.Mount("tmpfs", spec.Folder, "tmpfs", 0, "size=1m"); err != nil {
		needs.Lacking(t, "needs to mount a small disk:", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(spec.Folder, unix.MNT_DETACH) })
	full := filepath.Join(spec.Folder, "full")
	if err := os.WriteFile(full, make([]byte, 2<<20), 0o600); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("filling the disk: %v", err)
	}
	if err := Start(patient(t), spec); err == nil || !strings.Contains(err.Error(), "no space left on device") {
		t.Errorf("Start on a full disk = %v", err)
	}
	if got := look(t, spec).Presence; got != None {
		t.Errorf("after a start that was refused: %v, want none", got)
	}
	if err := os.Remove(full); err != nil {
		t.Fatal(err)
	}
	start(t, spec)
	if ending, err := Wait(patient(t), spec.Folder, spec.Token); err != nil || ending != "exit code 5" {
		t.Errorf("Wait = %q, %v, want the ending although the disk is full", ending, err)
	}
}

// TestStopOnAFullDisk: what filled it can be stopped, and nothing starts after.
func TestStopOnAFullDisk(t *testing.T) {
	needs.Root(t, "to mount a small disk")
	for name, argv := range map[string][]string{"running": {"/bin/sleep", "1000"}, "never begun": {"/no/such"}} {
		t.Run(name, func(t *testing.T) {
			spec := specOf(t, "")
			spec.Argv = argv
			if err := unix.Mount("tmpfs", spec.Folder, "tmpfs", 0, "nr_inodes=50"); err != nil {
				needs.Lacking(t, "needs to mount a small disk:", err)
			}
			t.Cleanup(func() { _ = unix.Unmount(spec.Folder, unix.MNT_DETACH) })
			if err := Start(patient(t), spec); (err == nil) != (name == "running") {
				t.Fatalf("Start: %v", err)
			}
			err := error(nil)
			for i := 0; err == nil; i++ {
				err = os.WriteFile(filepath.Join(spec.Folder, fmt.Sprintf("full-%d", i)), nil, 0o600)
			}
			if err := Stop(patient(t), spec.Folder, spec.Token, time.Second); err != nil {
				t.Errorf("Stop: %v", err)
			}
			full, _ := filepath.Glob(filepath.Join(spec.Folder, "full-*"))
			for _, file := range full {
				_ = os.Remove(file)
			}
			_ = os.Remove(filepath.Join(spec.Folder, recordFile)) // the marker alone forbids
			_ = os.Remove(filepath.Join(spec.Folder, exitFile))
			if err := Start(patient(t), spec); !errors.Is(err, ErrStopped) {
				t.Errorf("Start after Stop = %v, want ErrStopped", err)
			}
		})
	}
}

func TestStartOnce(t *testing.T) {
	spec := specOf(t, "")
	spec.Argv[2] = fmt.Sprintf("echo x >>%s/started; exec tail -f /dev/null", spec.Folder)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			if err := Start(patient(t), spec); err != nil {
				t.Errorf("Start: %v", err)
			}
		})
	}
	group.Wait()
	until(t, "entry runs", func() bool { _, err := os.Stat(filepath.Join(spec.Folder, "started")); return err == nil })
	if got := read(t, filepath.Join(spec.Folder, "started")); got != "x\n" {
		t.Errorf("entry was started more than once: %q", got)
	}
	other := spec
	other.Token = strings.Repeat("f", 32)
	if err := Start(patient(t), other); err == nil || !strings.Contains(err.Error(), "another token") {
		t.Errorf("Start with another token = %v", err)
	}
	if err := Stop(patient(t), spec.Folder, other.Token, time.Second); err == nil || look(t, spec).Presence != Running {
		t.Errorf("Stop with another token = %v, presence %v", err, look(t, spec).Presence)
	}
	if err := Stop(patient(t), spec.Folder, spec.Token, time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if err := Start(patient(t), spec); !errors.Is(err, ErrEnded) {
		t.Errorf("Start after the end = %v, want ErrEnded", err)
	}
}

func TestStartFails(t *testing.T) {
	tests := []struct {
		name string
		with func(s *Spec)
		want string
	}{
		{name: "no such entry", with: func(s *Spec) { s.Argv = []string{"/no/such"} }, want: "execute /no/such: no such file or directory"},
		{name: "no such folder", with: func(s *Spec) { s.Dir = "/no/such" }, want: "enter working directory: chdir /no/such: no such file"},
		{name: "no such cgroup", with: func(s *Spec) { s.Join = []string{"/no/such"} }, want: "join cgroup: open /no/such"},
		{name: "too much", with: func(s *Spec) { s.Env = []string{"A=" + strings.Repeat("x", 200<<10)} }, want: "argument list too long"},
		{name: "sudo refuses", with: func(s *Spec) { s.Sudo = []string{"/bin/sh", "-c", "echo no rights >&2; exit 1", "--"} }, want: "sudo ended: no rights"},
		{name: "no sudo", with: func(s *Spec) { s.Sudo = []string{"/no/sudo"} }, want: "execute /no/sudo"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			spec := specOf(t, "")
			tt.with(&spec)
			if err := Start(patient(t), spec); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Start = %v, want %q", err, tt.want)
			}
			if got := look(t, spec).Presence; got != None {
				t.Errorf("presence %v, want none", got)
			}
			spec.Argv, spec.Dir, spec.Join, spec.Env, spec.Sudo = []string{"/bin/true"}, "/", nil, nil, nil
			start(t, spec) // nothing stands in the way of the next try
		})
	}
}

func TestStopForbids(t *testing.T) {
	spec := specOf(t, "")
	if err := Stop(patient(t), spec.Folder, spec.Token, time.Second); err != nil {
		t.Fatal(err)
	}
	if err := Start(patient(t), spec); !errors.Is(err, ErrStopped) {
		t.Errorf("Start after Stop = %v, want ErrStopped", err)
	}
	if err := Stop(patient(t), filepath.Join(spec.Folder, "gone"), spec.Token, time.Second); err != nil {
		t.Errorf("Stop of what is gone = %v", err)
	}
}

// A node that dies or gives up in the middle of a start leaves nothing that begins later.
func TestAbandonedStart(t *testing.T) {
	tests := []struct {
		name string
		send func(spec []byte) []byte
	}{
		{name: "spec cut short", send: func(spec []byte) []byte { return spec[:len(spec)/2] }},
		{name: "nobody waits for the answer", send: func(spec []byte) []byte { return spec }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			spec := specOf(t, "").withDefaults()
			spec.Argv[2] = "echo >" + spec.Folder + "/started"
			data, _ := json.Marshal(spec)
			k, specs, answers, err := fork(spec.Folder)
			if err != nil {
				t.Fatal(err)
			}
			_ = answers.Close()
			_, _ = specs.Write(tt.send(data))
			_ = specs.Close()
			if s, err := k.Wait(); err != nil || s.ExitCode() != 1 {
				t.Errorf("keeper ended with %v, %v", s, err)
			}
			if _, err := os.Stat(filepath.Join(spec.Folder, "started")); err == nil || look(t, spec).Presence != None {
				t.Error("entry was started")
			}
		})
	}
}

func TestCancelled(t *testing.T) {
	spec := specOf(t, "exec tail -f /dev/null")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := Start(ctx, spec); !errors.Is(err, context.Canceled) || look(t, spec).Presence != None {
		t.Errorf("Start = %v, presence %v, want cancelled and none", err, look(t, spec).Presence)
	}
	start(t, spec)
	ctx, cancel = context.WithCancel(context.Background())
	ended := make(chan error)
	go func() {
		_, err := Wait(ctx, spec.Folder, spec.Token)
		ended <- err
	}()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Wait = %v, want cancelled", err)
	}
}

func TestEnvironmentIsExact(t *testing.T) {
	want := []string{"A=b=c", TokenVariable + "=" + token, "EMPTY=", "LINES=x\ny'\"$(id)`id`\\", "Z=ümlaut"}
	for _, sudo := range [][]string{nil, {"/usr/bin/env", "-i"}} {
		spec := specOf(t, "")
		spec.Argv = []string{"/usr/bin/env", "-0"}
		spec.Env = slices.Concat(slices.DeleteFunc(slices.Clone(want), func(s string) bool { return strings.HasPrefix(s, TokenVariable) }),
			[]string{TokenVariable + "=forged"})
		spec.Sudo = sudo
		start(t, spec)
		if ending, err := Wait(patient(t), spec.Folder, spec.Token); err != nil || ending != "exit code 0" {
			t.Errorf("Wait = %q, %v", ending, err)
		}
		got := strings.Split(strings.TrimSuffix(read(t, filepath.Join(spec.Folder, LogFile)), "\x00"), "\x00")
		got = slices.DeleteFunc(got, func(s string) bool { // a shell's own
			return sudo != nil && (strings.HasPrefix(s, "PWD=") || strings.HasPrefix(s, "OLDPWD=") || strings.HasPrefix(s, "SHLVL=") || strings.HasPrefix(s, "_="))
		})
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("with sudo %q: environment = %q, want %q", sudo, got, want)
		}
	}
}

func TestAsUser(t *testing.T) {
	needs.Root(t, "to become another user")
	const nobody = 65534
	spec := specOf(t, "id -u; id -g; id -G; ulimit -n; umask; echo to stderr >/dev/stderr; cat /proc/self/cgroup; kill -l >/dev/null; exec kill -HUP $$")
	spec.Credential = &Credential{UID: nobody, GID: nobody, Groups: []uint32{7, 8}}
	spec.Rlimits = []Rlimit{{Resource: unix.RLIMIT_NOFILE, Value: 77}}
	group, want := "", "\n77\n0022\nto stderr\n"
	if _, err := os.Stat("/sys/fs/cgroup/pids/cgroup.procs"); err == nil {
		group = fmt.Sprintf("/sys/fs/cgroup/pids/keeper-test-%d", os.Getpid())
		if err := os.Mkdir(group, 0o755); err != nil {
			needs.Lacking(t, "needs to make a cgroup:", err)
		}
		t.Cleanup(func() { _ = os.Remove(group) })
		spec.Join = []string{group + "/cgroup.procs"}
	}
	start(t, spec)
	if ending, err := Wait(patient(t), spec.Folder, spec.Token); err != nil || ending != "killed by signal 1 (hangup)" {
		t.Errorf("Wait = %q, %v", ending, err)
	}
	log := read(t, filepath.Join(spec.Folder, LogFile))
	if !strings.HasPrefix(log, "65534\n65534\n65534 7 8\n") || !strings.Contains(log, want) || !strings.Contains(log, filepath.Base(group)) {
		t.Errorf("entry says %q", log)
	}
}

func TestBehindSudo(t *testing.T) {
	sudo, err := exec.LookPath("sudo")
	if err != nil || exec.Command(sudo, "-n", "-u", "nobody", "--", "true").Run() != nil {
		needs.Lacking(t, "needs sudo that asks for no password")
	}
	spec := specOf(t, "id -u; echo $A; pwd; echo ready; exec tail -f /dev/null")
	spec.Sudo = []string{sudo, "-n", "-u", "nobody", "--"}
	spec.KillCommand = []string{sudo, "-n", "kill"}
	spec.Env, spec.Dir = append(spec.Env, "A=it's", "UID=5"), "/tmp"
	start(t, spec)
	until(t, "ready", func() bool { return strings.Contains(read(t, filepath.Join(spec.Folder, LogFile)), "ready\n") })
	want := "UID is not set: shells reserve the name\n65534\nit's\n/tmp\nready\n"
	if got := read(t, filepath.Join(spec.Folder, LogFile)); got != want {
		t.Errorf("log = %q, want %q", got, want)
	}
	began := time.Now()
	if err := Stop(patient(t), spec.Folder, spec.Token, time.Minute); err != nil || time.Since(began) > 10*time.Second {
		t.Errorf("Stop by interrupt = %v after %v", err, time.Since(began))
	}
}
