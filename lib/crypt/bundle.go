package crypt

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"
)

// maxCAs bounds a bundle: a rotation has two, a rotation that begins before the last one ended three.
const maxCAs = 8

// KeyHash is the SHA-256 of a certificate's public key (PKIX DER): what stays the same when a CA is issued again for its
// key. That of a cluster's first CA is the cluster's UID.
func KeyHash(cert *x509.Certificate) [sha256.Size]byte {
	return sha256.Sum256(cert.RawSubjectPublicKeyInfo)
}

// ParseBundle reads the CAs of a cluster from PEM: at least one, the oldest first.
func ParseBundle(data []byte) ([]*x509.Certificate, error) {
	cas, err := allCerts(data)
	if err != nil {
		return nil, err
	}
	unique := cas[:0:0]
	for _, ca := range cas {
		if !slices.ContainsFunc(unique, ca.Equal) {
			unique = append(unique, ca)
		}
	}
	if len(unique) > maxCAs {
		return nil, fmt.Errorf("%d CAs inside, want %d at most: remove those that signed nothing any more", len(unique), maxCAs)
	}
	return unique, nil
}

// EncodeBundle writes CAs as ParseBundle reads them.
func EncodeBundle(cas []*x509.Certificate) []byte {
	var b bytes.Buffer
	for _, ca := range cas {
		b.Write(encodeCert(blockCert, ca.Raw))
	}
	return b.Bytes()
}

// newestOf is the newest of the CAs that have this key, or nil.
func newestOf(cas []*x509.Certificate, key crypto.Signer) *x509.Certificate {
	if key == nil {
		return nil
	}
	for _, ca := range slices.Backward(cas) {
		if samePublic(key.Public(), ca.PublicKey) {
			return ca
		}
	}
	return nil
}

// signerOf is the CA that signed a certificate, perhaps by way of intermediate ones, or nil. Whether one of them has
// expired makes no difference here.
func signerOf(chain, cas []*x509.Certificate) *x509.Certificate {
	for _, ca := range slices.Backward(cas) {
		if chain[0].CheckSignatureFrom(ca) == nil {
			return ca
		}
		begin := chain[0].NotBefore // when both were valid, or it would not have been signed
		if ca.NotBefore.After(begin) {
			begin = ca.NotBefore
		}
		if Verify(chain, poolOf([]*x509.Certificate{ca}), begin) == nil {
			return ca
		}
	}
	return nil
}

// Verify checks a chain, the leaf first, against the CAs in roots, at a time. A certificate is good for a link whatever
// extended usages and names it has: those made by hand for a server are too, and a node is its key. The error is that of
// x509, or for people if it is the CA that has expired.
func Verify(chain []*x509.Certificate, roots *x509.CertPool, now time.Time) error {
	options := x509.VerifyOptions{
		Roots: roots, Intermediates: poolOf(chain[1:]), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	}
	_, err := chain[0].Verify(options)
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired && invalid.Cert.IsCA && now.After(invalid.Cert.NotAfter) {
		return fmt.Errorf("the CA %q that signed it expired on %s, and with it all that it signed: make another one where ca.key is "+
			"('aquarium-fish cluster rotate-ca'): %w", invalid.Cert.Subject.CommonName, invalid.Cert.NotAfter.UTC().Format(time.DateTime), err)
	}
	return err
}

func poolOf(certs []*x509.Certificate) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, c := range certs {
		pool.AddCert(c)
	}
	return pool
}

// ErrForeign is VerifyChain's for a certificate that no CA of the cluster signed.
var ErrForeign = errors.New("signed by no CA of this cluster")

// VerifyChain checks that one of the CAs signed a certificate, which comes first and may be followed by others on the
// way, and that it is valid now. Names make no difference: a node is known by its key (NodeUID). The error is for
// people; it is ErrForeign for what another CA signed.
func VerifyChain(chain, cas []*x509.Certificate, now time.Time) error {
	if len(chain) == 0 {
		return errors.New("no certificate was shown")
	}
	leaf := chain[0]
	if signerOf(chain, cas) == nil {
		return fmt.Errorf("certificate of %q: %w", leaf.Subject.CommonName, ErrForeign)
	}
	const day = "2006-01-02 15:04 MST"
	switch {
	case now.After(leaf.NotAfter):
		return fmt.Errorf("certificate of %q expired on %s", leaf.Subject.CommonName, leaf.NotAfter.Format(day))
	case now.Before(leaf.NotBefore):
		return fmt.Errorf("certificate of %q is not valid before %s: compare the clocks", leaf.Subject.CommonName, leaf.NotBefore.Format(day))
	}
	if err := Verify(chain, poolOf(cas), now); err != nil {
		return fmt.Errorf("certificate of %q: %w", leaf.Subject.CommonName, err)
	}
	return nil
}
