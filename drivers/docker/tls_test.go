//go:build linux

package docker

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
	"github.com/aquarium-fish/aquarium-fish/tests/dockerd"
)

// authority makes certificates for both ends of TLS.
type authority struct {
	t    testing.TB
	dir  string
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

// newAuthority makes one whose certificate is <dir>/ca.pem.
func newAuthority(t testing.TB, dir, name string) *authority {
	t.Helper()
	a := &authority{t: t, dir: dir}
	a.key, a.cert = a.make("ca", name, time.Hour)
	return a
}

// issue makes <dir>/<file>.pem and <dir>/<file>-key.pem, good for both ends.
func (a *authority) issue(file string, valid time.Duration) {
	a.t.Helper()
	key, _ := a.make(file, file, valid)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(file+"-key.pem", "PRIVATE KEY", der)
}

func (a *authority) make(file, name string, valid time.Duration) (*ecdsa.PrivateKey, *x509.Certificate) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(valid),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true,
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		template.IsCA, template.KeyUsage, template.ExtKeyUsage = true, x509.KeyUsageCertSign, nil
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(file+".pem", "CERTIFICATE", der)
	return key, cert
}

func (a *authority) write(file, kind string, der []byte) {
	a.t.Helper()
	if err := os.WriteFile(filepath.Join(a.dir, file), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

// forward takes connections at an address of this machine to one in the network of
// the engine, byte for byte.
func (s site) forward(t testing.TB, to string) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() }) // ends the loop
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := s.Dial(context.Background(), "tcp", to)
			if err != nil {
				_ = in.Close() // the driver sees that it breaks off
				continue
			}
			for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
				go func() {
					_, _ = io.Copy(way[0], way[1])
					_, _ = way[0].Close(), way[1].Close() // the other way ends with it
				}()
			}
		}
	}()
	return l.Addr().String()
}

// TestTLS: an engine that demands TLS with certificates of both ends is spoken to
// by the keys of the config and by the variables of Docker's own client. Who lacks
// something is told what.
func TestTLS(t *testing.T) {
	needs.Unhurried(t, "starts an engine of its own")
	certs, home := t.TempDir(), t.TempDir()
	ca := newAuthority(t, certs, "fish")
	ca.issue("server", time.Hour)
	ca.issue("cert", time.Hour)
	ca.issue("old", -time.Hour)
	if err := os.Link(filepath.Join(certs, "cert-key.pem"), filepath.Join(certs, "key.pem")); err != nil { // as Docker names it
		t.Fatal(err)
	}
	strangers := t.TempDir()
	newAuthority(t, strangers, "strangers").issue("cert", time.Hour)
	in := func(dir, file string) string { return filepath.Join(dir, file) }
	const inside = "127.0.0.1:2376"
	s := site{dockerd.Start(t, dockerd.Options{Flags: []string{
		"--host=tcp://" + inside, "--tlsverify", "--tlscacert=" + in(certs, "ca.pem"),
		"--tlscert=" + in(certs, "server.pem"), "--tlskey=" + in(certs, "server-key.pem"),
	}}), t.TempDir(), ""}
	address := "tcp://" + s.forward(t, inside)
	open := func(cfg string) (drivers.Driver, error) {
		return New(t.Context(), drivers.Config{Instance: "docker", NodeUID: node, Logger: discard(), Directory: s.dir,
			Cfg: fmt.Appendf(nil, "workspace_path: %q\nimages_path: %q\n%s", s.workspace(), in(s.dir, "images"), cfg)})
	}
	keys := func(ca, crt, key string) string {
		return fmt.Sprintf("docker_host: %s\ntls_ca_crt: %q\ntls_crt: %q\ntls_key: %q\n", address, ca, crt, key)
	}
	good := keys(in(certs, "ca.pem"), in(certs, "cert.pem"), in(certs, "key.pem"))
	variables := func(host, path, verify string) map[string]string {
		return map[string]string{"DOCKER_HOST": host, "DOCKER_CERT_PATH": path, "DOCKER_TLS_VERIFY": verify, "HOME": home}
	}
	for _, tt := range []struct {
		name, cfg string
		env       map[string]string
		want      []string // in the error; none is that it works
	}{
		{name: "keys", cfg: good},
		{name: "variables", env: variables(address, certs, "1")},
		{name: "variables, the engine not checked", env: variables(address, certs, "")},
		{name: "keys before variables", cfg: good, env: variables("tcp://127.0.0.1:1", "/nowhere", "1")},
		{name: "no certificate", cfg: "docker_host: " + address + "\ntls_ca_crt: " + in(certs, "ca.pem"), want: []string{"tls_crt", "refuses our certificate"}},
		{name: "certificate that ended", cfg: keys(in(certs, "ca.pem"), in(certs, "old.pem"), in(certs, "old-key.pem")), want: []string{"old.pem", "ended"}},
		{name: "certificate of strangers", cfg: keys(in(certs, "ca.pem"), in(strangers, "cert.pem"), in(strangers, "cert-key.pem")),
			want: []string{"tls_crt", "refuses our certificate"}},
		{name: "CA of strangers", cfg: keys(in(strangers, "ca.pem"), in(certs, "cert.pem"), in(certs, "key.pem")), want: []string{"tls_ca_crt", "unknown authority"}},
		{name: "no CA", cfg: keys("", in(certs, "cert.pem"), in(certs, "key.pem")), want: []string{"tls_ca_crt", "unknown authority"}},
		{name: "another's key", cfg: keys(in(certs, "ca.pem"), in(certs, "cert.pem"), in(certs, "server-key.pem")), want: []string{"tls_key", "does not match"}},
		{name: "no such file", cfg: keys("/no.pem", in(certs, "cert.pem"), in(certs, "key.pem")), want: []string{"/no.pem", "tls_ca_crt"}},
		{name: "another name", cfg: strings.ReplaceAll(good, "127.0.0.1", "localhost"), want: []string{"docker_host", "localhost"}},
		{name: "no TLS", cfg: "docker_host: " + address, want: []string{"tls_ca_crt", "speaks TLS"}},
		{name: "variables without certificates", env: variables(address, strangers, "1"), want: []string{"key.pem"}},
		{name: "variables of others", env: variables(address, home, "1"), want: []string{in(home, "ca.pem"), "DOCKER_CERT_PATH"}},
		{name: "a check wanted, and no path", env: variables(address, "", "1"), want: []string{in(home, ".docker"), "DOCKER_CERT_PATH"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, name := range []string{"DOCKER_HOST", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY"} {
				t.Setenv(name, tt.env[name])
			}
			t.Setenv("HOME", home)
			d, err := open(tt.cfg)
			if len(tt.want) == 0 {
				if err != nil {
					t.Fatal(err)
				}
				if tt.name == "keys" { // one is enough: it is the same client
					use(t, d)
				}
				if err := d.Close(); err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil {
				_ = d.Close()
			}
			for _, want := range tt.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("New() = %v, want an error with %q", err, want)
				}
			}
		})
	}
}

// use makes an environment and removes it.
func use(t *testing.T, d drivers.Driver) {
	t.Helper()
	req := request(guest("wait"))
	if _, err := d.Allocate(t.Context(), req); err != nil {
		t.Errorf("Allocate() = %v", err)
	}
	if err := d.Deallocate(t.Context(), drivers.Ref{Token: req.Token}); err != nil {
		t.Errorf("Deallocate() = %v", err)
	}
}
