//go:build linux

package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
	"github.com/aquarium-fish/aquarium-fish/tests/openssh"
)

// dial logs in with the library, for what OpenSSH's client does not do.
func dial(t testing.TB, l openssh.Login) *ssh.Client {
	t.Helper()
	c, err := tryDial(l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() }) // it may be closed
	return c
}

func tryDial(l openssh.Login) (*ssh.Client, error) {
	auth := ssh.Password(l.Password)
	if l.KeyFile != "" {
		text, err := os.ReadFile(l.KeyFile)
		if err != nil {
			return nil, err
		}
		signer, err := ssh.ParsePrivateKey(text)
		if err != nil {
			return nil, err
		}
		auth = ssh.PublicKeys(signer)
	}
	return ssh.Dial("tcp", l.Address, &ssh.ClientConfig{
		User: l.User, Auth: []ssh.AuthMethod{auth}, HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: sshTime,
	})
}

// TestSSHKeepAlive: both ends ask whether the other is there, and hear that it is while nothing else is said.
func TestSSHKeepAlive(t *testing.T) {
	t.Parallel()
	newRig(t, "", "ClientAliveInterval 1", "ClientAliveCountMax 2").bothWays(t, func(t *testing.T, r *rig) {
		alive := []string{"ServerAliveInterval 1", "ServerAliveCountMax 2"}
		cmd := command(t, r.login(t), alive, "ssh", "env", "sleep 4.5; echo awake")
		if got, want := run(t, cmd, nil), (result{Stdout: "awake\n"}); got != want {
			t.Errorf("a silent session: %+v, want %+v", got, want)
		}
	})
}

// TestSSHFrozen: a client that asks whether the other end is there notices when the environment hangs.
func TestSSHFrozen(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	cmd := command(t, r.login(t), []string{"ServerAliveInterval 1", "ServerAliveCountMax 2", "LogLevel INFO"}, "ssh", "env", "echo here; sleep 1000")
	said := &lines{}
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	fish.Eventually(t, "the session runs", func() bool { return strings.Contains(said.text(), "here") })
	r.env.Freeze()
	begun := time.Now()
	if code := exitCode(t, cmd.Wait()); code != 255 || !strings.Contains(said.text(), "not responding") {
		t.Errorf("an environment that hangs: exit code %d, %q", code, said.text())
	}
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("the client noticed after %v", took)
	}
}

// TestSSHRekey: both connections change their keys again and again while data flows.
func TestSSHRekey(t *testing.T) {
	t.Parallel()
	newRig(t, "", "RekeyLimit 1M").bothWays(t, func(t *testing.T, r *rig) {
		const size = 12 << 20
		cmd := command(t, r.login(t), []string{"RekeyLimit 1M"}, "ssh", "env", "tee /dev/stderr | sha256sum")
		errs, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		cmd.Stdin, cmd.Stdout = noise(3, size), &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		back := sumOf(t, errs)
		if err := cmd.Wait(); err != nil {
			t.Errorf("ssh: %v", err)
		}
		if want := sumOf(t, noise(3, size)); out.String() != want || back != want {
			t.Errorf("there %q, back %q, want %q", out.String(), back, want)
		}
	})
}

// TestSSHManyChannels: an editor that has everything open at once.
func TestSSHManyChannels(t *testing.T) {
	t.Parallel()
	tcp := serveEcho(t, "tcp", "127.0.0.1:0")
	newRig(t, "").bothWays(t, func(t *testing.T, r *rig) {
		c := dial(t, r.login(t))
		const channels, size = 64, 1 << 20
		failed := make(chan error, channels)
		for i := range channels {
			go func() {
				if i%2 == 0 {
					failed <- there(c, tcp, uint64(i), size)
				} else {
					failed <- through(c, uint64(i), size)
				}
			}()
		}
		for range channels {
			if err := <-failed; err != nil {
				t.Error(err)
			}
		}
	})
}

// through sends bytes through a command, and looks at what comes back.
func through(c *ssh.Client, seed uint64, size int64) error {
	s, err := c.NewSession()
	if err != nil {
		return fmt.Errorf("session %d: %w", seed, err)
	}
	defer func() { _ = s.Close() }() // it has ended
	back := newSummer()
	s.Stdin, s.Stdout = noise(seed, size), back
	runErr := s.Run("cat; exit 11")
	want, err := sum(noise(seed, size))
	if exit := (*ssh.ExitError)(nil); !errors.As(runErr, &exit) || exit.ExitStatus() != 11 {
		return fmt.Errorf("session %d: %w", seed, runErr)
	}
	if back.sum() != want {
		return errors.Join(err, fmt.Errorf("session %d: another sum comes back", seed))
	}
	return err
}

// there sends bytes to where serveEcho is, by way of the environment.
func there(c *ssh.Client, address string, seed uint64, size int64) error {
	conn, err := c.Dial("tcp", address)
	if err != nil {
		return fmt.Errorf("connection %d: %w", seed, err)
	}
	defer func() { _ = conn.Close() }() // it has ended
	sent := make(chan error, 1)
	go func() {
		_, err := io.Copy(conn, noise(seed, size))
		sent <- errors.Join(err, conn.(interface{ CloseWrite() error }).CloseWrite())
	}()
	got, err := sum(conn)
	if err := errors.Join(err, <-sent); err != nil {
		return fmt.Errorf("connection %d: %w", seed, err)
	}
	if want, _ := sum(noise(seed, size)); got != want {
		return fmt.Errorf("connection %d: another sum comes back", seed)
	}
	return nil
}

// TestSSHSignals: how a command is ended, how that is told, and that it is not told of one that was not asked to end.
func TestSSHSignals(t *testing.T) {
	t.Parallel()
	newRig(t, "").bothWays(t, func(t *testing.T, r *rig) {
		c := dial(t, r.login(t))
		for _, tt := range []struct {
			name, command string
			signal        ssh.Signal
			want          string
		}{
			{"killed from inside", "kill -KILL $$", "", "Process exited with status 137 from signal KILL"},
			{"killed by the client", "echo; exec sleep 1000", ssh.SIGTERM, "Process exited with status 143 from signal TERM"},
			{"a code", "exit 42", "", "Process exited with status 42"},
		} {
			s, err := c.NewSession()
			if err != nil {
				t.Fatal(err)
			}
			out, err := s.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Start(tt.command); err != nil {
				t.Fatal(err)
			}
			if tt.signal != "" {
				if _, err := out.Read(make([]byte, 1)); err != nil { // it runs
					t.Fatal(err)
				}
				if err := s.Signal(tt.signal); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Wait(); err == nil || err.Error() != tt.want {
				t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
			}
		}
	})
}

// TestSSHClientGoes: a client whose line is cut leaves nothing running, neither in the environment nor in the node.
func TestSSHClientGoes(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	before := goroutines(t, r.node.Client)
	var work sync.WaitGroup
	for range 8 {
		l := r.login(t)
		work.Go(func() {
			c, err := tryDial(l)
			if err != nil {
				t.Error(err)
				return
			}
			s, err := c.NewSession()
			if err != nil {
				t.Error(err)
				return
			}
			out, err := s.StdoutPipe()
			if err != nil {
				t.Error(err)
				return
			}
			if err := s.Start("echo here; sleep 1000"); err != nil {
				t.Error(err)
				return
			}
			_, _ = out.Read(make([]byte, 1)) // what runs is looked at below
			_ = c.Close()
		})
	}
	work.Wait()
	fish.Eventually(t, "no session is left in the environment", func() bool { return r.env.Sessions() == 0 })
	backTo(t, r.node.Client, before)
}

// TestSSHHalfOpen: a client that ends its half of a connection still gets the other one.
func TestSSHHalfOpen(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	newRig(t, "").bothWays(t, func(t *testing.T, r *rig) {
		c := dial(t, r.login(t))
		done := make(chan error, 1)
		go func() {
			conn, err := l.Accept()
			if err != nil {
				done <- err
				return
			}
			defer func() { _ = conn.Close() }()
			_, err = io.Copy(io.Discard, conn) // to the end of what is said
			if err == nil {
				_, err = io.Copy(conn, noise(4, 3<<20))
			}
			done <- err
		}()
		conn, err := c.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		got := sumOf(t, conn)
		if err := <-done; err != nil || got != sumOf(t, noise(4, 3<<20)) {
			t.Errorf("the answer: %v, another sum", err)
		}
	})
}
