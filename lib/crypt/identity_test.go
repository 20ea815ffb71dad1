package crypt

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/lib/durable"
)

const day = 24 * time.Hour

// testOptions name a node in a fresh folder that does not exist yet.
func testOptions(t *testing.T) Options {
	t.Helper()
	return Options{Directory: filepath.Join(t.TempDir(), "data"), NodeName: "node-1", NodeAddress: "127.0.0.1:8001"}
}

func mustLoad(t *testing.T, o Options) *Identity {
	t.Helper()
	id, err := LoadOrCreate(o)
	if err != nil {
		t.Fatalf("LoadOrCreate: %v", err)
	}
	return id
}

// contents reads every file of the folder.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = string(data)
	}
	return files
}

func remove(t *testing.T, o Options, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := os.Remove(filepath.Join(o.Directory, name)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFreshFolder(t *testing.T) {
	o := testOptions(t)
	id := mustLoad(t, o)
	if diff := cmp.Diff([]string{"ca.crt", "ca.key", "node-1.crt", "node-1.key"}, sortedKeys(contents(t, o.Directory))); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	for name, want := range map[string]fs.FileMode{"ca.key": 0o600, "ca.crt": 0o644, "node-1.key": 0o600, "node-1.crt": 0o644} {
		info, err := os.Stat(filepath.Join(o.Directory, name))
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want && runtime.GOOS != "windows" {
			t.Errorf("mode of %s = %o, want %o", name, got, want)
		}
	}
	ca, leaf := id.CAs()[0], id.Certificate().Leaf
	if got := ca.Subject.String(); got != "CN=ClusterCA,O=Example Co CA" || !ca.IsCA {
		t.Errorf("CA subject = %s, CA %v", got, ca.IsCA)
	}
	if ca.KeyUsage != x509.KeyUsageDigitalSignature|x509.KeyUsageCertSign {
		t.Errorf("CA key usage = %b", ca.KeyUsage)
	}
	if got := leaf.Subject.String(); got != "CN=node-1,O=Example Co Crt" || leaf.IsCA {
		t.Errorf("node subject = %s, CA %v", got, leaf.IsCA)
	}
	if leaf.KeyUsage != x509.KeyUsageDigitalSignature || len(leaf.ExtKeyUsage) != 2 {
		t.Errorf("node usage = %b %v", leaf.KeyUsage, leaf.ExtKeyUsage)
	}
	if got := time.Until(ca.NotAfter); got < 3650*day || got > 3655*day {
		t.Errorf("CA lives for %s, want 10 years", got)
	}
	if got := time.Until(leaf.NotAfter); got < 364*day || got > 367*day {
		t.Errorf("node certificate lives for %s, want 1 year", got)
	}
}

func sortedKeys(m map[string]string) []string {
	var keys []string
	for _, want := range []string{"ca.crt", "ca.key", "node-1.crt", "node-1.key"} {
		if _, ok := m[want]; ok {
			keys = append(keys, want)
			delete(m, want)
		}
	}
	for k := range m {
		keys = append(keys, k)
	}
	return keys
}

func TestBlockTypes(t *testing.T) {
	o := testOptions(t)
	mustLoad(t, o)
	if _, err := LoadOrCreateSSHKey(filepath.Join(o.Directory, "node-1_id_ecdsa")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]string{
		"ca.key": {"PRIVATE KEY"}, "ca.crt": {"CERTIFICATE"}, "node-1.key": {"PRIVATE KEY"},
		"node-1.crt": {"CERTIFICATE", "CA CERTIFICATE"}, "node-1_id_ecdsa": {"EC PRIVATE KEY"},
	} {
		var got []string
		for block, rest := pem.Decode([]byte(contents(t, o.Directory)[name])); block != nil; block, rest = pem.Decode(rest) {
			got = append(got, block.Type)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("blocks of %s (-want +got):\n%s", name, diff)
		}
	}
}

func TestWhatIsThereIsKept(t *testing.T) {
	o := testOptions(t)
	first := mustLoad(t, o)
	before := contents(t, o.Directory)
	second := mustLoad(t, o)
	if diff := cmp.Diff(before, contents(t, o.Directory)); diff != "" {
		t.Errorf("files changed at the second start (-before +after):\n%s", diff)
	}
	if first.UID != second.UID || !bytes.Equal(first.PublicKey, second.PublicKey) {
		t.Error("the second start is another node")
	}
}

func TestMissingFiles(t *testing.T) {
	tests := []struct {
		name    string
		missing []string
		kept    []string // files that stay byte for byte
		sameUID bool
		chained bool // the node's certificate verifies against the CA
		err     string
	}{
		{name: "CA certificate", missing: []string{"ca.crt"}, kept: []string{"ca.key", "node-1.key", "node-1.crt"}, sameUID: true, chained: true},
		{name: "CA both", missing: []string{"ca.crt", "ca.key"}, kept: []string{"node-1.key", "node-1.crt"}, sameUID: true},
		{name: "CA key", missing: []string{"ca.key"}, kept: []string{"ca.crt", "node-1.key", "node-1.crt"}, sameUID: true, chained: true},
		{name: "node key", missing: []string{"node-1.key"}, kept: []string{"ca.key", "ca.crt"}, chained: true},
		{name: "node certificate", missing: []string{"node-1.crt"}, kept: []string{"ca.key", "ca.crt", "node-1.key"}, sameUID: true, chained: true},
		{name: "node pair", missing: []string{"node-1.key", "node-1.crt"}, kept: []string{"ca.key", "ca.crt"}, chained: true},
		{name: "node pair and CA key", missing: []string{"node-1.key", "node-1.crt", "ca.key"}, kept: []string{"ca.crt"}, err: "the CA key"},
		{name: "node certificate and CA key", missing: []string{"node-1.crt", "ca.key"}, kept: []string{"ca.crt", "node-1.key"}, err: "the CA key"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := testOptions(t)
			first := mustLoad(t, o)
			before := contents(t, o.Directory)
			remove(t, o, tt.missing...)
			id, err := LoadOrCreate(o)
			after := contents(t, o.Directory)
			for _, name := range tt.kept {
				if before[name] != after[name] {
					t.Errorf("%s was changed", name)
				}
			}
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("error = %v, want one about %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := id.UID == first.UID; got != tt.sameUID {
				t.Errorf("same node UID: %v, want %v", got, tt.sameUID)
			}
			_, err = id.Certificate().Leaf.Verify(x509.VerifyOptions{Roots: id.CAPool()})
			if got := err == nil; got != tt.chained {
				t.Errorf("certificate verifies: %v (%v), want %v", got, err, tt.chained)
			}
		})
	}
}

func TestPreplacedCA(t *testing.T) {
	one, two := testOptions(t), testOptions(t)
	two.NodeName = "node-2"
	first := mustLoad(t, one)
	files := contents(t, one.Directory)
	for _, name := range []string{"ca.crt", "ca.key"} {
		if err := durable.WriteFile(filepath.Join(two.Directory, name), []byte(files[name]), modeKey); err != nil {
			t.Fatal(err)
		}
	}
	second := mustLoad(t, two)
	if _, err := second.Certificate().Leaf.Verify(x509.VerifyOptions{Roots: first.CAPool()}); err != nil {
		t.Errorf("the second node's certificate: %v", err)
	}
}

func TestNames(t *testing.T) {
	tests := []struct {
		name, node, address string
		dns, ips            []string
	}{
		{"v4", "fish", "10.1.2.3:8001", []string{"fish"}, []string{"10.1.2.3"}},
		{"host", "fish", "fish.example.com:8001", []string{"fish", "fish.example.com"}, nil},
		{"v6", "fish", "[2001:db8::1]:8001", []string{"fish"}, []string{"2001:db8::1"}},
		{"bare v6", "fish", "2001:db8::1", []string{"fish"}, []string{"2001:db8::1"}},
		{"no port", "fish", "10.1.2.3", []string{"fish"}, []string{"10.1.2.3"}},
		{"name is an address", "10.1.2.3", "10.1.2.3:1", nil, []string{"10.1.2.3"}},
		{"same twice", "fish", "fish:1", []string{"fish"}, nil},
		{"port only", "fish", ":8001", []string{"fish"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := testOptions(t)
			o.NodeName, o.NodeAddress = tt.node, tt.address
			leaf := mustLoad(t, o).Certificate().Leaf
			var ips []string
			for _, ip := range leaf.IPAddresses {
				ips = append(ips, ip.String())
			}
			if diff := cmp.Diff(tt.dns, leaf.DNSNames); diff != "" {
				t.Errorf("DNS names (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.ips, ips); diff != "" {
				t.Errorf("IPs (-want +got):\n%s", diff)
			}
		})
	}
}

// TestAging starts a node again and again while its certificate grows old.
func TestAging(t *testing.T) {
	tests := []struct {
		name    string
		age     time.Duration
		missing []string
		renewed bool
		err     string
	}{
		{name: "young", age: 300 * day},
		{name: "ending", age: 340 * day, renewed: true},
		{name: "expired", age: 400 * day, renewed: true},
		{name: "ending without CA key", age: 340 * day, missing: []string{"ca.key"}},
		{name: "expired without CA key", age: 400 * day, missing: []string{"ca.key"}, err: "expired on"},
		{name: "expired, signed by another CA", age: 400 * day, missing: []string{"ca.key", "ca.crt"}, err: "not signed by the CA"},
		{name: "expired CA too", age: 4000 * day, err: "the CA certificate expired"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := testOptions(t)
			synctest.Test(t, func(t *testing.T) {
				first := mustLoad(t, o)
				remove(t, o, tt.missing...)
				time.Sleep(tt.age)
				id, err := LoadOrCreate(o)
				if tt.err != "" {
					if err == nil || !strings.Contains(err.Error(), tt.err) {
						t.Errorf("error = %v, want one about %q", err, tt.err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if got := id.NotAfter().After(first.NotAfter()); got != tt.renewed || id.UID != first.UID {
					t.Errorf("renewed %v, want %v; UID %s, want %s", got, tt.renewed, id.UID, first.UID)
				}
			})
		})
	}
}

func TestDamagedFiles(t *testing.T) {
	for _, name := range []string{"ca.key", "ca.crt", "node-1.key", "node-1.crt"} {
		t.Run(name, func(t *testing.T) {
			o := testOptions(t)
			mustLoad(t, o)
			if err := os.WriteFile(filepath.Join(o.Directory, name), []byte("nonsense"), 0o600); err != nil {
				t.Fatal(err)
			}
			before := contents(t, o.Directory)
			if _, err := LoadOrCreate(o); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("error = %v, want one that names %s", err, name)
			}
			if diff := cmp.Diff(before, contents(t, o.Directory)); diff != "" {
				t.Errorf("files changed (-before +after):\n%s", diff)
			}
		})
	}
}

func TestForeignPair(t *testing.T) {
	one, two := testOptions(t), testOptions(t)
	mustLoad(t, one)
	mustLoad(t, two)
	data := contents(t, two.Directory)["node-1.key"]
	if err := os.WriteFile(filepath.Join(one.Directory, "node-1.key"), []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadOrCreate(one); err == nil || !strings.Contains(err.Error(), "is not the key of") {
		t.Errorf("error = %v, want one about the pair", err)
	}
}

func TestEmptyName(t *testing.T) {
	if _, err := LoadOrCreate(Options{Directory: t.TempDir()}); err == nil {
		t.Error("LoadOrCreate without a node name succeeded")
	}
}

func TestWriteNewFileNeverReplaces(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ca.key")
	if err := durable.WriteNewFile(path, []byte("one"), modeKey); err != nil {
		t.Fatal(err)
	}
	if err := durable.WriteNewFile(path, []byte("two"), modeKey); !errors.Is(err, fs.ErrExist) {
		t.Errorf("second write: %v, want fs.ErrExist", err)
	}
	if got := contents(t, filepath.Dir(path)); len(got) != 1 || got["ca.key"] != "one" {
		t.Errorf("files = %q, want the first content alone", got)
	}
}

func TestNodeUID(t *testing.T) {
	// Computed elsewhere: SHA-256 over 16 zero bytes and the key, version
	// nibble 0, RFC 4122 variant (contract 20).
	const want = "feb3fd2b-37b7-0e8e-9820-8bd9f5683467"
	if got := NodeUID([]byte("key")).String(); got != want {
		t.Errorf("NodeUID = %s, want %s", got, want)
	}
}

func TestSSHKeyIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "node-1_id_ecdsa")
	first, err := LoadOrCreateSSHKey(path)
	if err != nil {
		t.Fatal(err)
	}
	second, err := LoadOrCreateSSHKey(path)
	if err != nil || !samePublic(first.Public(), second.Public()) {
		t.Errorf("second load: %v, another key", err)
	}
}

// TestChainIsServed shakes hands with a client that trusts the CA only.
func TestChainIsServed(t *testing.T) {
	o := testOptions(t)
	mustLoad(t, o)
	id := mustLoad(t, o) // from the files
	clientEnd, serverEnd := net.Pipe()
	server := tls.Server(serverEnd, id.ServerTLS())
	done := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	go func() { done <- server.HandshakeContext(ctx) }()
	client := tls.Client(clientEnd, &tls.Config{RootCAs: id.CAPool(), ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12})
	if err := client.HandshakeContext(ctx); err != nil {
		t.Fatalf("client handshake: %v", err)
	}
	if err := <-done; err != nil {
		t.Fatalf("server handshake: %v", err)
	}
	if got := len(client.ConnectionState().PeerCertificates); got != 2 {
		t.Errorf("%d certificates served, want the node's and the CA's", got)
	}
	_, _ = clientEnd.Close(), serverEnd.Close()
}
