//go:build linux

package proxy

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
	"github.com/aquarium-fish/aquarium-fish/tests/openssh"
)

// far is a fresh login from one end of the farm to the other.
func (s *site) far() openssh.Login {
	s.t.Helper()
	return accessTo(s.Admin(1), s.app).byKey(s.t)
}

// copies has files go to the other end of the farm and back, by all that copies.
func (s *site) copies() {
	s.t.Helper()
	from := sample(s.t)
	for _, protocol := range []string{"-O", "-s"} {
		there, back := open(s.t), open(s.t)
		for _, args := range [][]string{
			{protocol, "-rpq", from, "env:" + there + "/copy"}, {protocol, "-rpq", "env:" + there + "/copy", back + "/copy"},
		} {
			if got := run(s.t, s.command(0, s.far(), "scp", args...), nil); got.Code != 0 {
				s.t.Fatalf("scp %q: %+v", args, got)
			}
		}
		sameTree(s.t, "scp "+protocol, from, back+"/copy")
	}
	there, back := open(s.t), open(s.t)
	batch := fmt.Sprintf("put -rp %s %s/copy\nget -rp %s/copy %s\n", from, there, there, back)
	if got := run(s.t, s.command(0, s.far(), "sftp", "-b", "-", "env"), strings.NewReader(batch)); got.Code != 0 {
		s.t.Fatalf("sftp: %+v", got)
	}
	sameTree(s.t, "sftp", from, back+"/copy")
}

// forwards has ports of one end of the farm lead to the other, both ways.
func (s *site) forwards() {
	s.t.Helper()
	dir := open(s.t)
	l, err := s.Listen(0, "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	for way, to := range map[string]string{
		"-L": serveEcho(s.t, "tcp", "127.0.0.1:0"), // seen from the environment, which is in the network of the test
		"-R": echoOn(s.t, l),
	} {
		from := filepath.Join(dir, "at"+way) // a file, which is seen from everywhere
		cmd := s.command(0, s.far(), "ssh", "-N", way, from+":"+to, "env")
		if err := cmd.Start(); err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait() // killed
		})
		echoed(s.t, "unix", from)
	}
}

// givenBack has somebody sit at the other end of the farm than the environment, which is given back at a third node.
func (s *site) givenBack() {
	s.t.Helper()
	term := openTerminal(s.t, 24, 80)
	cmd := s.command(0, s.far(), "ssh", "-t", "env", "echo ready; exec sleep 1000")
	term.start(s.t, cmd)
	term.wait(s.t, "ready")
	s.Admin(1).Deallocate(s.app)
	term.wait(s.t, "the environment is given back")
	if code := exitCode(s.t, cmd.Wait()); code != 255 {
		s.t.Errorf("a terminal in an environment that is given back ends with exit code %d, want 255", code)
	}
	fish.Eventually(s.t, "no session is left in the environment", func() bool { return s.env.Sessions() == 0 })
	fish.Eventually(s.t, "the audit of the node that it came to says so", func() bool {
		ended := auditOf(s.t, s.Admin(0), "ssh.close", s.app)
		return len(ended) > 0 && strings.Contains(ended[0].Detail, "cut: the environment is given back")
	})
}

// sit has something run at the other end of the farm, and returns what waits until a lost line has ended it at both ends.
func (s *site) sit() (ended func()) {
	s.t.Helper()
	cmd := s.command(0, s.far(), "ssh", "env", "echo ready; exec sleep 1000")
	said := &lines{}
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	fish.Eventually(s.t, "it runs", func() bool { return strings.Contains(said.text(), "ready") })
	return func() {
		s.t.Helper()
		if code := exitCode(s.t, cmd.Wait()); code != 255 {
			s.t.Errorf("a session whose line is lost ends with exit code %d, want 255", code)
		}
		fish.EventuallyWithin(s.t, joinTime, "no session is left in the environment", func() bool { return s.env.Sessions() == 0 })
	}
}
