package crypt

import (
	"crypto"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/durable"
)

// oldSuffix names the copy of a certificate that was replaced before its time: it may have been made by hand.
const oldSuffix = ".old"

// wear says why a certificate should be signed again.
type wear struct {
	left    time.Duration // until it expires
	early   bool          // it is not valid yet: the clock was ahead when it was signed, or is behind now
	missing []string      // names that it is to have
	usages  bool          // it lacks one
	signer  *x509.Certificate
	oldCA   bool // a newer CA than its own signs here
}

// wearOf looks at a chain, the leaf first.
func wearOf(o Options, ca authority, chain []*x509.Certificate, now time.Time) wear {
	leaf := chain[0]
	w := wear{left: leaf.NotAfter.Sub(now), early: now.Before(leaf.NotBefore), missing: missingNames(leaf, o.Names), signer: signerOf(chain, ca.cas)}
	for _, u := range nodeUsages() {
		w.usages = w.usages || !slices.Contains(leaf.ExtKeyUsage, u) && !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageAny)
	}
	w.usages = w.usages && len(leaf.ExtKeyUsage) > 0 // without any it is for all
	w.oldCA = w.signer != nil && ca.cert != nil && slices.Index(ca.cas, w.signer) < slices.Index(ca.cas, ca.cert) && !samePublic(w.signer.PublicKey, ca.cert.PublicKey)
	return w
}

func (w wear) none() bool {
	return w.left > renewBefore && !w.early && len(w.missing) == 0 && !w.usages && !w.oldCA
}

// renewNode signs a certificate again that ends, or that lacks something, if it is one of ours. Where that can not be
// done the present one serves as long as it lasts.
func renewNode(o Options, ca authority, key crypto.Signer, chain []*x509.Certificate, now time.Time) ([]*x509.Certificate, error) {
	w := wearOf(o, ca, chain, now)
	foreign := fmt.Errorf("%s was not signed by the CA %s", o.TLSCert, o.CACert)
	switch {
	case w.signer == nil && o.Joins:
		return nil, fmt.Errorf("%w: the other nodes of the cluster would refuse it; get one with 'aquarium-fish cluster invite %s' and "+
			"'aquarium-fish cluster join', or copy a pair here that the cluster's CA signed", foreign, o.NodeName)
	case w.signer == nil:
		o.Log.Warn("node certificate was not signed by the CA beside it: clients that trust that CA refuse the node, and so would a cluster",
			"path", o.TLSCert, "ca", o.CACert)
	}
	if w.signer != nil && w.signer.NotAfter.Sub(now) <= renewBefore && !w.oldCA {
		o.Log.Warn("the cluster's CA certificate ends soon, and with it those of all nodes that it signed: make another CA in time, where "+
			"ca.key is, with 'aquarium-fish cluster rotate-ca'", "ca", o.CACert, "not_after", w.signer.NotAfter)
	}
	if w.none() {
		return chain, nil
	}
	reason := ca.canSign(now)
	if reason == nil && w.signer == nil {
		reason = foreign
	}
	if reason == nil {
		return replaceNode(o, ca, key, chain, now)
	}
	if w.left <= 0 {
		return nil, fmt.Errorf("node certificate %s expired on %s: %w", o.TLSCert, chain[0].NotAfter.Format(time.DateOnly), reason)
	}
	o.complain(w, chain[0], reason)
	return chain, nil
}

// complain tells what can not be mended here.
func (o Options) complain(w wear, leaf *x509.Certificate, reason error) {
	if w.left <= renewBefore {
		o.Log.Warn("node certificate ends soon and cannot be renewed", "path", o.TLSCert,
			"not_after", leaf.NotAfter, "reason", reason.Error())
	}
	if w.early {
		o.Log.Warn("node certificate is not valid yet, so nobody takes it: set the clock right; if it is right have the certificate signed again",
			"path", o.TLSCert, "not_before", leaf.NotBefore, "reason", reason.Error())
	}
	if len(w.missing) > 0 {
		o.Log.Warn("node certificate lacks names of tls_names, clients that come by them refuse it: copy the CA key here for one "+
			"start, or place a certificate of the same key that has them",
			"path", o.TLSCert, "missing", strings.Join(w.missing, " "), "reason", reason.Error())
	}
}

// replaceNode signs a certificate in place of one of ours, which is kept beside it.
func replaceNode(o Options, ca authority, key crypto.Signer, old []*x509.Certificate, now time.Time) ([]*x509.Certificate, error) {
	if err := durable.WriteFile(o.TLSCert+oldSuffix, nodeFile(old), modeCert); err != nil {
		return nil, err
	}
	return signNode(o, ca, key, old[0], now)
}

// namesOf lists what a certificate stands for.
func namesOf(c *x509.Certificate) []string {
	var names []string
	names = append(names, c.DNSNames...)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

// missingNames are those that a certificate does not have. One that a wildcard covers is not missing.
func missingNames(c *x509.Certificate, names []string) []string {
	var missing []string
	for _, name := range names {
		with := x509.Certificate{DNSNames: c.DNSNames, IPAddresses: c.IPAddresses}
		addName(&with, name)
		added := len(with.DNSNames) > len(c.DNSNames) || len(with.IPAddresses) > len(c.IPAddresses)
		if added && c.VerifyHostname(name) != nil {
			missing = append(missing, name)
		}
	}
	return missing
}
