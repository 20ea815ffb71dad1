package app

import (
	"net"
	"net/netip"
)

// proxyAddress is host:port by which clients find a proxy of this node that
// listens on bound: its own host if it is bound to one, else that of the node's
// address. It is never an unspecified one such as [::], which leads nowhere.
func proxyAddress(bound net.Addr, nodeAddress string) string {
	host, port, _ := net.SplitHostPort(bound.String()) // of a bound TCP listener: well-formed
	if leads(host) {
		return net.JoinHostPort(host, port)
	}
	outside, _, err := net.SplitHostPort(nodeAddress)
	if err != nil || !leads(outside) { // the config warned: nobody elsewhere can reach this node at all
		outside = "127.0.0.1"
	}
	return net.JoinHostPort(outside, port)
}

// leads reports whether somebody can connect to the host.
func leads(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host != "" && (err != nil || !ip.Unmap().IsUnspecified())
}
