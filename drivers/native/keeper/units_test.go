//go:build linux

package keeper

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

func TestJudge(t *testing.T) {
	alive := sight{holder: 10, held: true, bootID: "now", start: 77, recorded: true,
		record: record{Token: token, BootID: "now", Keeper: identity{10, 77}, Entry: identity{11, 78}}}
	with := func(change func(s *sight)) sight {
		s := alive
		change(&s)
		return s
	}
	ended := exit{Token: token, Code: -1, Signal: "killed", Number: 9, Reason: "out of memory"}
	tests := []struct {
		name string
		s    sight
		want State
	}{
		{"nothing", sight{bootID: "now"}, State{}},
		{"keeper alone", sight{held: true, holder: 10, bootID: "now"}, State{Presence: Starting}},
		{"entry not yet started", with(func(s *sight) { s.record.Entry = identity{} }), State{Presence: Starting}},
		{"running", alive, State{Presence: Running, ExitCode: -1, Keeper: 10, Entry: 11}},
		{"process id used again", with(func(s *sight) { s.start = 999 }), State{Presence: Ended, Ending: "keeper was killed", ExitCode: -1, Lost: true}},
		{"another keeper looks in", with(func(s *sight) { s.holder = 12 }), State{Presence: Ended, Ending: "keeper was killed", ExitCode: -1, Lost: true}},
		{"keeper killed", with(func(s *sight) { s.held = false }), State{Presence: Ended, Ending: "keeper was killed", ExitCode: -1, Lost: true}},
		{"rebooted", with(func(s *sight) { s.held, s.bootID = false, "later" }), State{Presence: Ended, Ending: "machine was restarted", ExitCode: -1, Lost: true}},
		{"rebooted, and the lock is taken", with(func(s *sight) { s.bootID = "later" }), State{Presence: Ended, Ending: "machine was restarted", ExitCode: -1, Lost: true}},
		{"ended", with(func(s *sight) { s.held, s.exited, s.exit = false, true, ended }),
			State{Presence: Ended, Ending: "killed by signal 9 (killed), out of memory", ExitCode: -1, Signal: "killed"}},
		{"ended before a reboot", with(func(s *sight) { s.held, s.bootID, s.exited, s.exit = false, "later", true, exit{Token: token, Code: 3} }),
			State{Presence: Ended, Ending: "exit code 3", ExitCode: 3}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := judge(tt.s, token)
			if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
				t.Errorf("judge: %v, -want +got:\n%s", err, diff)
			}
		})
	}
	if _, err := judge(alive, "other"); err == nil {
		t.Error("judge takes another token's folder")
	}
}

func TestParseStat(t *testing.T) {
	const rest = " 5 40 40 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 9876 1 2 3\n"
	tests := []struct {
		text string
		want process
		ok   bool
	}{
		{"42 (sh) S" + rest, process{PID: 42, Parent: 5, Group: 40, Start: 9876, Name: "sh"}, true},
		{"42 (a) Z (b (c) Z" + rest, process{PID: 42, Parent: 5, Group: 40, Start: 9876, Name: "a) Z (b (c", Dead: true}, true},
		{"42 (sh) S 5 40", process{}, false},
		{"", process{}, false},
		{")(", process{}, false},
		{"x (sh) S" + rest, process{}, false},
	}
	for _, tt := range tests {
		got, err := parseStat([]byte(tt.text))
		if got != tt.want || (err == nil) != tt.ok {
			t.Errorf("parseStat(%q) = %+v, %v, want %+v", tt.text, got, err, tt.want)
		}
	}
	self, err := processOf(os.Getpid())
	if err != nil || self.PID != os.Getpid() || self.Parent != os.Getppid() || self.Start == 0 {
		t.Errorf("own status = %+v, %v", self, err)
	}
	if _, err := processOf(1 << 30); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("status of no process: %v, want not exist", err)
	}
}

// Whatever the list says, also with loops: a family is closed under descent,
// and never holds the asker, what it descends from, or init.
func TestFamily(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const most = 20
		var all []process
		for pid := 1; pid <= most; pid++ {
			all = append(all, process{PID: pid, Parent: rapid.IntRange(0, most).Draw(t, "parent"), Dead: rapid.Bool().Draw(t, "dead")})
		}
		self, root := rapid.IntRange(2, most).Draw(t, "self"), rapid.IntRange(1, most).Draw(t, "root")
		barred := map[int]bool{0: true, 1: true}
		for pid := self; !barred[pid]; pid = all[pid-1].Parent {
			barred[pid] = true
		}
		in := map[int]bool{}
		for _, p := range familyOf(all, self, func(p process) bool { return p.PID == root }) {
			if barred[p.PID] || p.Dead || in[p.PID] {
				t.Fatalf("family holds %+v", p)
			}
			in[p.PID] = true
		}
		for _, p := range all {
			if !p.Dead && !barred[p.PID] && (p.PID == root || in[p.Parent]) && !in[p.PID] {
				t.Fatalf("family lacks %+v", p)
			}
		}
	})
}

func TestCarriesToken(t *testing.T) {
	block := []byte("A=1\x00X" + TokenVariable + "=other\x00" + TokenVariable + "=" + token + "\x00")
	for name, tt := range map[string]struct {
		block []byte
		want  bool
	}{
		"whole":          {block, true},
		"longer value":   {append(bytes.Clone(block[:len(block)-1]), '0'), false},
		"part of a name": {[]byte("X" + TokenVariable + "=" + token), false},
		"empty":          {nil, false},
	} {
		if got := carriesToken(tt.block, token); got != tt.want {
			t.Errorf("%s: carriesToken = %v, want %v", name, got, tt.want)
		}
	}
}

func TestUnmodified(t *testing.T) {
	const smaps = `00400000-00a00000 r-xp 00000000 fe:00 42    /opt/aquarium-fish
Size:               6144 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
00a00000-00b00000 r--p 00600000 fe:00 42    /opt/aquarium-fish
Anonymous:             4 kB
00b00000-00c00000 rw-p 00700000 fe:00 42    /opt/aquarium-fish
Anonymous:             0 kB
7f000000-7f001000 r--s 00000000 fe:00 43    /opt/shared
Anonymous:             0 kB
c000000000-c000400000 r--p 00000000 00:00 0
Anonymous:             0 kB
7ffc0000-7ffd0000 r-xp 00000000 00:00 0     [vdso]
Anonymous:             0 kB
`
	want := []mapping{{0x400000, 0x600000}}
	if diff := cmp.Diff(want, unmodified([]byte(smaps)), cmp.AllowUnexported(mapping{})); diff != "" {
		t.Errorf("unmodified, -want +got:\n%s", diff)
	}
}

func TestOutOfMemory(t *testing.T) {
	tests := []struct {
		name, file, text string
		want             bool
	}{
		{"version 2, killed", "memory.events", "low 0\nhigh 0\nmax 12\noom 1\noom_kill 1\n", true},
		{"version 2, only near", "memory.events", "max 12\noom 1\noom_kill 0\n", false},
		{"version 1, killed", "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n", true},
		{"version 1, old kernel", "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\n", false},
		{"nonsense", "memory.events", "oom_kill x\n", false},
		{"no memory group", "other", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			folder := t.TempDir()
			if err := os.WriteFile(filepath.Join(folder, tt.file), []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if got := outOfMemory([]string{filepath.Join(folder, "cgroup.procs")}); got != tt.want {
				t.Errorf("outOfMemory = %v, want %v", got, tt.want)
			}
		})
	}
}

// What this user may not signal is left to the command, by number and never through a shell.
func TestKillCommand(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	command := []string{"/bin/sh", "-c", `printf '%s\n' "$@" >` + out, "kill"}
	if err := orCommand(t.Context(), unix.EPERM, unix.SIGINT, command, []int{-5, 6}); err != nil {
		t.Fatal(err)
	}
	if got, want := read(t, out), "-s\nINT\n--\n-5\n6\n"; got != want {
		t.Errorf("arguments = %q, want %q", got, want)
	}
	if err := orCommand(t.Context(), unix.EPERM, unix.SIGKILL, []string{"/bin/sh", "-c", "echo no rights; exit 1"}, []int{5}); err == nil || !strings.Contains(err.Error(), "no rights") {
		t.Errorf("a command that is refused: %v", err)
	}
	if err := orCommand(t.Context(), unix.ESRCH, unix.SIGKILL, command, []int{5}); err != nil {
		t.Errorf("a process that is gone: %v", err)
	}
	if err := orCommand(t.Context(), unix.EPERM, unix.SIGKILL, nil, []int{5}); !errors.Is(err, unix.EPERM) {
		t.Errorf("no command: %v", err)
	}
}

func TestKillSparesReusedID(t *testing.T) {
	sleeper := exec.Command("tail", "-f", "/dev/null")
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = sleeper.Process.Kill(), sleeper.Wait() }()
	p, err := processOf(sleeper.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	p.Start--
	if err := killProcess(p); err != nil || !lives(p.PID) {
		t.Errorf("killProcess = %v, lives %v; want another process with the same id spared", err, lives(p.PID))
	}
}

func TestLogLosesButDoesNotStop(t *testing.T) {
	folder := t.TempDir()
	l, err := openLog(folder, 1000)
	if err != nil {
		t.Fatal(err)
	}
	good := l.file
	if l.file, err = os.OpenFile("/dev/full", os.O_WRONLY, 0); err != nil {
		t.Fatal(err)
	}
	l.write([]byte("lost\n"))
	l.write([]byte("lost too\n"))
	l.file = good
	l.write([]byte("kept\n"))
	want := "\n[14 bytes of output lost: write /dev/full: no space left on device]\nkept\n"
	if got := read(t, filepath.Join(folder, LogFile)); got != want {
		t.Errorf("log = %q, want %q", got, want)
	}
}

func TestLogKeepsBounds(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		folder, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			r.Fatal(err)
		}
		most := rapid.Int64Range(2, 50).Draw(r, "max")
		l, err := openLog(folder, most)
		if err != nil {
			r.Fatal(err)
		}
		all := ""
		for range rapid.IntRange(1, 8).Draw(r, "writes") {
			part := rapid.StringMatching(`[a-z]{0,40}`).Draw(r, "part")
			all += part
			l.write([]byte(part))
		}
		old, _ := os.ReadFile(filepath.Join(folder, OldLogFile))
		kept := string(old) + read(t, filepath.Join(folder, LogFile))
		if int64(len(kept)) > most || !strings.HasSuffix(all, kept) || (kept == "") != (all == "") {
			r.Fatalf("of %q with bound %d is left %q", all, most, kept)
		}
		_ = l.file.Close()
	})
}

// A disk that hangs holds the environment up for a second, not for ever.
func TestHungDiskDoesNotBlock(t *testing.T) {
	hung, blocked, err := os.Pipe() // what is written blocks when the pipe is full
	if err != nil {
		t.Fatal(err)
	}
	const amount = 3 << 20
	p := startPump(io.LimitReader(zeros{}, amount), &logFile{folder: t.TempDir(), half: 1 << 40, file: blocked})
	until(t, "all output was taken", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.dropped >= amount-(logQueue+4)*logChunk
	})
	_ = hung.Close() // the disk answers again, with errors
	p.done.Wait()
}

// zeros is output without end.
type zeros struct{}

func (zeros) Read(into []byte) (int, error) { return len(into), nil }

func TestGrace(t *testing.T) {
	for text, want := range map[string]time.Duration{"1500\n": 1500 * time.Millisecond, "0": 0, "": time.Hour, "-1": time.Hour, "x": time.Hour} {
		folder := t.TempDir()
		if err := os.WriteFile(filepath.Join(folder, StopFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := readGrace(folder, time.Hour); got != want {
			t.Errorf("readGrace(%q) = %v, want %v", text, got, want)
		}
	}
	if got := readGrace("/no/such", time.Hour); got != time.Hour {
		t.Errorf("readGrace without file = %v", got)
	}
}

func TestValidate(t *testing.T) {
	good := Spec{Folder: "/f", Token: token, Argv: []string{"/bin/sh"}, Dir: "/"}
	if err := good.validate(); err != nil {
		t.Errorf("good spec: %v", err)
	}
	for name, change := range map[string]func(s *Spec){
		"relative folder": func(s *Spec) { s.Folder = "f" },
		"no token":        func(s *Spec) { s.Token = "" },
		"no entry":        func(s *Spec) { s.Argv = nil },
		"relative entry":  func(s *Spec) { s.Argv = []string{"sh"} },
		"relative dir":    func(s *Spec) { s.Dir = "" },
		"two ways":        func(s *Spec) { s.Credential, s.Sudo = &Credential{}, []string{"/sudo"} },
		"relative sudo":   func(s *Spec) { s.Sudo = []string{"sudo"} },
		"relative kill":   func(s *Spec) { s.KillCommand = []string{"kill"} },
		"zero byte":       func(s *Spec) { s.Env = []string{"A=\x00"} },
		"not UTF-8":       func(s *Spec) { s.Env = []string{"A=\xff"} },
		"no value":        func(s *Spec) { s.Env = []string{"A"} },
		"no name":         func(s *Spec) { s.Env = []string{"=a"} },
	} {
		s := good
		change(&s)
		if s.validate() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestMainRefusesOthers(t *testing.T) {
	for _, args := range [][]string{nil, {"help"}} {
		if got := Main(args); got != 2 {
			t.Errorf("Main(%q) = %d, want 2", args, got)
		}
	}
}

// TestNothingButTheEndReleases collects garbage: whatever holds lock and FIFO
// must not be garbage before the process has ended.
func TestNothingButTheEndReleases(t *testing.T) {
	folder := t.TempDir()
	if err := errors.Join(takeLock(folder), holdAlive(folder)); err != nil {
		t.Fatal(err)
	}
	for range 3 { // once to find it, once to run finalizers, once more
		runtime.GC()
		runtime.Gosched()
	}
	for _, name := range []string{lockFile, aliveFile} {
		fds := descriptorsOf(t, filepath.Join(folder, name))
		if len(fds) != 1 {
			t.Errorf("%d descriptors hold %s, want one", len(fds), name)
		}
		for _, fd := range fds {
			_ = unix.Close(fd) // of this test alone
		}
	}
}

// descriptorsOf are those of this process that a file is open by.
func descriptorsOf(t *testing.T, path string) (fds []int) {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range all {
		target, err := os.Readlink("/proc/self/fd/" + entry.Name())
		if fd, _ := strconv.Atoi(entry.Name()); err == nil && target == path {
			fds = append(fds, fd)
		}
	}
	return fds
}

// A signal to the keeper from elsewhere ends the environment in good order too, and says so.
func TestKeeperIsToldToEnd(t *testing.T) {
	spec := specOf(t, "exec tail -f /dev/null")
	start(t, spec)
	_ = syscall.Kill(look(t, spec).Keeper, syscall.SIGTERM)
	ending, err := Wait(patient(t), spec.Folder, spec.Token)
	if want := "killed by signal 2 (interrupt), its keeper was told to end"; err != nil || ending != want {
		t.Errorf("Wait = %q, %v, want %q", ending, err, want)
	}
}
