package link

import (
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
)

// TestCAThatExpired: it is the CA that is to be replaced, not the certificate that is to be signed again by it.
func TestCAThatExpired(t *testing.T) {
	f := newFarm(t)
	id := f.identity("a")
	end := id.CAs()[0].NotAfter
	cert := f.signed(id, func(c *x509.Certificate) { c.NotAfter = end.AddDate(1, 0, 0) })
	chain := []*x509.Certificate{cert.Leaf, id.CAs()[0]}
	if _, no := identify(chain, id.CAPool(), end.Add(-time.Hour)); no != nil {
		t.Fatalf("before the end: %v", no)
	}
	_, no := identify(chain, id.CAPool(), end.Add(time.Hour))
	if no == nil || no.Code != wire.CodeCertificate || !strings.Contains(no.Text, "rotate-ca") || strings.Contains(no.Text, "signed again by") {
		t.Errorf("after it: %+v", no)
	}
}
