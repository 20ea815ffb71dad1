//go:build linux

package docker

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBrokenSocket: the sockets that are there are tried one after the other.
func TestBrokenSocket(t *testing.T) {
	s := newSite(t, "")
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("DOCKER_HOST", "")
	t.Setenv("XDG_RUNTIME_DIR", home)
	if err := os.WriteFile(filepath.Join(home, "docker.sock"), nil, 0o600); err != nil { // nothing listens
		t.Fatal(err)
	}
	good := filepath.Join(home, ".docker", "run")
	if err := os.MkdirAll(good, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(s.Socket(), filepath.Join(good, "docker.sock")); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat("/var/run/docker.sock"); err == nil {
		t.Skip("this machine has an engine of its own, which comes first")
	}
	engine, facts, err := connect(t.Context(), settings{}, make(doubts, 1), discard())
	if err != nil || facts.cores == 0 {
		t.Fatalf("connect() = %+v, %v, want the second socket's engine", facts, err)
	}
	_ = engine.Close()
}

// TestAddressWithAPassword: one in DOCKER_HOST is refused, and not shown.
func TestAddressWithAPassword(t *testing.T) {
	for _, host := range []string{"tcp://user:hush-hush@127.0.0.1:1", "tcp://user:hush-hush@127.0.0.1:\x01"} {
		t.Setenv("DOCKER_HOST", host)
		_, _, err := connect(t.Context(), settings{}, make(doubts, 1), discard())
		if err == nil || strings.Contains(err.Error(), "hush") || !strings.Contains(err.Error(), "want unix:///path") {
			t.Errorf("connect() to %q = %v, want an error without the password", host, err)
		}
	}
}
