//go:build linux

package proxy

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/aquarium-fish/aquarium-fish/tests/farm"
	"github.com/aquarium-fish/aquarium-fish/tests/fish"
	"github.com/aquarium-fish/aquarium-fish/tests/openssh"
)

// joinTime is for a farm to become one: far more than it takes, as other tests keep the machine busy.
const joinTime = 60 * time.Second

// site is a farm with an environment at one node, and ways in by others.
type site struct {
	*farm.Farm
	t   *testing.T
	env environment
	app string
}

// newSite runs three nodes in a row; the last one runs the environment, which the first one does not see.
func newSite(t *testing.T) *site {
	t.Helper()
	f := farm.New(t, farm.Options{Topology: farm.Chain(3), Namespaces: true, Config: "proxy_ssh_grace: 1s\nproxy_socks_address: 127.0.0.1:0\n"})
	s := &site{Farm: f, t: t}
	l, err := f.Listen(2, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.env = newEnvironment(t, l)
	for _, m := range f.Members {
		m.Start()
	}
	f.Together(joinTime)
	label := strings.Replace(sshLabel(t, "far", s.env.byKey()), `"ram":1`, `"ram":1,"node_filter":["FishName:node2"]`, 1)
	c := f.Admin(2)
	s.app = c.CreateApplication(c.CreateLabel(label), `{}`)
	c.WaitStatus(s.app, "ALLOCATED")
	for node := range f.Members {
		fish.EventuallyWithin(t, joinTime, fmt.Sprintf("node %d knows the environment", node), func() bool {
			return f.Admin(node).Request("GET", "/api/v1/application/"+s.app+"/resource", nil).Status == 200
		})
	}
	return s
}

// address is where the proxy of a node is.
func (s *site) address(node int) string {
	return fish.Get[struct{ Address string }](s.Admin(node), "/api/v1/node/this/ssh").Address
}

// at is the login at another node than the one that gave it out.
func (s *site) at(node int, l openssh.Login) openssh.Login {
	l.Address = s.address(node)
	return l
}

// enter tries to log in at a node, from where that is.
func (s *site) enter(node int, l openssh.Login, script string, stdin string) result {
	s.t.Helper()
	cmd := s.command(node, l, "ssh", "-T", "env", script)
	return run(s.t, cmd, strings.NewReader(stdin))
}

// command is one of OpenSSH's programs, run where a node is, and logging in there.
func (s *site) command(node int, l openssh.Login, program string, args ...string) *exec.Cmd {
	s.t.Helper()
	cmd := command(s.t, s.at(node, l), info, program, args...)
	cmd.Path, cmd.Args = "/usr/bin/nsenter", slices.Concat(s.Wrap(node), cmd.Args)
	return cmd
}

// dial logs in at a node with the library, and runs a command.
func (s *site) dial(node int, address string, a access) error {
	ctx, cancel := context.WithTimeout(context.Background(), sshTime)
	defer cancel()
	conn, err := s.Dial(ctx, node, address)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // it may be closed
	_ = conn.SetDeadline(time.Now().Add(sshTime))
	c, channels, requests, err := ssh.NewClientConn(conn, address, &ssh.ClientConfig{
		User: a.Username, Auth: []ssh.AuthMethod{ssh.Password(a.Password)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(),
	})
	if err != nil {
		return err
	}
	session, err := ssh.NewClient(c, channels, requests).NewSession()
	if err != nil {
		return fmt.Errorf("logged in, and then: %w", err)
	}
	return session.Run("true")
}

// TestSSHFarm: any node is the way in, credentials are good once in the whole farm, and are not used up where the
// environment was not reached. The way out is what a node at the other end of the farm says.
func TestSSHFarm(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	text := strings.Repeat("0123456789", 500_000)
	for entry := range s.Members {
		for _, issuer := range []int{0, 1, 2} {
			l := accessTo(s.Admin(issuer), s.app).byPassword()
			got := s.enter(entry, l, "cat; echo err >&2; exit 3", text)
			if got.Code != 3 || got.Stdout != text || !strings.Contains(got.Stderr, "err\n") {
				t.Errorf("credentials of node %d at node %d: exit code %d, %d bytes, %q", issuer, entry, got.Code, len(got.Stdout), got.Stderr)
			}
			again := s.enter((entry+1)%3, l, "echo in", "")
			refused(t, fmt.Sprintf("the second time, at node %d", (entry+1)%3), again, "used already")
		}
	}
	s.compete()
	s.copies()
	s.forwards()
	s.reachesOut()
	s.apart()
	s.givenBack()
}

// compete has the same credentials shown to two nodes at once, many times.
func (s *site) compete() {
	s.t.Helper()
	const rounds = 20
	addresses := []string{s.address(0), s.address(1), s.address(2)}
	for round := range rounds {
		a := accessTo(s.Admin(round%3), s.app)
		results := make(chan error, len(addresses))
		for node, address := range addresses {
			go func() { results <- s.dial(node, address, a) }()
		}
		var failed []error
		for range addresses {
			if err := <-results; err != nil {
				failed = append(failed, err)
			}
		}
		if len(failed) != len(addresses)-1 {
			s.t.Errorf("round %d: %d of %d logins with the same credentials succeeded, want 1: %v", round, len(addresses)-len(failed), len(addresses), failed)
		}
	}
}

// apart has the executor out of reach for a while.
func (s *site) apart() {
	s.t.Helper()
	a := accessTo(s.Admin(0), s.app)
	sitting := s.sit()
	s.Cut(1, 2)
	got := s.enter(0, a.byKey(s.t), "echo in", "")
	refused(s.t, "an executor that can not be reached", got, "credentials were not used")
	sitting()
	s.Heal()
	s.Together(joinTime)
	// Links come back one after the other; who was told to try again does.
	fish.EventuallyWithin(s.t, joinTime, "the same credentials are good after the heal", func() bool {
		return s.enter(0, a.byKey(s.t), "echo in", "").Stdout == "in\n"
	})
}
