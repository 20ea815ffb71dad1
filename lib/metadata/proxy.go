package metadata

import (
	"net/netip"
	"net/url"
)

// Proxy is the node's SOCKS and HTTP proxy as one environment may use it. The
// zero Proxy is none.
type Proxy struct {
	// Listener is the address that the proxy is bound to, not valid where it
	// does not listen.
	Listener netip.AddrPort
	// User and Password are by which an environment that shares the host's
	// address says who it is. Others are known by their own address.
	User, Password string
}

// NewProxy asks where the proxy listens (nil: nowhere), and by what the
// environment says who it is.
func NewProxy(listener func() (netip.AddrPort, bool), credential func() (user, password string, ok bool)) Proxy {
	if listener == nil {
		return Proxy{}
	}
	address, ok := listener()
	if !ok {
		return Proxy{}
	}
	p := Proxy{Listener: address}
	p.User, p.Password, _ = credential() // without them it is none for those who would need them
	return p
}

// At are the names that tell of the proxy in an environment that has an address
// of its own and reaches this host at the given one. None where the proxy does
// not listen there: no address is better than a wrong one.
func (p Proxy) At(host netip.Addr) map[string]string {
	host = host.Unmap()
	if !p.listensAt(host) {
		return nil
	}
	return p.names(host, nil)
}

// Here are the names that tell of the proxy in an environment that shares this
// host's address. None without a User, whom the proxy would refuse.
func (p Proxy) Here() map[string]string {
	host := p.Listener.Addr().Unmap()
	if host.IsUnspecified() {
		host = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	if p.User == "" || !p.listensAt(host) {
		return nil
	}
	return p.names(host, url.UserPassword(p.User, p.Password))
}

// listensAt reports whether who connects to the address finds the proxy. A
// listener on all addresses of IPv6 has those of IPv4 too. An address that is
// good on one link of this host alone names nothing elsewhere.
func (p Proxy) listensAt(host netip.Addr) bool {
	at := p.Listener.Addr().Unmap()
	switch {
	case p.Listener.Port() == 0, !host.IsValid(), host.IsUnspecified(), host.Is6() && host.IsLinkLocalUnicast():
		return false
	case at.IsUnspecified():
		return at.Is6() || host.Is4()
	}
	return at == host
}

func (p Proxy) names(host netip.Addr, user *url.Userinfo) map[string]string {
	address := netip.AddrPortFrom(host, p.Listener.Port()).String()
	return map[string]string{
		NameSOCKSProxy: (&url.URL{Scheme: "socks5h", User: user, Host: address}).String(),
		NameHTTPProxy:  (&url.URL{Scheme: "http", User: user, Host: address}).String(),
	}
}
