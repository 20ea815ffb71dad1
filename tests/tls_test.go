package tests

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

func TestFiles(t *testing.T) {
	t.Parallel()
	n := fish.Start(t, fish.Options{})
	for path, want := range map[string]fs.FileMode{
		"ca.key": 0o600, "ca.crt": 0o644, fish.NodeName + ".key": 0o600, fish.NodeName + ".crt": 0o644,
		fish.NodeName + "_id_ecdsa": 0o600, "127.0.0.1:8001": 0o700 | fs.ModeDir,
	} {
		info, err := os.Stat(filepath.Join(n.Dir, "fish_data", path))
		if err != nil {
			t.Error(err)
			continue
		}
		if info.Mode() != want {
			t.Errorf("%s has mode %v, want %v", path, info.Mode(), want)
		}
	}
	if _, err := os.Stat(filepath.Join(n.Dir, "fish_data", "127.0.0.1:8001", "sqlite.db")); err != nil {
		t.Error(err)
	}
	for path, want := range map[string]string{
		"ca.key": "PRIVATE KEY", fish.NodeName + ".key": "PRIVATE KEY", fish.NodeName + "_id_ecdsa": "EC PRIVATE KEY",
	} {
		if block, _ := pem.Decode([]byte(readFile(t, n.Dir, "fish_data", path))); block == nil || block.Type != want {
			t.Errorf("%s is no PEM of type %s", path, want)
		}
	}
}

func parseCert(t *testing.T, path ...string) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode([]byte(readFile(t, path...)))
	if block == nil {
		t.Fatalf("no PEM in %v", path)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestCertificates(t *testing.T) {
	t.Parallel()
	n := fish.Start(t, fish.Options{Config: "node_address: 10.1.2.3:8001\n"})
	ca := parseCert(t, n.Dir, "fish_data", "ca.crt")
	if ca.Subject.CommonName != "ClusterCA" || !slices.Equal(ca.Subject.Organization, []string{"Example Co CA"}) ||
		!ca.IsCA || ca.KeyUsage != x509.KeyUsageDigitalSignature|x509.KeyUsageCertSign {
		t.Errorf("CA: subject %v, CA %v, usage %b", ca.Subject, ca.IsCA, ca.KeyUsage)
	}
	if years := ca.NotAfter.Sub(ca.NotBefore).Hours() / 24 / 365; years < 9.9 || years > 10.1 {
		t.Errorf("the CA lives %.1f years, want 10", years)
	}
	cert := parseCert(t, n.Dir, "fish_data", fish.NodeName+".crt")
	if cert.Subject.CommonName != fish.NodeName || !slices.Equal(cert.Subject.Organization, []string{"Example Co Crt"}) {
		t.Errorf("node: subject %v", cert.Subject)
	}
	if !slices.Equal(cert.DNSNames, []string{fish.NodeName}) || len(cert.IPAddresses) != 1 || cert.IPAddresses[0].String() != "10.1.2.3" {
		t.Errorf("node: names %v %v, want the node's name and the address of node_address", cert.DNSNames, cert.IPAddresses)
	}
	if !slices.Equal(cert.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}) {
		t.Errorf("node: extended usage %v", cert.ExtKeyUsage)
	}
	if key, ok := cert.PublicKey.(*ecdsa.PublicKey); !ok || key.Params().Name != "P-256" {
		t.Errorf("node: key %T", cert.PublicKey)
	}
	if err := cert.CheckSignatureFrom(ca); err != nil {
		t.Errorf("node: %v", err)
	}
}

func TestGivenCAIsUsed(t *testing.T) {
	t.Parallel()
	first := fish.Start(t, fish.Options{})
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "fish_data"), 0o750); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ca.key", "ca.crt"} {
		text := readFile(t, first.Dir, "fish_data", name)
		if err := os.WriteFile(filepath.Join(dir, "fish_data", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	second := fish.Start(t, fish.Options{Dir: dir, Config: "node_name: second\n"})
	cert := parseCert(t, second.Dir, "fish_data", "second.crt")
	if err := cert.CheckSignatureFrom(parseCert(t, first.Dir, "fish_data", "ca.crt")); err != nil {
		t.Errorf("the second node's certificate: %v", err)
	}
}

func TestChangedKeyIsRefused(t *testing.T) {
	t.Parallel()
	n := fish.Start(t, fish.Options{})
	n.Stop()
	for _, name := range []string{".key", ".crt"} {
		if err := os.Remove(filepath.Join(n.Dir, "fish_data", fish.NodeName+name)); err != nil {
			t.Fatal(err)
		}
	}
	got := fish.Run(t, n.Dir, "--cfg", filepath.Join(n.Dir, "fish.yaml"))
	if got.Code != 1 || !strings.Contains(got.Stdout+got.Stderr, "pubkey was changed") {
		t.Errorf("exit code %d, output:\n%s\n%s\nwant 1 and `pubkey was changed`", got.Code, got.Stdout, got.Stderr)
	}
}

func TestPlainHTTP(t *testing.T) {
	t.Parallel()
	n := fish.Start(t, fish.Options{})
	conn, err := net.DialTimeout("tcp", n.Address(), 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, "GET /api/v1/user/me/ HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusBadRequest || !strings.Contains(string(body), "Client sent an HTTP request to an HTTPS server.") {
		t.Errorf("got %d %q", resp.StatusCode, body)
	}
}

func TestProtocols(t *testing.T) {
	t.Parallel()
	n := fish.Start(t, fish.Options{})
	stranger, err := tls.LoadX509KeyPair(
		filepath.Join(n.Dir, "fish_data", "ca.crt"), filepath.Join(n.Dir, "fish_data", "ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		offer []string
		certs []tls.Certificate
		want  string
	}{
		{"HTTP/2", []string{"h2", "http/1.1"}, nil, "h2"},
		{"HTTP/1.1", []string{"http/1.1"}, nil, "http/1.1"},
		{"no ALPN", nil, nil, ""},
		{"a client certificate is not checked", []string{"h2"}, []tls.Certificate{stranger}, "h2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conf := n.TLS()
			conf.NextProtos, conf.Certificates = tt.offer, tt.certs
			conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", n.Address(), conf)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			if got := conn.ConnectionState().NegotiatedProtocol; got != tt.want {
				t.Errorf("spoke %q, want %q", got, tt.want)
			}
		})
	}
}

// TestMissingFiles: what is there is used, what is missing is made if it can
// be, and never at the price of a key (contract 3).
func TestMissingFiles(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		missing []string
		want    string // the error, empty for a start
	}{
		{"key of the CA", []string{"ca.key"}, ""},
		{"certificate of the CA", []string{"ca.crt"}, ""},
		{"CA", []string{"ca.crt", "ca.key"}, ""},
		{"SSH key", []string{fish.NodeName + "_id_ecdsa"}, ""},
		{"pair of the node and key of the CA", []string{"ca.key", fish.NodeName + ".key", fish.NodeName + ".crt"}, "ca.key"},
		{"certificate of the node", []string{fish.NodeName + ".crt"}, ""}, // signed anew for the same key (27.20)
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n := fish.Start(t, fish.Options{})
			n.Stop()
			data := filepath.Join(n.Dir, "fish_data")
			caKey, nodeKey := readFile(t, data, "ca.key"), readFile(t, data, fish.NodeName+".key")
			for _, name := range tt.missing {
				if err := os.Remove(filepath.Join(data, name)); err != nil {
					t.Fatal(err)
				}
			}
			if tt.want != "" {
				got := fish.Run(t, n.Dir, "--cfg", filepath.Join(n.Dir, "fish.yaml"))
				if all := got.Stdout + got.Stderr; got.Code != 1 || !strings.Contains(all, tt.want) {
					t.Errorf("exit code %d, want 1 and %s in:\n%s", got.Code, tt.want, all)
				}
				return
			}
			n.Start()
			if readFile(t, data, fish.NodeName+".key") != nodeKey {
				t.Error("the node has another key")
			}
			if !slices.Contains(tt.missing, "ca.key") && readFile(t, data, "ca.key") != caKey {
				t.Error("the CA has another key")
			} else if tt.name != "CA" { // with a new one the node's certificate can not be checked (contract 3)
				want(t, "after the start", n.Request("GET", mePath, nil), 200, "")
			}
		})
	}
}
