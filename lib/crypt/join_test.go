package crypt

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// joined is a node whose CA's key is elsewhere, and the holder of that.
func joined(t *testing.T) (holder *Identity, o Options) {
	t.Helper()
	holder = mustLoad(t, testOptions(t))
	o = testOptions(t)
	o.NodeName, o.Joins = "b", true
	key, err := LoadOrCreateKey(filepath.Join(o.Directory, "b.key"))
	if err != nil {
		t.Fatal(err)
	}
	if err := StoreMembership(o, holder.CAs(), issue(t, holder, requestOf(t, o, key))); err != nil {
		t.Fatal(err)
	}
	return holder, o
}

// requestOf is what a node asks for, as its signer reads it.
func requestOf(t *testing.T, o Options, key crypto.Signer) Request {
	t.Helper()
	der, err := NewRequest(o, key)
	if err != nil {
		t.Fatal(err)
	}
	r, err := ParseRequest(der)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func issue(t *testing.T, signer *Identity, r Request) []byte {
	t.Helper()
	file, err := signer.Issue(r)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func TestMembership(t *testing.T) {
	holder, o := joined(t)
	id := mustLoad(t, o)
	if id.ClusterUID() != holder.ClusterUID() || id.CanSign() == nil || holder.CanSign() != nil {
		t.Errorf("cluster %x and %x, can sign: %v and %v", id.ClusterUID(), holder.ClusterUID(), id.CanSign(), holder.CanSign())
	}
	if uid, err := verifyPeer(holder, []*x509.Certificate{id.Certificate().Leaf}); err != nil || uid != id.UID {
		t.Errorf("the holder knows it as %v, %v", uid, err)
	}
	if p, err := Look(o); err != nil || !p.Member || p.CAKey || !p.Key {
		t.Errorf("Look = %+v, %v", p, err)
	}
	stranger, _ := newCA(t)
	if err := StoreMembership(o, []*x509.Certificate{stranger}, contentsOf(t, o, "b.crt")); !errors.Is(err, ErrForeign) {
		t.Errorf("a certificate of another CA: %v", err)
	}
}

func contentsOf(t *testing.T, o Options, name string) []byte {
	t.Helper()
	return []byte(contents(t, o.Directory)[name])
}

// A node without the CA's key has its certificate renewed by one that has it, for the same key, and uses it at once.
func TestRenewalByAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		holder, o := joined(t)
		id := mustLoad(t, o)
		first := id.Certificate().Leaf
		var asked int
		var broken = errors.New("unreachable")
		time.Sleep(330 * day)
		if need, try := id.needsSigner(time.Now()); need || try {
			t.Error("asks with more than 30 days left")
		}
		time.Sleep(10 * day)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			done <- id.Run(ctx, func(_ context.Context, der []byte) ([]byte, error) {
				if asked++; broken != nil {
					return nil, broken
				}
				if err := holder.Refresh(); err != nil {
					return nil, err
				}
				r, err := ParseRenewal(der, id.PublicKey)
				if err != nil {
					return nil, err
				}
				return holder.Issue(r)
			})
		}()
		time.Sleep(4 * time.Hour)
		if asked != 4 || !id.Certificate().Leaf.Equal(first) {
			t.Errorf("asked %d times in 4 hours while nobody answered, want 4", asked)
		}
		broken = nil
		time.Sleep(2 * time.Hour)
		if !id.NotAfter().After(first.NotAfter) || !samePublic(first.PublicKey, id.Certificate().Leaf.PublicKey) {
			t.Errorf("certificate until %v, want a later one of the same key", id.NotAfter())
		}
		if diff := cmp.Diff(namesOf(first), namesOf(id.Certificate().Leaf)); diff != "" {
			t.Errorf("names (-before +after):\n%s", diff)
		}
		after := asked
		time.Sleep(4 * time.Hour)
		if asked != after {
			t.Errorf("asked %d times more with a new certificate", asked-after)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if again := mustLoad(t, o); !again.NotAfter().Equal(id.NotAfter()) {
			t.Errorf("the file has one until %v, want %v", again.NotAfter(), id.NotAfter())
		}
	})
}

func TestWhatIsNotAdopted(t *testing.T) {
	holder, o := joined(t)
	id := mustLoad(t, o)
	before := contents(t, o.Directory)
	stranger := mustLoad(t, testOptions(t))
	r := requestOf(t, id.opts, id.key)
	foreign := issue(t, stranger, r)
	r.Names = r.Names[:1]
	fewer := issue(t, holder, r)
	for name, tt := range map[string]struct {
		file []byte
		err  string
	}{
		"nonsense": {[]byte("x"), "no certificate"}, "of another cluster": {foreign, ErrForeign.Error()}, "with fewer names": {fewer, "lacks the names"},
		"of another key":  {nodeFile([]*x509.Certificate{holder.Certificate().Leaf}), "another key"},
		"the present one": {nodeFile([]*x509.Certificate{id.Certificate().Leaf}), "no better"},
	} {
		if err := id.adopt(tt.file); err == nil || !strings.Contains(err.Error(), tt.err) {
			t.Errorf("adopt one %s: %v, want %q", name, err, tt.err)
		}
	}
	if diff := cmp.Diff(before, contents(t, o.Directory)); diff != "" {
		t.Errorf("files (-before +after):\n%s", diff)
	}
}

// What an operator copies into the folder is used by new handshakes without a restart; nonsense changes nothing.
func TestRefresh(t *testing.T) {
	holder, o := joined(t)
	id := mustLoad(t, o)
	other, _ := newCA(t)
	first := id.Certificate().Leaf
	put(t, o, "ca.crt", EncodeBundle(append(slices.Clone(id.CAs()), other)))
	if err := id.Refresh(); err != nil || len(id.CAs()) != 2 || !id.Certificate().Leaf.Equal(first) {
		t.Errorf("a CA more: %v, %d CAs", err, len(id.CAs()))
	}
	for name, damage := range map[string][]byte{"ca.crt": []byte("x"), "b.crt": contentsOf(t, holder.opts, "node-1.crt"), "ca.key": []byte("x")} {
		good, was := contents(t, o.Directory)[name]
		put(t, o, name, damage)
		if err := id.Refresh(); err == nil || !id.Certificate().Leaf.Equal(first) || len(id.CAs()) != 2 {
			t.Errorf("damaged %s: error %v, want one and nothing changed", name, err)
		}
		if remove(t, o, name); was {
			put(t, o, name, []byte(good))
		}
	}
	put(t, o, "ca.key", contentsOf(t, holder.opts, "ca.key"))
	id.opts.Names = []string{"ci.example.com"}
	if err := id.Refresh(); err != nil || id.CanSign() != nil || id.Certificate().Leaf.VerifyHostname("ci.example.com") != nil {
		t.Errorf("with the CA's key: %v, can sign %v", err, id.CanSign())
	}
}

// verifyPeer checks what another node shows by the CAs of this one, and returns whose it is.
func verifyPeer(id *Identity, chain []*x509.Certificate) (model.UID, error) {
	if err := VerifyChain(chain, id.CAs(), time.Now()); err != nil {
		return model.NilUID, err
	}
	return NodeUID(chain[0].RawSubjectPublicKeyInfo), nil
}
