package crypt

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/durable"
)

const (
	blockCert = "CERTIFICATE"
	// blockCACert marks the CA in a node's certificate file (contract 3).
	// Common readers skip it, so we read it ourselves and serve the chain.
	blockCACert = "CA CERTIFICATE"

	// backdate lets a peer whose clock is behind use a fresh certificate.
	backdate = 5 * time.Minute
	// renewBefore is when a node's certificate is signed again at start.
	renewBefore = 30 * 24 * time.Hour
)

// authority is the cluster CA. key is nil where only the certificate is.
type authority struct {
	cert    *x509.Certificate
	key     crypto.Signer
	keyPath string
}

// caKeyPath is the CA certificate's path with its extension replaced.
func caKeyPath(certPath string) string {
	return strings.TrimSuffix(certPath, filepath.Ext(certPath)) + ".key"
}

// loadAuthority returns the CA of the folder, made if absent. A key that is
// there is never overwritten: a lost certificate is issued again for it.
func loadAuthority(certPath string, now time.Time) (authority, bool, error) {
	a := authority{keyPath: caKeyPath(certPath)}
	data, err := readIfPresent(certPath)
	if err != nil {
		return a, false, err
	}
	if a.key, err = loadKey(a.keyPath); err != nil {
		return a, false, err
	}
	if data != nil {
		if a.cert, err = firstCert(data); err != nil {
			return a, false, fmt.Errorf("read CA certificate %s: %w", certPath, err)
		}
		return a, false, nil
	}
	if a.key == nil { // the key first: a crash in between leaves what we can go on from
		if a.key, err = createKey(a.keyPath); err != nil {
			return a, false, err
		}
	}
	if a.cert, err = issueAuthority(a.key, now); err != nil {
		return a, false, err
	}
	return a, true, durable.WriteFile(certPath, encodeCert(blockCert, a.cert.Raw), modeCert)
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
	return sign(template, template, key, key)
}

// issueNode signs a certificate for the node's key, named after the node. names are all that it is to stand for, DNS
// names and IP addresses.
func (a authority) issueNode(name string, names []string, key crypto.Signer, now time.Time) (*x509.Certificate, error) {
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
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, host := range names {
		addName(template, host)
	}
	return sign(template, a.cert, key, a.key)
}

// issueAddress signs a certificate like the node's own one that names an IP
// address as well.
func (a authority) issueAddress(node *x509.Certificate, ip netip.Addr, key crypto.Signer) (*x509.Certificate, error) {
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
	case !samePublic(a.key.Public(), a.cert.PublicKey):
		return fmt.Errorf("cannot sign a node certificate: %s is not the key of the CA certificate", a.keyPath)
	case now.After(a.cert.NotAfter):
		return fmt.Errorf("cannot sign a node certificate: the CA certificate expired on %s; "+
			"remove it to have it issued again for the same key", a.cert.NotAfter.Format(time.DateOnly))
	}
	return nil
}

// addName adds a SAN: an IP if it parses as one, else a DNS name.
func addName(c *x509.Certificate, host string) {
	if host == "" || slices.ContainsFunc(c.DNSNames, func(s string) bool { return strings.EqualFold(s, host) }) {
		return
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		c.DNSNames = append(c.DNSNames, host)
		return
	}
	raw := net.IP(ip.AsSlice())
	if !slices.ContainsFunc(c.IPAddresses, raw.Equal) {
		c.IPAddresses = append(c.IPAddresses, raw)
	}
}

// hostOf returns the host of host:port. It knows [v6]:port and a bare v6.
func hostOf(address string) string {
	if host, _, err := net.SplitHostPort(address); err == nil {
		return host
	}
	return strings.Trim(address, "[]")
}

func sign(template, parent *x509.Certificate, key, parentKey crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		return nil, fmt.Errorf("sign certificate of %q: %w", template.Subject.CommonName, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("read back certificate: %w", err)
	}
	return cert, nil
}

func serial() *big.Int {
	var b [16]byte
	_, _ = rand.Read(b[:])
	b[0] &= 0x7f // positive in 16 bytes
	return new(big.Int).SetBytes(b[:])
}

func samePublic(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}

func encodeCert(block string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: block, Bytes: der})
}

// nodeFile is the layout of a node's certificate file (contract 3).
func nodeFile(node, ca *x509.Certificate) []byte {
	return bytes.Join([][]byte{encodeCert(blockCert, node.Raw), encodeCert(blockCACert, ca.Raw)}, nil)
}

func firstCert(data []byte) (*x509.Certificate, error) {
	certs, err := allCerts(data)
	if err != nil {
		return nil, err
	}
	return certs[0], nil
}

// allCerts returns every certificate of a PEM text in order, of either block
// type, and at least one.
func allCerts(data []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != blockCert && block.Type != blockCACert {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, errors.New("no certificate in PEM form inside")
	}
	return certs, nil
}
