//go:build linux

package proxy

import (
	"context"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// appSSH is `aquarium-fish app ssh` for the environment, with private files below temp.
func (r *rig) appSSH(t *testing.T, temp string, args ...string) *exec.Cmd {
	t.Helper()
	return r.atHome(t, temp, os.Getenv(fish.BinaryEnv), append([]string{"app", "ssh", r.app, "-o", "EscapeChar=none"}, args...)...)
}

// atHome is a program of a user whom the node knows.
func (r *rig) atHome(t *testing.T, temp, program string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), sshTime)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "XDG_CONFIG_HOME="+t.TempDir(), "TMPDIR="+temp, "TERM=xterm",
		"AQUARIUM_FISH_ADDRESS="+r.node.Address(), "AQUARIUM_FISH_PASSWORD="+r.node.AdminPassword,
		"AQUARIUM_FISH_CA="+filepath.Join(r.node.Dir, "fish_data", "ca.crt"))
	return cmd
}

// noKeys waits until no login has files in the folder.
func noKeys(t *testing.T, temp string) {
	t.Helper()
	fish.Eventually(t, "private files of a login are gone", func() bool {
		left, err := os.ReadDir(temp)
		return err == nil && len(left) == 0
	})
}

// TestAppSSHTerminal: `app ssh` at a terminal is as ssh itself. ^C is the command's over there, the size of the window
// is known there, and the exit code comes back.
func TestAppSSHTerminal(t *testing.T) {
	t.Parallel()
	r, temp := newRig(t, ""), t.TempDir()
	term := openTerminal(t, 24, 80)
	cmd := r.appSSH(t, temp)
	term.start(t, cmd)
	const prompt = "ready> "
	if account != nil {
		term.wait(t, "$ ")
	} else {
		term.wait(t, map[bool]string{true: "# ", false: "$ "}[os.Geteuid() == 0])
	}
	term.say(t, "PS1='ready''> '; unset HISTFILE AQUARIUM_FISH_PASSWORD\r", prompt)
	term.resize(t, 50, 132)
	term.say(t, "until [ \"$(stty size)\" = '50 132' ]; do sleep 0.02; done; stty size\r", "50 132\r\n")
	term.wait(t, prompt)
	term.say(t, "sh -c 'echo sle''eps; exec sleep 1000'\r", "sleeps\r\n") // runs: before, ^C would be the shell's
	term.say(t, "\x03", prompt)
	term.say(t, "exit 9\r", "exit 9\r\n")
	if code := exitCode(t, cmd.Wait()); code != 9 {
		t.Errorf("exit code %d, want 9", code)
	}
	noKeys(t, temp)
}

// TestAppSSHHangUp: a terminal that is closed leaves neither a session nor a key.
func TestAppSSHHangUp(t *testing.T) {
	t.Parallel()
	hangUps := make(chan os.Signal, 1)
	signal.Notify(hangUps, syscall.SIGHUP) // tests that run under nohup would hand on that it is ignored
	defer signal.Stop(hangUps)
	r, temp := newRig(t, ""), t.TempDir()
	term := openTerminal(t, 24, 80)
	cmd := r.appSSH(t, temp, "-t", "--", "echo begun; exec sleep 1000")
	term.start(t, cmd)
	term.wait(t, "begun")
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGHUP); err != nil { // as the system does to all that run in it
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("it has ended without an error")
	}
	noKeys(t, temp)
	fish.Eventually(t, "the session is over", func() bool { return r.env.Sessions() == 0 })
}

// TestAppSSHOfPrograms: programs that run an ssh of their own take `app ssh` as theirs, without a script between.
func TestAppSSHOfPrograms(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"git", "rsync"} {
		if _, err := exec.LookPath(tool); err != nil {
			needs.Lacking(t, "needs the tool", tool)
		}
	}
	r, temp, there := newRig(t, ""), t.TempDir(), open(t)
	shell := os.Getenv(fish.BinaryEnv) + " app ssh"
	succeeds(t, r.appSSH(t, temp, "cd", there, "&&", "git init -q -b main src && cd src && echo it > file && git add file &&",
		"git -c user.name=n -c user.email=n@lab commit -q --message all"))
	for _, tt := range []struct {
		name string
		line []string // of which the last is where it goes
	}{
		{"git", []string{"git", "-c", "core.sshCommand=" + shell, "clone", "-q", r.app + ":" + there + "/src"}},
		{"rsync", []string{"rsync", "-a", "-e", shell, r.app + ":" + there + "/src/"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			to := filepath.Join(t.TempDir(), "copy")
			succeeds(t, r.atHome(t, temp, tt.line[0], append(tt.line[1:], to)...))
			if got, err := os.ReadFile(filepath.Join(to, "file")); err != nil || string(got) != "it\n" {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	noKeys(t, temp)
}

// succeeds wants a program to succeed without a word.
func succeeds(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("%s: %v: %s", cmd, err, out)
	}
}
