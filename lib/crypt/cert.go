package crypt

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
)

const (
	blockCert = "CERTIFICATE"
	// blockCACert marks the CA in a node's certificate file (contract 3).
	// Common readers skip it, so we read it ourselves and serve the chain.
	blockCACert = "CA CERTIFICATE"

	// backdate lets a peer whose clock is behind use a fresh certificate.
	backdate = 5 * time.Minute
	// renewBefore is how long before its end a node's certificate is signed again.
	renewBefore = 30 * 24 * time.Hour
)

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

func sign(template, parent *x509.Certificate, key crypto.PublicKey, parentKey crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, parentKey)
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

// nodeFile is the layout of a node's certificate file (contract 3): the node's, then the CA.
func nodeFile(chain []*x509.Certificate) []byte {
	var b bytes.Buffer
	for i, cert := range chain {
		block := blockCert
		if i > 0 {
			block = blockCACert
		}
		b.Write(encodeCert(block, cert.Raw))
	}
	return b.Bytes()
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
