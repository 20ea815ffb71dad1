//go:build linux

package openssh

import (
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// start runs a server in a folder that any user may look into.
func start(t *testing.T, o ServerOptions) *Server {
	t.Helper()
	for _, tool := range Tools() {
		if _, err := exec.LookPath(tool); err != nil {
			needs.Lacking(t, "needs the tool", tool)
		}
	}
	dir, err := os.MkdirTemp("", "sshd-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	o.Dir = dir
	s, err := StartServer(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if s.Sessions() != 0 {
			t.Error("sessions outlive their server")
		}
		if t.Failed() {
			t.Log(s.Log())
		}
	})
	return s
}

func client(t *testing.T) *Client {
	t.Helper()
	c, err := NewClient(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *Client) run(t *testing.T, l Login, args ...string) (string, error) {
	t.Helper()
	cmd, err := c.Command(t.Context(), []Host{{Name: "there", Login: l}}, "ssh", append([]string{"there"}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestByKey(t *testing.T) {
	t.Parallel()
	s, c := start(t, ServerOptions{}), client(t)
	if got, err := c.run(t, s.Login(), "echo $USER"); err != nil || got != s.User+"\n" {
		t.Errorf("ssh: %q, %v", got, err)
	}
	restore, err := s.NewHostKeys()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.run(t, s.Login(), "true"); err == nil || !strings.Contains(got, "Host key verification failed") {
		t.Errorf("the client takes another host key: %q", got)
	}
	if err := restore(); err != nil {
		t.Fatal(err)
	}
	s.Down()
	if got, err := c.run(t, s.Login(), "true"); err == nil || !strings.Contains(got, "Connection refused") {
		t.Errorf("it takes connections while it is down: %q", got)
	}
	if err := s.Up(); err != nil {
		t.Fatal(err)
	}
	if got, err := c.run(t, s.Login(), "true"); err != nil {
		t.Errorf("with its old key: %q, %v", got, err)
	}
	other := s.Login()
	other.KeyFile = start(t, ServerOptions{}).KeyFile
	if got, err := client(t).run(t, other, "true"); err == nil || !strings.Contains(got, "Permission denied") {
		t.Errorf("the server takes another key: %q", got)
	}
	if got := s.Accepted(); got != 4 {
		t.Errorf("%d connections, want 4", got)
	}
}

func TestByPassword(t *testing.T) {
	t.Parallel()
	needs.Machine(t, "to make a user with a password")
	a, err := NewAccount()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Remove(); err != nil {
			t.Error(err)
		}
	})
	s := start(t, ServerOptions{User: a.Name, Password: a.Password})
	l := Login{Address: s.Login().Address, User: a.Name, Password: a.Password}
	if got, err := client(t).run(t, l, "pwd"); err != nil || got != a.Home+"\n" {
		t.Errorf("ssh: %q, %v", got, err)
	}
	l.Password += "x"
	if got, err := client(t).run(t, l, "true"); err == nil || !strings.Contains(got, "Permission denied") {
		t.Errorf("another password is taken: %q", got)
	}
}

// TestKill: what runs in a session ends with it, and the next one is served.
func TestKill(t *testing.T) {
	t.Parallel()
	s, c := start(t, ServerOptions{}), client(t)
	cmd, err := c.Command(t.Context(), []Host{{Name: "there", Login: s.Login()}}, "ssh", "there", "echo $$; exec sleep 1000")
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := make([]byte, 20)
	n, err := io.ReadAtLeast(out, pid, 2)
	if err != nil {
		t.Fatal(err)
	}
	s.Kill()
	if err := cmd.Wait(); err == nil {
		t.Error("the session has ended without an error")
	}
	running := "/proc/" + strings.TrimSpace(string(pid[:n])) + "/exe"
	fish.Eventually(t, "what ran in the session has ended", func() bool {
		_, err := os.Readlink(running)
		return err != nil
	})
	if got, err := c.run(t, s.Login(), "echo again"); err != nil || got != "again\n" {
		t.Errorf("the next session: %q, %v", got, err)
	}
}
