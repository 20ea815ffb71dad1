package farm

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Authority is the CA of a farm, in the files that nodes read. The test makes
// it, so that it can sign what no node would.
type Authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewAuthority makes a CA as a node's first start does (contract 3).
func NewAuthority(t testing.TB) *Authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial(t), Subject: pkix.Name{Organization: []string{"Example Co CA"}, CommonName: "ClusterCA"},
		NotBefore: time.Now().AddDate(-2, 0, 0), NotAfter: time.Now().AddDate(10, 0, 0), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	cert, err := sign(template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &Authority{cert, key}
}

// LoadAuthority reads the CA that a node made.
func LoadAuthority(t testing.TB, folder string) *Authority {
	t.Helper()
	key, err := readKey(filepath.Join(folder, "ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(folder, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		t.Fatalf("%s/ca.crt is no PEM", folder)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return &Authority{cert, key}
}

func sign(template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		return nil, fmt.Errorf("sign certificate: %w", err)
	}
	return x509.ParseCertificate(der)
}

func serial(t testing.TB) *big.Int {
	t.Helper()
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// write puts ca.crt and ca.key into the node's folder: it signs its own
// certificate.
func (a *Authority) write(folder string) error {
	err := writePEM(filepath.Join(folder, "ca.crt"), 0o644, &pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		return err
	}
	return writePEM(filepath.Join(folder, "ca.key"), 0o600, &pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func writePEM(path string, mode os.FileMode, blocks ...*pem.Block) error {
	var text []byte
	for _, b := range blocks {
		text = append(text, pem.EncodeToMemory(b)...)
	}
	return os.WriteFile(path, text, mode)
}

// Certify gives a node that does not run a certificate of this CA for the key
// that it has, or for a new one, good in the given span. The node can not renew
// it: it loses ca.key.
func (a *Authority) Certify(m *Member, from, to time.Time) {
	m.t.Helper()
	folder := filepath.Join(m.Dir, "fish_data")
	key, err := nodeKey(filepath.Join(folder, m.Name+".key"))
	if err != nil {
		m.t.Fatal(err)
	}
	host, _, err := net.SplitHostPort(m.Address)
	if err != nil {
		m.t.Fatal(err)
	}
	cert, err := sign(&x509.Certificate{
		SerialNumber: serial(m.t), Subject: pkix.Name{Organization: []string{"Example Co Crt"}, CommonName: m.Name},
		NotBefore: from, NotAfter: to, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:    []string{m.Name}, IPAddresses: []net.IP{net.ParseIP(host)},
	}, a.cert, key.Public(), a.key)
	if err != nil {
		m.t.Fatal(err)
	}
	err = writePEM(filepath.Join(folder, m.Name+".crt"), 0o644,
		&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}, &pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
	if err != nil {
		m.t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(folder, "ca.key")); err != nil && !errors.Is(err, os.ErrNotExist) {
		m.t.Fatal(err)
	}
}

// nodeKey reads the node's key, or makes it.
func nodeKey(path string) (*ecdsa.PrivateKey, error) {
	if key, err := readKey(path); !errors.Is(err, os.ErrNotExist) {
		return key, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, writePEM(path, 0o600, &pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func readKey(path string) (*ecdsa.PrivateKey, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("read key %s: no PEM", path)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read key %s: %w", path, err)
	}
	private, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("read key %s: it is a %T", path, key)
	}
	return private, nil
}
