package crypt

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/durable"
	"github.com/aquarium-fish/aquarium-fish/lib/loop"
)

const (
	// refreshPeriod is how often the files are looked at: what an operator copies there is in use within the minute.
	refreshPeriod = time.Minute
	// complainPeriod is how often the log says that a certificate can not be renewed.
	complainPeriod = 24 * time.Hour
	// askPeriod is how often another node is asked to renew, as long as none has: a month is left to do so.
	askPeriod = time.Hour
	// askTimeout bounds one such question.
	askTimeout = 30 * time.Second
)

// Signer asks a node that holds the CA's key to sign a request (PKCS #10, DER) for this node's key, and returns the
// certificate file that it made. ctx bounds it.
type Signer func(ctx context.Context, request []byte) (chain []byte, err error)

// Run keeps the certificate and the CAs up to date until ctx is done: what changes in the files is used by new
// handshakes, and a certificate that ends within 30 days is signed again for the same key, with the CA's key if it is
// here, else by ask. ask may be nil.
func (id *Identity) Run(ctx context.Context, ask Signer) error {
	var asked time.Time
	told := "" // what is wrong with the files
	loop.Every(ctx, refreshPeriod, func(ctx context.Context) {
		wrong := ""
		if err := id.Refresh(); err != nil {
			wrong = err.Error()
		}
		if wrong != told && wrong != "" {
			id.opts.Log.Warn("certificates can not be used as they are in the files, those of before stay in use: put the files right", "reason", wrong)
		}
		told = wrong
		now := time.Now()
		need, try := id.needsSigner(now)
		if ask == nil || !try || now.Sub(asked) < askPeriod {
			return
		}
		asked = now
		err := id.renewBy(ctx, ask)
		if err != nil && ctx.Err() == nil && need {
			id.opts.Log.Warn("node certificate ends soon and no other node has renewed it", "not_after", id.NotAfter(), "error", err)
		}
	})
	return nil
}

// Refresh reads the files again and uses what they hold, renewed if need be and if the CA's key is here. After an error
// everything stays as it was.
func (id *Identity) Refresh() error {
	id.files.Lock()
	defer id.files.Unlock()
	now := time.Now()
	ca, err := readAuthority(id.opts.CACert)
	if err != nil {
		return err
	}
	chain, err := readChain(id.opts.TLSCert)
	if err != nil {
		return err
	}
	if len(chain) == 0 || !samePublic(id.key.Public(), chain[0].PublicKey) {
		return fmt.Errorf("%s is missing or of another key than the node runs with", id.opts.TLSCert)
	}
	o := id.opts
	if now.Sub(id.warned) < complainPeriod {
		o.Log = slog.New(onlyInfo{o.Log.Handler()})
	} else {
		id.warned = now
	}
	if chain, err = renewNode(o, ca, id.key, chain, now); err != nil {
		return err
	}
	if id.differs(chain, ca) {
		id.use(chain, ca, now)
		id.opts.Log.Info("certificates in use changed", "not_after", chain[0].NotAfter, "cas", len(ca.cas))
	}
	return nil
}

// differs reports whether something else than this is in use.
func (id *Identity) differs(chain []*x509.Certificate, ca authority) bool {
	c := id.now.Load()
	chain = whole(chain, ca.cas)
	if len(chain) != len(c.cert.Certificate) || len(ca.cas) != len(c.ca.cas) || (ca.cert == nil) != (c.ca.cert == nil) {
		return true
	}
	for i, cert := range chain {
		if !bytes.Equal(cert.Raw, c.cert.Certificate[i]) {
			return true
		}
	}
	for i, cert := range ca.cas {
		if !cert.Equal(c.ca.cas[i]) {
			return true
		}
	}
	return ca.cert != nil && !ca.cert.Equal(c.ca.cert)
}

// needsSigner reports whether another node has to be asked for a certificate, as it ends, or lacks a name, and the CA's key
// is not here. try is also true while a newer CA than its own is trusted, which may or may not sign yet.
func (id *Identity) needsSigner(now time.Time) (need, try bool) {
	c := id.now.Load()
	if c.ca.canSign(now) == nil {
		return false, false
	}
	need = c.cert.Leaf.NotAfter.Sub(now) <= renewBefore || len(missingNames(c.cert.Leaf, id.opts.Names)) > 0
	return need, need || rank([]*x509.Certificate{c.cert.Leaf}, c.ca.cas) < len(c.ca.cas)-1
}

// rank is how new the CA is that signed a certificate: its place among cas.
func rank(chain, cas []*x509.Certificate) int { return slices.Index(cas, signerOf(chain, cas)) }

// renewBy has the certificate signed again by another node.
func (id *Identity) renewBy(ctx context.Context, ask Signer) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	request, err := newRequest(id.opts, id.key, id.Certificate().Leaf)
	if err != nil {
		return err
	}
	file, err := ask(ctx, request)
	if err != nil {
		return fmt.Errorf("ask another node to sign: %w", err)
	}
	if err := id.adopt(file); err != nil {
		return fmt.Errorf("take the certificate that another node signed: %w", err)
	}
	return nil
}

// adopt stores and uses a certificate of the node's own key.
func (id *Identity) adopt(file []byte) error {
	chain, err := allCerts(file)
	if err != nil {
		return err
	}
	id.files.Lock()
	defer id.files.Unlock()
	now, c := time.Now(), id.now.Load()
	if !samePublic(id.key.Public(), chain[0].PublicKey) {
		return errors.New("it is for another key")
	}
	if err := VerifyChain(chain, c.ca.cas, now); err != nil {
		return err
	}
	if lost := missingNames(chain[0], namesOf(c.cert.Leaf)); len(lost) > 0 {
		return fmt.Errorf("it lacks the names %v", lost)
	}
	need, _ := id.needsSigner(now)
	if newer := rank(chain, c.ca.cas) > rank([]*x509.Certificate{c.cert.Leaf}, c.ca.cas); !newer && (!need || !chain[0].NotAfter.After(c.cert.Leaf.NotAfter)) {
		return errors.New("it is no better than the present one")
	}
	if err := durable.WriteFile(id.opts.TLSCert, nodeFile(chain), modeCert); err != nil {
		return err
	}
	id.use(chain, c.ca, now)
	id.opts.Log.Info("node certificate renewed by another node", "path", id.opts.TLSCert, "not_after", chain[0].NotAfter)
	return nil
}

// onlyInfo drops warnings that were given not long ago.
type onlyInfo struct{ slog.Handler }

// Enabled implements slog.Handler.
func (h onlyInfo) Enabled(ctx context.Context, level slog.Level) bool {
	return level != slog.LevelWarn && h.Handler.Enabled(ctx, level)
}
