package crypt

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/lib/durable"
)

// newCA makes a CA and its key.
func newCA(t *testing.T) (*x509.Certificate, crypto.Signer) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := issueAuthority(key, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return ca, key
}

// put writes a file of the folder.
func put(t *testing.T, o Options, name string, data []byte) {
	t.Helper()
	if err := durable.WriteFile(filepath.Join(o.Directory, name), data, modeKey); err != nil {
		t.Fatal(err)
	}
}

func keyPEM(t *testing.T, key crypto.Signer) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := storeKey(path, blockKey, der); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestWhichCASigns(t *testing.T) {
	old, oldKey := newCA(t)
	young, youngKey := newCA(t)
	_, strangeKey := newCA(t)
	for _, tt := range []struct {
		name   string
		bundle []*x509.Certificate
		key    crypto.Signer
		want   *x509.Certificate
		err    string
	}{
		{"alone", []*x509.Certificate{old}, oldKey, old, ""},
		{"the older one has its key here", []*x509.Certificate{old, young}, oldKey, old, ""},
		{"the newer one has its key here", []*x509.Certificate{old, young}, youngKey, young, ""},
		{"no key", []*x509.Certificate{old, young}, nil, nil, "ca.key is missing"},
		{"a key of neither", []*x509.Certificate{old, young}, strangeKey, nil, "is not the key of the CA certificate"},
		{"one twice", []*x509.Certificate{old, old, young}, oldKey, old, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := testOptions(t)
			put(t, o, "ca.crt", EncodeBundle(tt.bundle))
			if tt.key != nil {
				put(t, o, "ca.key", keyPEM(t, tt.key))
			}
			id, err := LoadOrCreate(o)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("error = %v, want one with %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := id.Certificate().Leaf.CheckSignatureFrom(tt.want); err != nil {
				t.Errorf("another CA signed: %v", err)
			}
			if got, want := id.ClusterUID(), sha256.Sum256(old.RawSubjectPublicKeyInfo); got != want {
				t.Errorf("ClusterUID() = %x, want that of the oldest CA, %x", got, want)
			}
			for _, ca := range []*x509.Certificate{old, young} {
				member := slices.ContainsFunc(tt.bundle, ca.Equal)
				if got := slices.ContainsFunc(id.CAs(), ca.Equal); got != member {
					t.Errorf("CAs() has it: %v, want %v", got, member)
				}
			}
		})
	}
}

func TestTooManyCAs(t *testing.T) {
	var cas []*x509.Certificate
	for range maxCAs + 1 {
		ca, _ := newCA(t)
		cas = append(cas, ca)
	}
	if _, err := ParseBundle(EncodeBundle(cas)); err == nil || !strings.Contains(err.Error(), "9 CAs") {
		t.Errorf("error = %v, want one that counts them", err)
	}
	if got, err := ParseBundle(EncodeBundle(cas[1:])); err != nil || len(got) != maxCAs {
		t.Errorf("%d CAs, %v, want %d", len(got), err, maxCAs)
	}
}

// A node that is told to join makes no CA, whatever else is there, and says how to get one.
func TestJoiningWithoutCA(t *testing.T) {
	for _, left := range [][]string{nil, {"ca.key"}, {"ca.key", "node-1.key", "node-1.crt"}, {"node-1.key", "node-1.crt"}} {
		t.Run(strings.Join(left, " "), func(t *testing.T) {
			o := testOptions(t)
			mustLoad(t, o)
			for name := range contents(t, o.Directory) {
				if !slices.Contains(left, name) {
					remove(t, o, name)
				}
			}
			before := contents(t, o.Directory)
			o.Joins = true
			_, err := LoadOrCreate(o)
			for _, want := range []string{"cluster_join", "cluster invite node-1", "cluster join", "ca.crt", "node-1.key"} {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error = %v, want %q in it", err, want)
				}
			}
			if diff := cmp.Diff(before, contents(t, o.Directory)); diff != "" {
				t.Errorf("files (-before +after):\n%s", diff)
			}
		})
	}
}

func TestJoiningWithAForeignPair(t *testing.T) {
	o := testOptions(t)
	mustLoad(t, o)
	other, _ := newCA(t)
	remove(t, o, "ca.key")
	put(t, o, "ca.crt", EncodeBundle([]*x509.Certificate{other}))
	var log bytes.Buffer
	o.Log = slog.New(slog.NewTextHandler(&log, nil))
	mustLoad(t, o)
	if !strings.Contains(log.String(), "was not signed by the CA") {
		t.Errorf("log of a node alone: %s", log.String())
	}
	o.Joins = true
	if _, err := LoadOrCreate(o); err == nil || !strings.Contains(err.Error(), "was not signed by the CA") || !strings.Contains(err.Error(), "cluster invite node-1") {
		t.Errorf("error = %v, want one that says what to do", err)
	}
}

// pair is a node pair made by hand.
func pair(t *testing.T, usages ...x509.ExtKeyUsage) Options {
	t.Helper()
	o := testOptions(t)
	ca, caKey := newCA(t)
	_, key := newCA(t)
	leaf, err := sign(&x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "node-1"}, NotBefore: ca.NotBefore, NotAfter: time.Now().AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: usages, DNSNames: []string{"node-1"},
	}, ca, key.Public(), caKey)
	if err != nil {
		t.Fatal(err)
	}
	put(t, o, "ca.crt", EncodeBundle([]*x509.Certificate{ca}))
	put(t, o, "ca.key", keyPEM(t, caKey))
	put(t, o, "node-1.key", keyPEM(t, key))
	put(t, o, "node-1.crt", nodeFile([]*x509.Certificate{leaf}))
	return o
}

// A pair made by hand for a server is an identity on links as it is, and gets both usages where they can be signed.
func TestUsages(t *testing.T) {
	server, client := x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth
	for _, tt := range []struct {
		name   string
		usages []x509.ExtKeyUsage
		again  bool
	}{
		{"both", []x509.ExtKeyUsage{server, client}, false}, {"server", []x509.ExtKeyUsage{server}, true},
		{"client", []x509.ExtKeyUsage{client}, true}, {"none is all", nil, false}, {"any", []x509.ExtKeyUsage{x509.ExtKeyUsageAny}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := pair(t, tt.usages...)
			caKey := contents(t, o.Directory)["ca.key"]
			remove(t, o, "ca.key")
			without := mustLoad(t, o)
			if uid, err := verifyPeer(without, []*x509.Certificate{without.Certificate().Leaf}); err != nil || uid != without.UID {
				t.Errorf("verifyPeer = %v, %v, want the node", uid, err)
			}
			put(t, o, "ca.key", []byte(caKey))
			with := mustLoad(t, o)
			if again := !with.Certificate().Leaf.Equal(without.Certificate().Leaf); again != tt.again || with.UID != without.UID {
				t.Errorf("signed again: %v, want %v, by the same key", again, tt.again)
			}
		})
	}
}

func TestVerifyChain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, other := mustLoad(t, testOptions(t)), mustLoad(t, testOptions(t))
		leaf := []*x509.Certificate{ours.Certificate().Leaf}
		if uid, err := verifyPeer(ours, leaf); err != nil || uid != ours.UID {
			t.Errorf("verifyPeer = %v, %v", uid, err)
		}
		if _, err := verifyPeer(other, leaf); !errors.Is(err, ErrForeign) {
			t.Errorf("of another cluster: %v, want ErrForeign", err)
		}
		if _, err := verifyPeer(ours, nil); err == nil || !strings.Contains(err.Error(), "no certificate") {
			t.Errorf("without: %v", err)
		}
		time.Sleep(367 * day)
		if _, err := verifyPeer(ours, leaf); err == nil || !strings.Contains(err.Error(), "expired on") {
			t.Errorf("expired: %v", err)
		}
	})
}

func TestRequests(t *testing.T) {
	o := testOptions(t)
	id := mustLoad(t, o)
	_, p256 := newCA(t)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	request := func(key crypto.Signer, change func(*x509.CertificateRequest)) []byte {
		template := &x509.CertificateRequest{Subject: pkix.Name{CommonName: "b"}, DNSNames: []string{"b", "ci.example.com"}}
		change(template)
		der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	plain := func(*x509.CertificateRequest) {}
	forged := request(p256, plain)
	forged[len(forged)-1] ^= 1
	for _, tt := range []struct {
		name string
		der  []byte
		err  string
	}{
		{"good", request(p256, plain), ""},
		{"a wildcard", request(p256, func(r *x509.CertificateRequest) { r.DNSNames = []string{"*.example.com"} }), ""},
		{"another curve", request(p384, plain), "P-256"},
		{"another kind", request(ed, plain), "P-256"},
		{"not its key", forged, "does not have the key"},
		{"nonsense", []byte("nonsense"), "certificate request: "},
		{"nothing", nil, "certificate request: "},
		{"too large", bytes.Repeat([]byte{'x'}, maxRequest+1), "want 12288 at most"},
		{"no name", request(p256, func(r *x509.CertificateRequest) { r.Subject.CommonName = "" }), "the name of a node"},
		{"an e-mail address", request(p256, func(r *x509.CertificateRequest) { r.EmailAddresses = []string{"a@b.c"} }), "nothing else"},
		{"a URI", request(p256, func(r *x509.CertificateRequest) { r.URIs = []*url.URL{{Scheme: "spiffe", Host: "x"}} }), "nothing else"},
		{"a bad DNS name", request(p256, func(r *x509.CertificateRequest) { r.DNSNames = []string{"a b"} }), `"a b" is no DNS name`},
		{"too many names", request(p256, func(r *x509.CertificateRequest) {
			for i := range maxRequestNames + 1 {
				r.DNSNames = append(r.DNSNames, fmt.Sprint("n", i))
			}
		}), "32 at most"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := ParseRequest(tt.der)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("error = %v, want one with %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			chain, err := allCerts(issue(t, id, r))
			if err != nil || VerifyChain(chain, id.CAs(), time.Now()) != nil {
				t.Fatalf("what was issued is not good: %v", err)
			}
			if diff := cmp.Diff(r.Names, namesOf(chain[0])); diff != "" || chain[0].Subject.CommonName != "b" || chain[0].IsCA {
				t.Errorf("%v of %v, CA %v (-asked +issued):\n%s", chain[0].Subject, r, chain[0].IsCA, diff)
			}
		})
	}
	if _, err := ParseRenewal(request(p384, plain), id.PublicKey); err == nil || !strings.Contains(err.Error(), "another key") {
		t.Errorf("renewal of another key: %v", err)
	}
}
