package crypt

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/durable"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// Options say whose identity to load and where its files are. Relative paths
// are below Directory; empty ones have the names of contract 3.
type Options struct {
	Directory   string
	NodeName    string   // required
	NodeAddress string   // host:port that others reach the node by
	Names       []string // DNS names and IP addresses that the certificate has to name besides
	TLSKey      string   // <NodeName>.key
	TLSCert     string   // <NodeName>.crt
	CACert      string   // ca.crt; the CA key is beside it, with the extension .key
	Log         *slog.Logger
}

// withPaths returns the options with every path filled in.
func (o Options) withPaths() (Options, error) {
	if o.NodeName == "" {
		return o, errors.New("node name is empty")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	for _, p := range []struct {
		path *string
		name string
	}{{&o.TLSKey, o.NodeName + ".key"}, {&o.TLSCert, o.NodeName + ".crt"}, {&o.CACert, "ca.crt"}} {
		if *p.path == "" {
			*p.path = p.name
		}
		if !filepath.IsAbs(*p.path) {
			*p.path = filepath.Join(o.Directory, *p.path)
		}
	}
	return o, nil
}

// Identity is what a node proves itself with.
type Identity struct {
	UID         model.UID       // follows from PublicKey
	PublicKey   []byte          // PKIX DER
	Certificate tls.Certificate // the node's, then the chain to the CA
	CA          *x509.Certificate
	NotAfter    time.Time // when Certificate expires

	addressed *addressed
}

// LoadOrCreate returns the node's identity from its files. What is missing is
// made, what is there is kept (contract 3). A certificate with less than 30
// days left, or without one of the Names, is signed again for the same key,
// where the CA key is at hand; it keeps the names that it had.
func LoadOrCreate(o Options) (*Identity, error) {
	o, err := o.withPaths()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	ca, created, err := loadAuthority(o.CACert, now)
	if err != nil {
		return nil, fmt.Errorf("load cluster CA: %w", err)
	}
	if created {
		o.Log.Info("cluster CA certificate created", "path", o.CACert)
	}
	key, chain, err := loadNode(o, ca, now)
	if err != nil {
		return nil, fmt.Errorf("load node identity: %w", err)
	}
	return newIdentity(key, chain, ca, now)
}

func newIdentity(key crypto.Signer, chain []*x509.Certificate, ca authority, now time.Time) (*Identity, error) {
	public, err := publicDER(key)
	if err != nil {
		return nil, err
	}
	id := &Identity{
		UID: NodeUID(public), PublicKey: public, CA: ca.cert, NotAfter: chain[0].NotAfter,
		Certificate: tls.Certificate{PrivateKey: key, Leaf: chain[0]},
	}
	for _, cert := range chain {
		id.Certificate.Certificate = append(id.Certificate.Certificate, cert.Raw)
	}
	id.addressed = newAddressed(id.Certificate, ca, key, now)
	return id, nil
}

// CAPool returns a fresh pool with the cluster CA alone.
func (id *Identity) CAPool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(id.CA)
	return pool
}

// ServerTLS returns the configuration of the API listener: a client's
// certificate is asked for, never demanded or checked (contract 3).
func (id *Identity) ServerTLS() *tls.Config {
	return &tls.Config{
		GetCertificate: id.addressed.forClient,
		ClientAuth:     tls.RequestClientCert,
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1"},
	}
}

// loadNode returns the node's key and its certificate chain.
//
// A key without certificate keeps its place and gets a new certificate: a new
// key would be a new node, which the database refuses under the old name.
func loadNode(o Options, ca authority, now time.Time) (crypto.Signer, []*x509.Certificate, error) {
	key, err := loadKey(o.TLSKey)
	if err != nil {
		return nil, nil, err
	}
	data, err := readIfPresent(o.TLSCert)
	if err != nil {
		return nil, nil, err
	}
	if key == nil || data == nil {
		return createNode(o, ca, key, now)
	}
	chain, err := allCerts(data)
	if err != nil {
		return nil, nil, fmt.Errorf("read certificate %s: %w", o.TLSCert, err)
	}
	if !samePublic(key.Public(), chain[0].PublicKey) {
		return nil, nil, fmt.Errorf("%s is not the key of certificate %s: "+
			"restore the pair, or remove the certificate to have it issued again", o.TLSKey, o.TLSCert)
	}
	chain, err = renewNode(o, ca, key, chain, now)
	return key, chain, err
}

// createNode makes what is missing of the pair; key is nil if that is.
func createNode(o Options, ca authority, key crypto.Signer, now time.Time) (crypto.Signer, []*x509.Certificate, error) {
	if err := ca.canSign(now); err != nil { // before the key is written
		return nil, nil, err
	}
	if key == nil {
		var err error
		if key, err = createKey(o.TLSKey); err != nil {
			return nil, nil, err
		}
		o.Log.Info("node key created", "path", o.TLSKey)
	}
	chain, err := signNode(o, ca, key, nil, now)
	return key, chain, err
}

// signNode signs and stores a certificate. old is the one that it replaces, if
// any: what clients know the node by must go on to work.
func signNode(o Options, ca authority, key crypto.Signer, old *x509.Certificate, now time.Time) ([]*x509.Certificate, error) {
	names := append([]string{o.NodeName, hostOf(o.NodeAddress)}, o.Names...)
	if old != nil {
		names = append(names, namesOf(old)...)
	}
	cert, err := ca.issueNode(o.NodeName, names, key, now)
	if err != nil {
		return nil, err
	}
	if err := durable.WriteFile(o.TLSCert, nodeFile(cert, ca.cert), modeCert); err != nil {
		return nil, err
	}
	o.Log.Info("node certificate signed", "path", o.TLSCert, "not_after", cert.NotAfter)
	return []*x509.Certificate{cert, ca.cert}, nil
}
