//go:build linux

package docker

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/moby/moby/client"
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
	for host, want := range map[string]string{
		"tcp://user:hush-hush@127.0.0.1:1": "without a user", "tcp://user:hush-hush@127.0.0.1:\x01": "want unix:///path",
		"unix://user:hush-hush@/docker.sock": "without a user",
	} {
		t.Setenv("DOCKER_HOST", host)
		_, _, err := connect(t.Context(), settings{}, make(doubts, 1), discard())
		if err == nil || strings.Contains(err.Error(), "hush") || !strings.Contains(err.Error(), want) {
			t.Errorf("connect() to %q = %v, want an error without the password", host, err)
		}
	}
}

// TestFilesOfTLSAndASocket: certificates that nothing would look at are refused.
func TestFilesOfTLSAndASocket(t *testing.T) {
	t.Setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
	_, _, err := connect(t.Context(), settings{TLSCACrt: "ca.pem"}, make(doubts, 1), discard())
	if err == nil || !strings.Contains(err.Error(), "set docker_host to tcp://") {
		t.Errorf("connect() = %v, want what to do about the files of TLS", err)
	}
}

// forbidden is a socket of a group that we are not in.
type forbidden struct{}

func (forbidden) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, &net.OpError{Op: "dial", Net: "unix", Err: os.NewSyscallError("connect", syscall.EACCES)}
}

func TestSocketOfAnotherGroup(t *testing.T) {
	cli, err := client.New(client.WithHost("unix:///var/run/docker.sock"), client.WithHTTPClient(&http.Client{Transport: forbidden{}}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ask(t.Context(), cli); err == nil || !strings.Contains(err.Error(), "group of the socket") {
		t.Errorf("ask() = %v, want what to do about the group", err)
	}
}
