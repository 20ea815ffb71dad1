//go:build linux

package proxy

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/tests/openssh"
)

// noise are bytes that do not compress and are the same for the same seed.
func noise(seed uint64, size int64) io.Reader {
	var key [32]byte
	key[0] = byte(seed)
	return io.LimitReader(rand.NewChaCha8(key), size)
}

func sum(r io.Reader) (string, error) {
	h := sha256.New()
	_, err := io.Copy(h, r)
	return fmt.Sprintf("%x  -\n", h.Sum(nil)), err
}

func sumOf(t testing.TB, r io.Reader) string {
	t.Helper()
	s, err := sum(r)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSSHCommands: what a command gets, says and ends with is what it would be without the node between.
func TestSSHCommands(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	e3 := strings.Repeat("e", 3<<20) // more than a window
	for _, tt := range []struct {
		name    string
		args    []string
		stdin   string
		config  []string
		env     []string
		want    result
		inexact bool // what is said is not known beforehand, or differs each time
	}{
		{name: "success", args: []string{"env", "true"}},
		{name: "exit code", args: []string{"env", "exit 3"}, want: result{Code: 3}},
		{name: "exit code 255", args: []string{"env", "exit 255"}, want: result{Code: 255}},
		{name: "no such command", args: []string{"env", "/nonexistent"}, want: result{Code: 127}, inexact: true},
		{name: "signal", args: []string{"env", "kill -TERM $$"}, want: result{Code: 255}},
		{name: "signal with a core", args: []string{"env", "ulimit -c 0; kill -ABRT $$"}, want: result{Code: 255}},
		{name: "output", args: []string{"env", "echo out; echo err >&2"}, want: result{0, "out\n", "err\n"}},
		{name: "no input", args: []string{"-n", "env", "cat; echo end"}, want: result{Stdout: "end\n"}},
		{name: "end of input", args: []string{"env", "cat; echo end"}, stdin: "in\n", want: result{Stdout: "in\nend\n"}},
		{name: "empty input", args: []string{"env", "cat | wc -c; sleep 0.2; echo late"}, want: result{Stdout: "0\nlate\n"}},
		{name: "end of input long before that of output", args: []string{"env", "cat >/dev/null; sleep 0.3; head -c 3145728 /dev/zero | tr '\\0' e"}, stdin: "x", want: result{Stdout: e3}},
		{name: "much on stderr alone", args: []string{"env", "head -c 3145728 /dev/zero | tr '\\0' e >&2; exit 4"}, want: result{Code: 4, Stderr: e3}},
		{name: "much on both", args: []string{"env", "head -c 3145728 /dev/zero | tr '\\0' e >&2 & head -c 3145728 /dev/zero | tr '\\0' e; wait"}, want: result{Stdout: e3, Stderr: e3}},
		{name: "megabytes there and back", args: []string{"env", "cat"}, stdin: e3 + "\x00\xff\r\n", want: result{Stdout: e3 + "\x00\xff\r\n"}},
		{name: "input that nobody reads", args: []string{"env", "exit 5"}, stdin: e3, want: result{Code: 5}},
		{name: "output of what lives on", args: []string{"env", "(sleep 0.3; echo late) & echo early"}, want: result{Stdout: "early\nlate\n"}},
		{name: "closed output", args: []string{"env", "exec >&-; exec 2>&-; cat >/dev/null; exit 6"}, stdin: e3, want: result{Code: 6}},
		{name: "shell without a terminal", args: []string{"-T", "env"}, stdin: "echo $0; tty; exit 7\n", want: result{7, "-sh\nnot a tty\n", ""}, inexact: account == nil},
		{name: "terminal for a command", args: []string{"-tt", "env", "tty >/dev/null && stty -a; echo end; exit 8"}, want: result{Code: 8}, inexact: true},
		{
			name: "environment", args: []string{"env", `printf '%s|' "$FISH_A" "$LC_B" "$OTHER"`}, config: []string{"SendEnv FISH_* OTHER LC_*", "SetEnv FISH_C=1"},
			env: []string{"FISH_A=a 'b' ü\\", "LC_B=", "OTHER=no"}, want: result{Stdout: "a 'b' ü\\|||"},
		},
		{name: "subsystem that is not there", args: []string{"-s", "env", "nosuch"}, want: result{Code: 255}, inexact: true},
		{name: "long command", args: []string{"env", "true " + strings.Repeat("x", 100_000) + "; echo end"}, want: result{Stdout: "end\n"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got [2]result
			for i, direct := range []bool{true, false} {
				way := *r
				way.direct = direct
				cmd := command(t, way.login(t), tt.config, "ssh", tt.args...)
				cmd.Env = append(cmd.Env, tt.env...)
				got[i] = run(t, cmd, strings.NewReader(tt.stdin))
			}
			want := tt.want
			if tt.inexact {
				want = result{tt.want.Code, got[0].Stdout, got[0].Stderr}
			}
			if diff := cmp.Diff(want, got[0]); diff != "" { // the test is wrong, or this sshd differs from others
				t.Errorf("directly (-want +got):\n%.2000s", diff)
			}
			if diff := cmp.Diff(want, got[1]); diff != "" {
				t.Errorf("through the proxy (-want +got):\n%.2000s", diff)
			}
		})
	}
}

// TestSSHMegabytes: nothing is lost of what goes through, in either direction or in both.
func TestSSHMegabytes(t *testing.T) {
	t.Parallel()
	newRig(t, "").bothWays(t, func(t *testing.T, r *rig) {
		const size = 16 << 20
		there := run(t, command(t, r.login(t), nil, "ssh", "env", "sha256sum"), noise(1, size))
		if want := (result{Stdout: sumOf(t, noise(1, size))}); there != want {
			t.Errorf("sent: %+v, want %+v", there, want)
		}
		cmd := command(t, r.login(t), nil, "ssh", "env", "cat")
		cmd.Stdin, cmd.Stderr = noise(2, size), os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		got := sumOf(t, out)
		if err := cmd.Wait(); err != nil || got != sumOf(t, noise(2, size)) {
			t.Errorf("there and back: %v, another sum", err)
		}
	})
}

// TestSSHTerminal: somebody sits at a terminal, and sees the same through the proxy as without it.
func TestSSHTerminal(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	var seen [2]string
	for i, direct := range []bool{true, false} {
		way := *r
		way.direct = direct
		seen[i] = way.sit(t)
	}
	if diff := cmp.Diff(seen[0], seen[1]); diff != "" {
		t.Errorf("what a terminal shows (-directly +through the proxy):\n%s", diff)
	}
}

// sit has a person log in, look around, make the window larger, interrupt a command and leave, and returns all that was
// seen.
func (r *rig) sit(t *testing.T) string {
	t.Helper()
	term := openTerminal(t, 24, 80)
	cmd := command(t, r.login(t), []string{"EscapeChar none"}, "ssh", "env")
	term.start(t, cmd)
	const prompt = "ready> "
	if account != nil {
		term.wait(t, "$ ")
	} else {
		term.wait(t, map[bool]string{true: "# ", false: "$ "}[os.Geteuid() == 0])
	}
	term.forget() // what a shell of root says first is up to this machine
	term.say(t, "PS1='ready''> '; unset HISTFILE\r", prompt)
	term.say(t, "echo $TERM; stty -a\r", prompt)
	term.resize(t, 50, 132)
	term.say(t, "until [ \"$(stty size)\" = '50 132' ]; do sleep 0.02; done; stty size\r", "50 132\r\n")
	term.wait(t, prompt)                                                  // some shells say more before it
	term.say(t, "sh -c 'echo sle''eps; exec sleep 1000'\r", "sleeps\r\n") // runs: before, ^C would be the shell's
	term.say(t, "\x03", prompt)
	term.say(t, "printf 'm\\303\\274 \\033[1mbold\\033[0m \\377\\n'\r", prompt)
	term.say(t, "kill -WINCH $$; exit 9\r", "exit 9\r\n")
	if code := exitCode(t, cmd.Wait()); code != 9 {
		t.Errorf("exit code %d, want 9", code)
	}
	return term.text()
}

func exitCode(t *testing.T, err error) int {
	t.Helper()
	if err == nil {
		return 0
	}
	exit := (*exec.ExitError)(nil)
	if !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return exit.ExitCode()
}

// TestSSHControlMaster: one login, and several sessions at once and one after the other.
func TestSSHControlMaster(t *testing.T) {
	t.Parallel()
	newRig(t, "").bothWays(t, func(t *testing.T, r *rig) {
		l := r.login(t)
		dir, err := os.MkdirTemp("", "m*") // the name of a socket may not be long
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		control := []string{"ControlPath " + dir + "/s"}
		master := command(t, l, append(control, "ControlMaster yes"), "ssh", "-fN", "env")
		if got := run(t, master, nil); got.Code != 0 {
			t.Fatalf("master: %+v", got)
		}
		t.Cleanup(func() { run(t, detached(t, l, control, "-O", "exit", "env"), nil) })
		results := make(chan error, 20)
		for i := range cap(results) {
			go func() {
				cmd := command(t, l, append(control, "ControlMaster no", "ProxyCommand false"), "ssh", "env", fmt.Sprintf("cat; echo %d; exit %d", i, i))
				cmd.Stdin = noise(uint64(i), 1<<20)
				out, err := cmd.Output()
				if code := cmd.ProcessState.ExitCode(); code != i || len(out) != 1<<20+len(fmt.Sprintln(i)) {
					results <- fmt.Errorf("session %d: exit code %d, %d bytes, %w", i, code, len(out), err)
					return
				}
				results <- nil
			}()
		}
		for range cap(results) {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
	})
}

// detached is a command that outlives the context of its test.
func detached(t testing.TB, l openssh.Login, config []string, args ...string) *exec.Cmd {
	t.Helper()
	cmd, err := newClient(t).Command(t.Context(), []openssh.Host{{Name: "env", Login: l, Config: config}}, "ssh", args...)
	if err != nil {
		t.Fatal(err)
	}
	plain := exec.Command(cmd.Args[0], cmd.Args[1:]...)
	plain.Env, plain.Dir = cmd.Env, cmd.Dir
	return plain
}
