package crypt

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/netip"
	"sync"
	"time"
)

// mostAddresses bounds the certificates for addresses. A machine has a few; one
// that answers on a whole network does not get a certificate for each.
const mostAddresses = 64

// addressed are certificates for clients that come by an IP address which the
// node's certificate does not name: an environment on this machine asks for its
// metadata by loopback or by a bridge's address, and knows no other name. They
// are for the node's own key, carry its names too, and are kept in memory only.
type addressed struct {
	node tls.Certificate
	sign func(ip netip.Addr) (*x509.Certificate, error) // nil without the CA's key

	mu    sync.Mutex
	known map[netip.Addr]*tls.Certificate
}

// forClient implements tls.Config.GetCertificate. A client that sends a name
// gets the node's certificate, as does one for whose address none can be made.
func (a *addressed) forClient(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if hello.ServerName == "" && hello.Conn != nil {
		if at, ok := hello.Conn.LocalAddr().(*net.TCPAddr); ok {
			if cert := a.forAddress(at.AddrPort().Addr().Unmap().WithZone("")); cert != nil {
				return cert, nil
			}
		}
	}
	return &a.node, nil
}

// forAddress returns a certificate that names the address, or nil.
func (a *addressed) forAddress(ip netip.Addr) *tls.Certificate {
	if !ip.IsValid() || a.node.Leaf.VerifyHostname(ip.String()) == nil {
		return &a.node
	}
	if a.sign == nil {
		return nil
	}
	a.mu.Lock() // signing takes some 50 us, and is done once per address
	defer a.mu.Unlock()
	if cert := a.known[ip]; cert != nil {
		return cert
	}
	if len(a.known) >= mostAddresses {
		return nil
	}
	leaf, err := a.sign(ip)
	if err != nil {
		return nil // an expired CA: the node's own certificate is no worse
	}
	cert := a.node
	cert.Leaf = leaf
	cert.Certificate = append([][]byte{leaf.Raw}, a.node.Certificate[1:]...)
	a.known[ip] = &cert
	return &cert
}

// newAddressed prepares certificates for addresses: signed by the CA, if its
// key is here and made the node's own one.
func newAddressed(node tls.Certificate, ca authority, key crypto.Signer, now time.Time) *addressed {
	a := &addressed{node: node, known: make(map[netip.Addr]*tls.Certificate)}
	if ca.canSign(now) == nil && node.Leaf.CheckSignatureFrom(ca.cert) == nil {
		a.sign = func(ip netip.Addr) (*x509.Certificate, error) { return ca.issueAddress(node.Leaf, ip, key.Public()) }
	}
	return a
}

// Answers reports whether clients that come by this IP address get a
// certificate that names it.
func (id *Identity) Answers(ip netip.Addr) bool {
	return id.now.Load().addressed.forAddress(ip.Unmap()) != nil
}
