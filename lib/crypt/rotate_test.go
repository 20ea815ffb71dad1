package crypt

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// phase checks how far a rotation is.
func phase(t *testing.T, o Options, want RotationPhase, cas int) Rotation {
	t.Helper()
	r, err := LookRotation(o)
	if err != nil || r.Phase != want || len(r.CAs) != cas {
		t.Fatalf("phase %s with %d CAs, %v, want %s with %d", r.Phase, len(r.CAs), err, want, cas)
	}
	return r
}

// TestRotation goes through the steps on a node that signs, with one that does not beside it, and with each step done
// twice: at any time both trust both.
func TestRotation(t *testing.T) {
	holder, b := joined(t)
	o := holder.opts
	other := mustLoad(t, b)
	old := holder.CAs()[0]
	trusted := func(when string) {
		t.Helper()
		put(t, b, "ca.crt", contentsOf(t, o, "ca.crt")) // as the operator does
		if err := errors.Join(holder.Refresh(), other.Refresh()); err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		if _, err := verifyPeer(holder, []*x509.Certificate{other.Certificate().Leaf}); err != nil {
			t.Errorf("%s: the holder refuses the other: %v", when, err)
		}
		if _, err := verifyPeer(other, []*x509.Certificate{holder.Certificate().Leaf}); err != nil {
			t.Errorf("%s: the other refuses the holder: %v", when, err)
		}
	}
	renew := func() error {
		return other.renewBy(t.Context(), func(_ context.Context, der []byte) ([]byte, error) {
			r, err := ParseRenewal(der, other.PublicKey)
			if err != nil {
				return nil, err
			}
			return holder.Issue(r)
		})
	}

	phase(t, o, RotationNone, 1)
	for range 2 {
		if err := AddCA(o); err != nil {
			t.Fatal(err)
		}
	}
	r := phase(t, o, RotationAdded, 2)
	if !r.Signer.Equal(old) || !r.Own.Equal(old) {
		t.Error("the new CA signs although nobody may trust it yet")
	}
	trusted("added")
	if !holder.Issuer().Equal(old) {
		t.Error("the holder's certificate is of the new CA already")
	}
	if need, try := other.needsSigner(time.Now()); need || !try {
		t.Errorf("the other asks for a certificate: needs %v, tries %v", need, try)
	}
	if err := renew(); err == nil || !strings.Contains(err.Error(), "no better") {
		t.Errorf("renewed by the old CA: %v", err)
	}
	if err := DropOldCAs(o); err == nil || !strings.Contains(err.Error(), "still signs") {
		t.Errorf("dropped too early: %v", err)
	}

	for range 2 {
		if err := SignWithNewCA(o); err != nil {
			t.Fatal(err)
		}
	}
	phase(t, o, RotationSigning, 2)
	if err := DropOldCAs(o); err == nil || !strings.Contains(err.Error(), "own certificate") {
		t.Errorf("dropped with a certificate of the old CA: %v", err)
	}
	if err := AddCA(o); err == nil || !strings.Contains(err.Error(), "is not over") {
		t.Errorf("another one begun: %v", err)
	}
	trusted("signing")
	if holder.Issuer().Equal(old) {
		t.Error("the holder's certificate is of the old CA still")
	}
	if err := renew(); err != nil || other.Issuer().Equal(old) {
		t.Errorf("the other's certificate is not of the new CA: %v", err)
	}

	for range 2 {
		if err := DropOldCAs(o); err != nil {
			t.Fatal(err)
		}
	}
	r = phase(t, o, RotationNone, 1)
	if r.CAs[0].Equal(old) {
		t.Error("the old CA stayed")
	}
	if _, err := os.Stat(filepath.Join(o.Directory, "ca.key.old")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the old CA's key: %v", err)
	}
	trusted("dropped")
}

// A crash in the middle of a step leaves what the same step goes on from.
func TestRotationAfterACrash(t *testing.T) {
	o := testOptions(t)
	o, err := o.withPaths()
	if err != nil {
		t.Fatal(err)
	}
	mustLoad(t, o)
	_, next := newCA(t)
	put(t, o, "ca-next.key", keyPEM(t, next)) // the key was written, the certificate was not
	phase(t, o, RotationNone, 1)
	mustLoad(t, o)
	if err := AddCA(o); err != nil {
		t.Fatal(err)
	}
	if r := phase(t, o, RotationAdded, 2); !samePublic(r.CAs[1].PublicKey, next.Public()) {
		t.Error("another key was made")
	}
	put(t, o, "ca.key.old", contentsOf(t, o, "ca.key")) // the copy was made, the new key not put in place
	phase(t, o, RotationAdded, 2)
	if err := SignWithNewCA(o); err != nil {
		t.Fatal(err)
	}
	phase(t, o, RotationSigning, 2)
}

func TestRotationWhereItIsNot(t *testing.T) {
	_, o := joined(t)
	before := contents(t, o.Directory)
	if err := AddCA(o); err == nil || !strings.Contains(err.Error(), "is rotated where it is") {
		t.Errorf("add without the CA's key: %v", err)
	}
	if err := SignWithNewCA(o); err == nil || !strings.Contains(err.Error(), "rotate-ca add") {
		t.Errorf("sign without a new CA: %v", err)
	}
	if diff := cmp.Diff(before, contents(t, o.Directory)); diff != "" {
		t.Errorf("files (-before +after):\n%s", diff)
	}
	if _, err := LookRotation(testOptions(t)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a CA: %v", err)
	}
}

// A chain without its CA is served with it: who pins the CA has to see it.
func TestChainIsMadeWhole(t *testing.T) {
	o := pair(t, nodeUsages()...)
	id := mustLoad(t, o)
	if got := id.Certificate().Certificate; len(got) != 2 || !bytes.Equal(got[1], id.CAs()[0].Raw) {
		t.Errorf("%d certificates are served, want the node's and the CA's", len(got))
	}
	before := id.now.Load()
	if err := id.Refresh(); err != nil || id.now.Load() != before {
		t.Errorf("unchanged files are taken for others: %v", err)
	}
}
