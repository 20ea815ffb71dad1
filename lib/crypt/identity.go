package crypt

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
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
	CACert      string   // ca.crt, the oldest CA first; the CA key is beside it, with the extension .key
	// Joins says that the node belongs to a cluster that is there already: no CA is made, and a certificate that no CA of
	// the cluster signed is an error.
	Joins bool
	Log   *slog.Logger
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

// Identity is what a node proves itself with. The key stays as long as the process does; its certificate and the CAs may
// be replaced meanwhile (Run), so that every handshake asks for them anew.
type Identity struct {
	UID       model.UID // follows from PublicKey
	PublicKey []byte    // PKIX DER

	opts Options
	key  crypto.Signer
	now  atomic.Pointer[credentials]

	files  sync.Mutex // one change of the files at a time
	warned time.Time  // when a certificate was last complained about; under files
}

// credentials are what of an Identity can be replaced. They never change themselves.
type credentials struct {
	cert      tls.Certificate // the node's, then the chain to the CA
	ca        authority
	pool      *x509.CertPool
	addressed *addressed
	notAfter  time.Time // when the first of certificate and CA expires
}

// LoadOrCreate returns the node's identity from its files. What is missing is
// made, what is there is kept (contract 3). A certificate that has less than 30
// days left, lacks one of the Names or a usage, or was signed by an older CA than
// could sign it now, is signed again for the same key, where the CA key is at
// hand; it keeps the names that it had.
func LoadOrCreate(o Options) (*Identity, error) {
	o, err := o.withPaths()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	ca, created, err := loadAuthority(o, now)
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
	public, err := publicDER(key)
	if err != nil {
		return nil, err
	}
	id := &Identity{UID: NodeUID(public), PublicKey: public, opts: o, key: key, warned: now}
	id.use(chain, ca, now)
	return id, nil
}

// use makes every handshake from now on use this certificate and these CAs.
func (id *Identity) use(chain []*x509.Certificate, ca authority, now time.Time) {
	c := &credentials{ca: ca, pool: poolOf(ca.cas), cert: tls.Certificate{PrivateKey: id.key, Leaf: chain[0]}}
	c.notAfter = chain[0].NotAfter
	if signer := signerOf(chain, ca.cas); signer != nil && signer.NotAfter.Before(c.notAfter) {
		c.notAfter = signer.NotAfter
	}
	for _, cert := range whole(chain, ca.cas) {
		c.cert.Certificate = append(c.cert.Certificate, cert.Raw)
	}
	c.addressed = newAddressed(c.cert, ca, id.key, now)
	id.now.Store(c)
}

// whole adds its CA to a chain without: who pins the CA has to see it.
func whole(chain, cas []*x509.Certificate) []*x509.Certificate {
	ca := signerOf(chain, cas)
	if ca == nil || slices.ContainsFunc(chain, ca.Equal) {
		return chain
	}
	return append(slices.Clone(chain), ca)
}

// Issuer is the CA that signed the certificate in use, nil if it is none of the cluster's.
func (id *Identity) Issuer() *x509.Certificate {
	c := id.now.Load()
	return signerOf([]*x509.Certificate{c.cert.Leaf}, c.ca.cas)
}

// Certificate is the node's own one, then its chain to the CA. The caller does not change it.
func (id *Identity) Certificate() *tls.Certificate { return &id.now.Load().cert }

// NotAfter is when the certificate expires, or the CA that signed it, if that is earlier.
func (id *Identity) NotAfter() time.Time { return id.now.Load().notAfter }

// CAs are those of the cluster, the oldest first. The caller does not change them.
func (id *Identity) CAs() []*x509.Certificate { return id.now.Load().ca.cas }

// CAPool is the pool of CAs. The caller does not change it.
func (id *Identity) CAPool() *x509.CertPool { return id.now.Load().pool }

// ClusterUID names the cluster: the KeyHash of its oldest CA.
func (id *Identity) ClusterUID() [32]byte { return KeyHash(id.CAs()[0]) }

// CanSign is nil where the key of a CA is at hand; else it says which is not.
func (id *Identity) CanSign() error { return id.now.Load().ca.canSign(time.Now()) }

// ServerTLS returns the configuration of the API listener: a client's
// certificate is asked for, never demanded or checked (contract 3).
func (id *Identity) ServerTLS() *tls.Config {
	return &tls.Config{
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			return id.now.Load().addressed.forClient(hello)
		},
		ClientAuth: tls.RequestClientCert,
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
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
	chain, err := readChain(o.TLSCert)
	if err != nil {
		return nil, nil, err
	}
	if key == nil || chain == nil {
		return createNode(o, ca, key, now)
	}
	if !samePublic(key.Public(), chain[0].PublicKey) {
		return nil, nil, fmt.Errorf("%s is not the key of certificate %s: "+
			"restore the pair, or remove the certificate to have it issued again", o.TLSKey, o.TLSCert)
	}
	chain, err = renewNode(o, ca, key, chain, now)
	return key, chain, err
}

// readChain reads a node's certificate file; nil without an error if there is none.
func readChain(path string) ([]*x509.Certificate, error) {
	data, err := readIfPresent(path)
	if err != nil || data == nil {
		return nil, err
	}
	chain, err := allCerts(data)
	if err != nil {
		return nil, fmt.Errorf("read certificate %s: %w", path, err)
	}
	return chain, nil
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

// wantedNames are all that a node's certificate is to stand for.
func (o Options) wantedNames(old *x509.Certificate) []string {
	names := append([]string{o.NodeName, hostOf(o.NodeAddress)}, o.Names...)
	if old != nil { // what clients know the node by must go on to work
		names = append(names, namesOf(old)...)
	}
	return names
}

// signNode signs and stores a certificate. old is the one that it replaces, if any.
func signNode(o Options, ca authority, key crypto.Signer, old *x509.Certificate, now time.Time) ([]*x509.Certificate, error) {
	cert, err := ca.issueNode(o.NodeName, o.wantedNames(old), key.Public(), now)
	if err != nil {
		return nil, err
	}
	chain := []*x509.Certificate{cert, ca.cert}
	if err := durable.WriteFile(o.TLSCert, nodeFile(chain), modeCert); err != nil {
		return nil, err
	}
	o.Log.Info("node certificate signed", "path", o.TLSCert, "not_after", cert.NotAfter)
	return chain, nil
}
