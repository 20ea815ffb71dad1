package crypt

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/durable"
)

// RotationPhase is how far the replacement of the cluster's CA has come on a node. It follows from the files alone.
type RotationPhase string

// The phases, in their order.
const (
	RotationNone    RotationPhase = "none"    // one CA, which signs
	RotationAdded   RotationPhase = "added"   // the new CA is trusted, the old one signs
	RotationSigning RotationPhase = "signing" // the new CA signs, the old one is trusted
)

// Rotation is the state of a replacement of the CA.
type Rotation struct {
	Phase RotationPhase
	CAs   []*x509.Certificate // the oldest first
	// Signer is the one of CAs that signs here; nil without its key.
	Signer *x509.Certificate
	// Own is the one that signed this node's certificate, nil if none did.
	Own *x509.Certificate
}

// nextKeyPath is where the key of the new CA waits until it may sign.
func nextKeyPath(certPath string) string {
	return strings.TrimSuffix(certPath, filepath.Ext(certPath)) + "-next.key"
}

// LookRotation tells how far a replacement has come. It makes nothing.
func LookRotation(o Options) (Rotation, error) {
	o, err := o.withPaths()
	if err != nil {
		return Rotation{}, err
	}
	ca, err := readAuthority(o.CACert)
	if errors.Is(err, fs.ErrNotExist) {
		return Rotation{}, fmt.Errorf("there is no CA to rotate: start the node once, or name its folder: %w", err)
	}
	if err != nil {
		return Rotation{}, err
	}
	r := Rotation{Phase: RotationNone, CAs: ca.cas, Signer: ca.cert}
	next, err := loadKey(nextKeyPath(o.CACert))
	if err != nil {
		return r, err
	}
	switch {
	case next != nil && newestOf(ca.cas, next) != nil && (ca.key == nil || !samePublic(next.Public(), ca.key.Public())):
		r.Phase = RotationAdded
	case len(ca.cas) > 1 && ca.cert != nil && ca.cert.Equal(ca.cas[len(ca.cas)-1]):
		r.Phase = RotationSigning
	case len(ca.cas) > 1: // a node that does not sign is told by others
		r.Phase = RotationAdded
	}
	chain, err := readChain(o.TLSCert)
	if err == nil && chain != nil {
		r.Own = signerOf(chain, ca.cas)
	}
	return r, err
}

// AddCA makes a new CA beside the one that there is: from then on this node trusts both, and the old one signs. Done
// before it does nothing; after a crash it goes on.
func AddCA(o Options) error {
	o, err := o.withPaths()
	if err != nil {
		return err
	}
	r, err := LookRotation(o)
	if err != nil || r.Phase == RotationAdded {
		return err
	}
	if r.Phase == RotationSigning {
		return errors.New("the rotation before is not over: drop the old CA first, with 'aquarium-fish cluster rotate-ca drop'")
	}
	if r.Signer == nil {
		return fmt.Errorf("the key of the CA, %s, is not here: the CA is rotated where it is", caKeyPath(o.CACert))
	}
	key, err := LoadOrCreateKey(nextKeyPath(o.CACert)) // the key first: a crash in between leaves what the next try takes up
	if err != nil {
		return err
	}
	ca, err := issueAuthority(key, time.Now())
	if err != nil {
		return err
	}
	return durable.WriteFile(o.CACert, EncodeBundle(append(r.CAs[:len(r.CAs):len(r.CAs)], ca)), modeCert)
}

// SignWithNewCA lets the new CA sign from now on. Every node has to trust it before.
func SignWithNewCA(o Options) error {
	o, err := o.withPaths()
	if err != nil {
		return err
	}
	r, err := LookRotation(o)
	if err != nil || r.Phase == RotationSigning {
		return err
	}
	next, err := readIfPresent(nextKeyPath(o.CACert))
	if err != nil {
		return err
	}
	if next == nil {
		return errors.New("there is no new CA whose key is here: begin with 'aquarium-fish cluster rotate-ca add'")
	}
	old, err := readIfPresent(caKeyPath(o.CACert))
	if err != nil {
		return err
	}
	if old != nil {
		if err := durable.WriteFile(caKeyPath(o.CACert)+oldSuffix, old, modeKey); err != nil {
			return err
		}
	}
	return durable.Rename(nextKeyPath(o.CACert), caKeyPath(o.CACert))
}

// DropOldCAs trusts the newest CA alone from now on, and removes the key of the one before. Every node has to have a
// certificate of the newest before; of this one that is checked.
func DropOldCAs(o Options) error {
	o, err := o.withPaths()
	if err != nil {
		return err
	}
	r, err := LookRotation(o)
	if err != nil {
		return err
	}
	newest := r.CAs[len(r.CAs)-1]
	switch {
	case r.Phase == RotationAdded && r.Signer != nil:
		return errors.New("the old CA still signs: 'aquarium-fish cluster rotate-ca sign' comes first")
	case r.Own == nil || !r.Own.Equal(newest):
		return errors.New("this node's own certificate was signed by the CA that is to go: let the node run for two minutes, or start it once, " +
			"with the key of the new CA, or have it renewed, and try again")
	}
	if len(r.CAs) > 1 {
		if err := durable.WriteFile(o.CACert, EncodeBundle([]*x509.Certificate{newest}), modeCert); err != nil {
			return err
		}
	}
	return durable.Remove(caKeyPath(o.CACert) + oldSuffix)
}
