package link

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/crypt"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// identity is what a neighbour proved by its handshake.
type identity struct {
	node  model.UID
	name  string              // of the certificate, for people
	chain []*x509.Certificate // its certificate first
}

// String names the neighbour for people.
func (id identity) String() string { return fmt.Sprintf("%q (%s)", id.name, id.node) }

// identify checks a chain of certificates against the cluster's CAs: signed by
// one of them, and within its time. Names in it do not matter, nor what the
// certificate says that it is good for: a node is its key.
func identify(chain []*x509.Certificate, roots *x509.CertPool, now time.Time) (identity, *Refused) {
	if len(chain) == 0 {
		return identity{}, refuse(wire.CodeCertificate,
			"no certificate was shown: a node has to show the one that the cluster's CA signed for it")
	}
	leaf := chain[0]
	if err := crypt.Verify(chain, roots, now); err != nil {
		return identity{}, chainRefused(leaf, err, now)
	}
	node, err := nodeOf(leaf)
	if err != nil {
		return identity{}, asRefused(err, wire.CodeCertificate)
	}
	return identity{node: node, name: leaf.Subject.CommonName, chain: chain}, nil
}

// chainRefused says in words why a chain is not taken.
func chainRefused(leaf *x509.Certificate, err error, now time.Time) *Refused {
	name := leaf.Subject.CommonName
	switch {
	case now.After(leaf.NotAfter):
		return refuse(wire.CodeCertificate, "the certificate of %q expired on %s: "+
			"have it signed again by the cluster's CA and restart that node, or set its clock right", name, leaf.NotAfter.UTC().Format(time.DateTime))
	case now.Before(leaf.NotBefore):
		return refuse(wire.CodeCertificate, "the certificate of %q is valid from %s on only: "+
			"set the clocks of both nodes right", name, leaf.NotBefore.UTC().Format(time.DateTime))
	}
	if unknown := (x509.UnknownAuthorityError{}); errors.As(err, &unknown) {
		return refuse(wire.CodeCluster, "the certificate of %q was not signed by a CA that this cluster trusts: "+
			"join the node with `aquarium-fish cluster join`, or give both nodes the same ca.crt", name)
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Cert.IsCA { // the error says what to do
		return refuse(wire.CodeCertificate, "the certificate of %q is not valid: %v", name, err)
	}
	return refuse(wire.CodeCertificate, "the certificate of %q is not valid: %v; have it signed again by the cluster's CA", name, err)
}

// nodeOf returns the UID of the node whose key a certificate is for. The key
// is encoded anew, so that one key can not pass for several.
func nodeOf(cert *x509.Certificate) (model.UID, error) {
	public, err := x509.MarshalPKIXPublicKey(cert.PublicKey)
	if err != nil {
		return model.NilUID, fmt.Errorf("read key of certificate %q: %w", cert.Subject.CommonName, err)
	}
	return crypt.NodeUID(public), nil
}

// leafOf returns the certificate that a node shows, parsed.
func leafOf(own *tls.Certificate) (*x509.Certificate, error) {
	if own == nil || len(own.Certificate) == 0 {
		return nil, errors.New("read own certificate: there is none")
	}
	if own.Leaf != nil {
		return own.Leaf, nil
	}
	leaf, err := x509.ParseCertificate(own.Certificate[0])
	if err != nil {
		return nil, fmt.Errorf("read own certificate: %w", err)
	}
	return leaf, nil
}

// expect refuses a neighbour that is not the wanted one, if one is wanted.
func (id identity) expect(want *model.UID, where string) *Refused {
	if want == nil || id.node == *want {
		return nil
	}
	return refuse(wire.CodeKey, "at %s node %s was expected, but there is %s: "+
		"correct the address, or retire the old node if its key was replaced", where, *want, id)
}
