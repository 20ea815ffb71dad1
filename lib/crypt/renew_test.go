package crypt

import (
	"bytes"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestNamesAreAdded(t *testing.T) {
	for _, tt := range []struct {
		name        string
		first, then []string // tls_names of the first start and of the second
		want        []string // in the certificate after it
		signedAgain bool
	}{
		{"none", nil, nil, []string{"node-1", "127.0.0.1"}, false},
		{"at the first start", []string{"ci.example.com", "::1"}, []string{"ci.example.com", "::1"},
			[]string{"node-1", "ci.example.com", "127.0.0.1", "::1"}, false},
		{"a new one", nil, []string{"ci.example.com"}, []string{"node-1", "ci.example.com", "127.0.0.1"}, true},
		{"a new address", nil, []string{"10.0.0.7"}, []string{"node-1", "127.0.0.1", "10.0.0.7"}, true},
		{"one less is kept", []string{"a.example", "b.example"}, []string{"b.example"},
			[]string{"node-1", "a.example", "b.example", "127.0.0.1"}, false},
		{"another one beside", []string{"a.example"}, []string{"b.example"},
			[]string{"node-1", "b.example", "a.example", "127.0.0.1"}, true},
		{"only its case is new", []string{"a.example"}, []string{"A.Example"}, []string{"node-1", "a.example", "127.0.0.1"}, false},
		{"a wildcard", nil, []string{"*.example.com"}, []string{"node-1", "*.example.com", "127.0.0.1"}, true},
		{"a wildcard again", []string{"*.example.com"}, []string{"*.example.com", "ci.example.com"},
			[]string{"node-1", "*.example.com", "127.0.0.1"}, false},
		{"the node's own name", nil, []string{"node-1", "127.0.0.1"}, []string{"node-1", "127.0.0.1"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := testOptions(t)
			o.Names = tt.first
			before := mustLoad(t, o)
			old := contents(t, o.Directory)["node-1.crt"]
			o.Names = tt.then
			after := mustLoad(t, o)
			if diff := cmp.Diff(tt.want, namesOf(after.Certificate().Leaf)); diff != "" {
				t.Errorf("names (-want +got):\n%s", diff)
			}
			if after.UID != before.UID || !bytes.Equal(after.PublicKey, before.PublicKey) {
				t.Error("it is another key")
			}
			kept := contents(t, o.Directory)["node-1.crt.old"]
			if again := kept != ""; again != tt.signedAgain || again && kept != old {
				t.Errorf("the replaced certificate is kept: %v, want %v and unchanged", again, tt.signedAgain)
			}
			if third := mustLoad(t, o); !bytes.Equal(third.Certificate().Certificate[0], after.Certificate().Certificate[0]) {
				t.Error("it is signed at each start, want once")
			}
		})
	}
}

// Clients that come by an address without sending a name get a certificate that still has all names.
func TestNamesInCertificatesOfAddresses(t *testing.T) {
	o := testOptions(t)
	mustLoad(t, o)
	o.Names = []string{"ci.example.com", "10.0.0.7"}
	id := mustLoad(t, o)
	for ip, own := range map[string]bool{"10.0.0.7": true, "10.0.0.8": false} {
		cert := id.now.Load().addressed.forAddress(netip.MustParseAddr(ip))
		for _, name := range []string{ip, "ci.example.com", "node-1"} {
			if err := cert.Leaf.VerifyHostname(name); err != nil {
				t.Errorf("certificate for %s: %v", ip, err)
			}
		}
		if got := cert == &id.now.Load().addressed.node; got != own {
			t.Errorf("%s gets the node's own certificate: %v, want %v", ip, got, own)
		}
	}
}

func TestNamesThatCanNotBeAdded(t *testing.T) {
	var log bytes.Buffer
	o := testOptions(t)
	mustLoad(t, o)
	remove(t, o, "ca.key")
	before := contents(t, o.Directory)
	o.Names, o.Log = []string{"ci.example.com", "node-1"}, slog.New(slog.NewTextHandler(&log, nil))
	mustLoad(t, o)
	for _, want := range []string{"level=WARN", "missing=ci.example.com ", "copy the CA key here", "ca.key is missing"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("log = %s, want %q in it", log.String(), want)
		}
	}
	if diff := cmp.Diff(before, contents(t, o.Directory)); diff != "" {
		t.Errorf("files (-before +after):\n%s", diff)
	}
}

// A certificate of somebody else's CA is not ours to replace.
func TestForeignCertificateIsKept(t *testing.T) {
	var log bytes.Buffer
	o := testOptions(t)
	mustLoad(t, o)
	remove(t, o, "ca.key", "ca.crt") // the next start makes another CA
	before := contents(t, o.Directory)["node-1.crt"]
	o.Names, o.Log = []string{"ci.example.com"}, slog.New(slog.NewTextHandler(&log, nil))
	mustLoad(t, o)
	if contents(t, o.Directory)["node-1.crt"] != before || !strings.Contains(log.String(), "was not signed by the CA") {
		t.Errorf("it was replaced, or nobody was told why not: %s", log.String())
	}
}

// A certificate that ends is replaced by one with the names that it had.
func TestRenewalKeepsNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := testOptions(t)
		o.Names = []string{"ci.example.com"}
		first := mustLoad(t, o)
		time.Sleep(350 * day)
		o.Names = nil
		second := mustLoad(t, o)
		if got := namesOf(second.Certificate().Leaf); !second.NotAfter().After(first.NotAfter()) || !slices.Contains(got, "ci.example.com") {
			t.Errorf("renewed until %v with %v, want later and with ci.example.com", second.NotAfter(), got)
		}
	})
}

func TestCopyThatCanNotBeMade(t *testing.T) {
	o := testOptions(t)
	mustLoad(t, o)
	before := contents(t, o.Directory)["node-1.crt"]
	blocked := filepath.Join(o.Directory, "node-1.crt.old")
	if err := os.MkdirAll(filepath.Join(blocked, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	o.Names = []string{"ci.example.com"}
	if _, err := LoadOrCreate(o); err == nil {
		t.Error("no error, want one: the certificate would be lost")
	}
	if got, _ := os.ReadFile(filepath.Join(o.Directory, "node-1.crt")); string(got) != before {
		t.Error("it was replaced without a copy")
	}
}
