package crypt

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/durable"
)

// StoreMembership writes what a node got from the cluster that it joins: the CAs first, so that a node that starts after
// a crash in between makes none of its own, then the certificate. Files that are there are replaced.
func StoreMembership(o Options, bundle []*x509.Certificate, chain []byte) error {
	o, err := o.withPaths()
	if err != nil {
		return err
	}
	certs, err := allCerts(chain)
	if err != nil {
		return fmt.Errorf("check certificate: %w", err)
	}
	key, err := loadKey(o.TLSKey)
	if err != nil {
		return err
	}
	if key == nil || !samePublic(key.Public(), certs[0].PublicKey) {
		return fmt.Errorf("check certificate: it is not for the key %s", o.TLSKey)
	}
	if err := VerifyChain(certs, bundle, time.Now()); err != nil {
		return fmt.Errorf("check certificate: %w", err)
	}
	if err := durable.WriteFile(o.CACert, EncodeBundle(bundle), modeCert); err != nil {
		return err
	}
	return durable.WriteFile(o.TLSCert, nodeFile(certs), modeCert)
}

// Present says which files of an identity a folder holds.
type Present struct {
	CAs    []*x509.Certificate // nil: no ca.crt
	CAKey  bool
	Key    bool
	Chain  []*x509.Certificate // nil: no certificate
	Member bool                // the pair is whole, and one of CAs signed it
}

// Look reads which files of an identity are there, and makes nothing.
func Look(o Options) (Present, error) {
	o, err := o.withPaths()
	if err != nil {
		return Present{}, err
	}
	var p Present
	ca, err := readAuthority(o.CACert)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return p, err
	}
	p.CAs, p.CAKey = ca.cas, ca.key != nil
	key, err := loadKey(o.TLSKey)
	if err != nil {
		return p, err
	}
	p.Key = key != nil
	if p.Chain, err = readChain(o.TLSCert); err != nil {
		return p, err
	}
	p.Member = p.Key && p.Chain != nil && samePublic(key.Public(), p.Chain[0].PublicKey) && signerOf(p.Chain, p.CAs) != nil
	return p, nil
}
