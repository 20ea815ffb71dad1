package crypt

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// Bounds of a request for a certificate.
const (
	// maxRequest is its most bytes: a P-256 key and maxRequestNames names of 253 bytes fit.
	maxRequest = 12 << 10
	// maxRequestNames is the most DNS names and addresses: those of a machine with several networks.
	maxRequestNames = 32
)

// LoadOrCreateKey returns the node's key of a file, which is made with mode 0600 if absent.
func LoadOrCreateKey(path string) (crypto.Signer, error) {
	key, err := loadKey(path)
	if err != nil || key != nil {
		return key, err
	}
	return createKey(path)
}

// loopback4 and loopback6 are how environments and the command line on the machine reach its node. Who holds the CA's key
// signs for them when they come (addressed); who does not asks for them with the rest.
const (
	loopback4 = "127.0.0.1"
	loopback6 = "::1"
)

// NewRequest makes a request (PKCS #10, DER) for a certificate for the node's key: o says the names.
func NewRequest(o Options, key crypto.Signer) ([]byte, error) { return newRequest(o, key, nil) }

func newRequest(o Options, key crypto.Signer, old *x509.Certificate) ([]byte, error) {
	var names x509.Certificate
	for _, name := range append(o.wantedNames(old), loopback4, loopback6) {
		addName(&names, name)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject:  pkix.Name{CommonName: o.NodeName},
		DNSNames: names.DNSNames, IPAddresses: names.IPAddresses,
	}, key)
	if err != nil {
		return nil, fmt.Errorf("make certificate request: %w", err)
	}
	return der, nil
}

// Request is a checked request for a certificate.
type Request struct {
	Name      string   // of the node
	Names     []string // that the certificate is to stand for
	PublicKey []byte   // PKIX DER
	key       crypto.PublicKey
}

// UID is that of the node with the request's key.
func (r Request) UID() model.UID { return NodeUID(r.PublicKey) }

// ParseRequest checks a request: that its sender has the key, that the key is of the kind that nodes make, that there is
// nothing in it but names, and that those can stand in a certificate. Whether its sender may have these names is the
// caller's to decide. The error is for the sender.
func ParseRequest(der []byte) (Request, error) {
	csr, err := parseRequest(der)
	if err != nil {
		return Request{}, err
	}
	if key, ok := csr.PublicKey.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() {
		return Request{}, errors.New("certificate request: want an ECDSA P-256 key, as 'aquarium-fish cluster join' makes it")
	}
	return checkRequest(csr)
}

// ParseRenewal is ParseRequest for a node that has proved its key (PKIX DER) already: the request has to be for that
// one, of whatever kind it is.
func ParseRenewal(der, publicKey []byte) (Request, error) {
	csr, err := parseRequest(der)
	if err != nil {
		return Request{}, err
	}
	if !bytes.Equal(csr.RawSubjectPublicKeyInfo, publicKey) {
		return Request{}, errors.New("certificate request: it is for another key; a certificate is renewed for the key of the node that asks, " +
			"and for no other")
	}
	return checkRequest(csr)
}

func parseRequest(der []byte) (*x509.CertificateRequest, error) {
	if len(der) > maxRequest {
		return nil, fmt.Errorf("certificate request: %d bytes, want %d at most", len(der), maxRequest)
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, fmt.Errorf("certificate request: %w", err)
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, fmt.Errorf("certificate request: its sender does not have the key: %w", err)
	}
	return csr, nil
}

func checkRequest(csr *x509.CertificateRequest) (Request, error) {
	public, err := x509.MarshalPKIXPublicKey(csr.PublicKey) // encoded anew: one key can not pass for several
	if err != nil {
		return Request{}, fmt.Errorf("certificate request: %w", err)
	}
	r := Request{Name: csr.Subject.CommonName, PublicKey: public, key: csr.PublicKey}
	if r.Name == "" || len(csr.EmailAddresses) > 0 || len(csr.URIs) > 0 {
		return r, errors.New("certificate request: want the name of a node, its DNS names and addresses, and nothing else")
	}
	r.Names = append(r.Names, csr.DNSNames...)
	for _, ip := range csr.IPAddresses {
		r.Names = append(r.Names, ip.String())
	}
	if len(r.Names) > maxRequestNames {
		return r, fmt.Errorf("certificate request: %d names, want %d at most: shorten tls_names", len(r.Names), maxRequestNames)
	}
	host := regexp.MustCompile(`^(\*\.)?[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?$`)
	for _, name := range r.Names {
		if _, err := netip.ParseAddr(name); err != nil && name != r.Name && !host.MatchString(name) {
			return r, fmt.Errorf("certificate request: %q is no DNS name", short(name))
		}
	}
	return r, nil
}

// short cuts what another side sent, for a message.
func short(s string) string {
	const most = 60
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// Issue signs what a request asks for, with the newest CA whose key is here, and returns the node's certificate file. The
// caller has decided that the sender may have it.
func (id *Identity) Issue(r Request) ([]byte, error) {
	ca := id.now.Load().ca
	cert, err := ca.issueNode(r.Name, r.Names, r.key, time.Now())
	if err != nil {
		return nil, err
	}
	return nodeFile([]*x509.Certificate{cert, ca.cert}), nil
}

// NewKey makes a node key in memory alone: to try something out.
func NewKey() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }
