package crypt

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/durable"
)

// authority are the CAs of the cluster, and the one of them that signs here.
type authority struct {
	cas     []*x509.Certificate // the oldest first
	cert    *x509.Certificate   // the newest whose key is here, or nil
	key     crypto.Signer       // nil where only the certificates are
	keyPath string
}

// caKeyPath is the CA certificate's path with its extension replaced.
func caKeyPath(certPath string) string {
	return strings.TrimSuffix(certPath, filepath.Ext(certPath)) + ".key"
}

// readAuthority reads the CAs of the folder; without any the error is fs.ErrNotExist.
func readAuthority(certPath string) (authority, error) {
	a := authority{keyPath: caKeyPath(certPath)}
	data, err := readIfPresent(certPath)
	if err != nil {
		return a, err
	}
	if a.key, err = loadKey(a.keyPath); err != nil {
		return a, err
	}
	if data == nil {
		return a, fmt.Errorf("read CA certificate %s: %w", certPath, fs.ErrNotExist)
	}
	if a.cas, err = ParseBundle(data); err != nil {
		return a, fmt.Errorf("read CA certificate %s: %w", certPath, err)
	}
	a.cert = newestOf(a.cas, a.key)
	return a, nil
}

// loadAuthority returns the CAs of the folder; where there is none one is made, unless the node joins others. A key that
// is there is never overwritten: a lost certificate is issued again for it.
func loadAuthority(o Options, now time.Time) (authority, bool, error) {
	a, err := readAuthority(o.CACert)
	if !errors.Is(err, fs.ErrNotExist) {
		return a, false, err
	}
	if o.Joins {
		return a, false, errNoCA(o)
	}
	if a.key == nil { // the key first: a crash in between leaves what we can go on from
		if a.key, err = createKey(a.keyPath); err != nil {
			return a, false, err
		}
	}
	if a.cert, err = issueAuthority(a.key, now); err != nil {
		return a, false, err
	}
	a.cas = []*x509.Certificate{a.cert}
	return a, true, durable.WriteFile(o.CACert, encodeCert(blockCert, a.cert.Raw), modeCert)
}

// errNoCA is for a node that is told to join others, whose CA it does not have: one that it made itself would be another
// cluster's.
func errNoCA(o Options) error {
	return fmt.Errorf("cluster_join is set, and the cluster's CA certificate %s is missing; either run 'aquarium-fish cluster invite %s' "+
		"with a node of the cluster that has ca.key, and 'aquarium-fish cluster join' here; or copy the cluster's ca.crt here together with "+
		"a pair signed by it, %s and %s; a node that begins a cluster of its own starts without cluster_join",
		o.CACert, o.NodeName, filepath.Base(o.TLSKey), filepath.Base(o.TLSCert))
}

func issueAuthority(key crypto.Signer, now time.Time) (*x509.Certificate, error) {
	template := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{Organization: []string{"Example Co CA"}, CommonName: "ClusterCA"},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.AddDate(10, 0, 0),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	return sign(template, template, key.Public(), key)
}

// nodeUsages are what a node's certificate is for: it answers, and it dials others.
func nodeUsages() []x509.ExtKeyUsage {
	return []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
}

// issueNode signs a certificate for the public key of a node, named after it. names are all that it is to stand for, DNS
// names and IP addresses.
func (a authority) issueNode(name string, names []string, key crypto.PublicKey, now time.Time) (*x509.Certificate, error) {
	if err := a.canSign(now); err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{Organization: []string{"Example Co Crt"}, CommonName: name},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.AddDate(1, 0, 0),
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           nodeUsages(),
	}
	if template.NotBefore.Before(a.cert.NotBefore) { // of a CA that was made just now
		template.NotBefore = a.cert.NotBefore
	}
	for _, host := range names {
		addName(template, host)
	}
	return sign(template, a.cert, key, a.key)
}

// issueAddress signs a certificate like the node's own one that names an IP
// address as well.
func (a authority) issueAddress(node *x509.Certificate, ip netip.Addr, key crypto.PublicKey) (*x509.Certificate, error) {
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: node.Subject, NotBefore: node.NotBefore, NotAfter: node.NotAfter,
		BasicConstraintsValid: true, KeyUsage: node.KeyUsage, ExtKeyUsage: node.ExtKeyUsage,
		DNSNames: slices.Clone(node.DNSNames), IPAddresses: slices.Clone(node.IPAddresses),
	}
	addName(template, ip.String())
	return sign(template, a.cert, key, a.key)
}

func (a authority) canSign(now time.Time) error {
	switch {
	case a.key == nil:
		return fmt.Errorf("cannot sign a node certificate: the CA key %s is missing; "+
			"copy it there from the node that made the CA, or place a complete node key and certificate", a.keyPath)
	case a.cert == nil:
		return fmt.Errorf("cannot sign a node certificate: %s is not the key of the CA certificate", a.keyPath)
	case now.Before(a.cert.NotBefore):
		return fmt.Errorf("cannot sign a node certificate: the CA certificate is valid from %s on only: set the clock right; if it is right, "+
			"that one was made while it was wrong: remove it to have it issued again for the same key", a.cert.NotBefore.UTC().Format(time.DateTime))
	case now.After(a.cert.NotAfter):
		return fmt.Errorf("cannot sign a node certificate: the CA certificate expired on %s; "+
			"remove it to have it issued again for the same key", a.cert.NotAfter.Format(time.DateOnly))
	}
	return nil
}
