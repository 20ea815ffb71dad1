package crypt

import (
	"crypto"
	"crypto/x509"
	"fmt"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/durable"
)

// oldSuffix names the copy of a certificate that was replaced before its time: it may have been made by hand.
const oldSuffix = ".old"

// renewNode signs a certificate again that ends, or that lacks a name, if it is one of ours. Where that can not be done
// the present one serves as long as it lasts.
func renewNode(o Options, ca authority, key crypto.Signer, chain []*x509.Certificate, now time.Time) ([]*x509.Certificate, error) {
	left := chain[0].NotAfter.Sub(now)
	missing := missingNames(chain[0], o.Names)
	if left > renewBefore && len(missing) == 0 {
		return chain, nil
	}
	reason := ca.canSign(now)
	if reason == nil && chain[0].CheckSignatureFrom(ca.cert) != nil {
		reason = fmt.Errorf("%s was not signed by the CA %s", o.TLSCert, o.CACert)
	}
	switch {
	case reason == nil:
		return replaceNode(o, ca, key, chain[0], now)
	case left <= 0:
		return nil, fmt.Errorf("node certificate %s expired on %s: %w", o.TLSCert, chain[0].NotAfter.Format(time.DateOnly), reason)
	case left <= renewBefore:
		o.Log.Warn("node certificate ends soon and cannot be renewed", "path", o.TLSCert,
			"not_after", chain[0].NotAfter, "reason", reason.Error())
	}
	if len(missing) > 0 {
		o.Log.Warn("node certificate lacks names of tls_names, clients that come by them refuse it: copy the CA key here for one "+
			"start, or place a certificate of the same key that has them",
			"path", o.TLSCert, "missing", strings.Join(missing, " "), "reason", reason.Error())
	}
	return chain, nil
}

// replaceNode signs a certificate in place of one of ours, which is kept beside it.
func replaceNode(o Options, ca authority, key crypto.Signer, old *x509.Certificate, now time.Time) ([]*x509.Certificate, error) {
	if err := durable.WriteFile(o.TLSCert+oldSuffix, nodeFile(old, ca.cert), modeCert); err != nil {
		return nil, err
	}
	return signNode(o, ca, key, old, now)
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
