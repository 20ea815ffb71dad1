//go:build linux

package docker

import (
	"context"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/drivers"
)

// TestTLS: an engine behind TLS is spoken to where its certificate is known, by
// the keys of the config and by the variables of Docker's own client.
func TestTLS(t *testing.T) {
	s := newSite(t, "")
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = "http", "engine" },
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", s.Socket())
		}},
	}
	server := httptest.NewTLSServer(proxy)
	t.Cleanup(server.Close)
	address := "tcp://" + server.Listener.Addr().String()
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	open := func(cfg string) (drivers.Driver, error) {
		return New(t.Context(), drivers.Config{Instance: "docker", NodeUID: node, Logger: discard(), Directory: dir,
			Cfg: fmt.Appendf(nil, "workspace_path: %q\nimages_path: %q\n%s", s.workspace(), filepath.Join(s.dir, "images"), cfg)})
	}
	d, err := open(fmt.Sprintf("docker_host: %s\ntls_ca_crt: %s\n", address, ca))
	if err != nil {
		t.Fatal(err)
	}
	req := request(guest("wait"))
	if _, err := d.Allocate(t.Context(), req); err != nil {
		t.Errorf("Allocate() behind TLS = %v", err)
	}
	if err := d.Deallocate(t.Context(), drivers.Ref{Token: req.Token}); err != nil {
		t.Error(err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	t.Setenv("DOCKER_HOST", address)
	t.Setenv("DOCKER_CERT_PATH", dir)
	t.Setenv("DOCKER_TLS_VERIFY", "1")
	for cfg, want := range map[string]string{
		"docker_host: " + address:                           "HTTP", // it speaks TLS, and we do not
		"docker_host: " + address + "\ntls_ca_crt: /no.pem": "/no.pem",
		"": "cert.pem", // DOCKER_CERT_PATH has no client certificate
	} {
		d, err := open(cfg)
		if err == nil {
			_ = d.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New() with %q = %v, want an error with %q", cfg, err, want)
		}
	}
}

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
