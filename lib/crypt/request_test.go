package crypt

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"slices"
	"testing"
)

// A key can be written in several ways that are all read as the same: a node that was retired, or another member's
// invitation, must not pass for a new key by that.
func TestOneKeyIsOneNode(t *testing.T) {
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	plain, err := NewRequest(Options{NodeName: "b", NodeAddress: "127.0.0.1:1"}, key)
	if err != nil {
		t.Fatal(err)
	}
	want, err := ParseRequest(plain)
	if err != nil {
		t.Fatal(err)
	}
	odd := oddlyWritten(t, plain, key)
	if csr, err := x509.ParseCertificateRequest(odd); err != nil || NodeUID(csr.RawSubjectPublicKeyInfo) == want.UID() {
		t.Fatalf("the key is not written in another way: %v", err)
	}
	if got, err := ParseRequest(odd); err != nil || got.UID() != want.UID() {
		t.Errorf("ParseRequest = %v, %v, want node %v", got.UID(), err, want.UID())
	}
}

// A joined node can not sign for the addresses that clients come by, so its certificate has to have those of its machine.
func TestRequestNamesLoopback(t *testing.T) {
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	der, err := NewRequest(Options{NodeName: "b", NodeAddress: "b.lab:8001"}, key)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseRequest(der)
	if want := []string{"b", "b.lab", "127.0.0.1", "::1"}; err != nil || !slices.Equal(got.Names, want) {
		t.Errorf("ParseRequest = %q, %v, want names %q", got.Names, err, want)
	}
}

// oddlyWritten adds to the description of a request's key what readers pass over.
func oddlyWritten(t *testing.T, der []byte, key crypto.Signer) []byte {
	t.Helper()
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		t.Fatal(err)
	}
	marshal := func(v any) []byte {
		out, err := asn1.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	var spki struct {
		Algorithm asn1.RawValue
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(csr.RawSubjectPublicKeyInfo, &spki); err != nil {
		t.Fatal(err)
	}
	spki.Algorithm.FullBytes = nil
	spki.Algorithm.Bytes = append(spki.Algorithm.Bytes, asn1.NullBytes...)
	body := marshal(struct {
		Version       int
		Subject, SPKI asn1.RawValue
		Attributes    []asn1.RawValue `asn1:"tag:0,set"`
	}{Subject: asn1.RawValue{FullBytes: csr.RawSubject}, SPKI: asn1.RawValue{FullBytes: marshal(spki)}})
	sum := sha256.Sum256(body)
	signature, err := key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return marshal(struct {
		Body      asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}{asn1.RawValue{FullBytes: body}, pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}}, asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)}})
}
