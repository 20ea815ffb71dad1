//go:build linux

package proxy

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// gitRepository makes one with a file of some noise, and returns the folder that a web server shows.
func gitRepository(t testing.TB) (dir string) {
	t.Helper()
	work := t.TempDir()
	text := strings.Repeat("a line of somebody's code\n", 10_000)
	if err := os.WriteFile(filepath.Join(work, "file"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"init", "-q", "-b", "main"}, {"add", "file"}, {"commit", "-qm", "first"}, {"update-server-info"}} {
		if out, err := git(t, nil, append([]string{"-C", work}, args...)...); err != nil {
			t.Fatalf("git %v: %v %s", args, err, out)
		}
	}
	return filepath.Join(work, ".git")
}

// git runs the real one, by a command that becomes it if there is one.
func git(t testing.TB, wrap []string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), sshTime)
	defer cancel()
	all := slices.Concat(wrap, []string{"git"}, args)
	cmd := exec.CommandContext(ctx, all[0], all[1:]...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_SYSTEM="+os.DevNull, "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b", "no_proxy=", "NO_PROXY=")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// reachesOut has the environment clone a repository by SOCKS, which a node at the other end of the farm maps, and which
// that one takes away again: each within a second.
func (s *site) reachesOut() {
	s.t.Helper()
	l, err := s.Listen(2, "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	repository := gitRepository(s.t)
	web := &http.Server{Handler: http.FileServer(http.Dir(repository)), ReadHeaderTimeout: sshTime}
	served := make(chan error, 1)
	go func() { served <- web.Serve(l) }()
	s.t.Cleanup(func() {
		_ = web.Close()
		<-served // that it was closed
	})
	proxy := "http.proxy=socks5h://" + socksAddress(s.Members[2].Node)
	ask := func() (string, error) {
		return git(s.t, s.Wrap(2), "-c", proxy, "ls-remote", "http://code.lab/", "main")
	}
	if out, err := ask(); err == nil || !strings.Contains(out, "(2)") {
		s.t.Errorf("what is not mapped: %v, %s", err, out)
	}
	within := func(what string, reached bool) {
		s.t.Helper()
		begun := time.Now()
		fish.Eventually(s.t, what, func() bool { _, err := ask(); return (err == nil) == reached })
		if took := time.Since(begun); took > time.Second+s.asking() {
			s.t.Errorf("%s: after %v, want it within a second", what, took)
		}
	}
	mapping := mapService(s.t, s.Admin(0), "code.lab", l.Addr().String(), "")
	within("mapped", true)
	into := filepath.Join(s.t.TempDir(), "clone")
	out, err := git(s.t, s.Wrap(2), "-c", proxy, "clone", "-q", "http://code.lab/", into)
	got, _ := os.ReadFile(filepath.Join(into, "file")) // or there is none
	if err != nil || len(got) != 26*10_000 {
		s.t.Errorf("clone: %v %s, %d bytes", err, out, len(got))
	}
	if got := s.Admin(0).Request("DELETE", "/api/v1/servicemapping/"+mapping, nil); got.Status != http.StatusOK {
		s.t.Fatalf("unmap: %d %s", got.Status, got.Body)
	}
	within("unmapped", false)
}

// asking is how long git takes to be told anything at all on this machine now.
func (s *site) asking() time.Duration {
	s.t.Helper()
	begun := time.Now()
	if out, err := git(s.t, s.Wrap(2), "--version"); err != nil {
		s.t.Fatalf("git --version: %v %s", err, out)
	}
	return 4 * time.Since(begun) // it runs programs of its own
}
