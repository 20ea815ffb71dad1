package app

import (
	"net"
	"net/netip"
	"testing"
)

func TestProxyAddress(t *testing.T) {
	for _, tt := range []struct{ name, bound, node, want string }{
		{"all interfaces", "0.0.0.0:2022", "ci-1.example.com:8001", "ci-1.example.com:2022"},
		{"all interfaces of both families", "[::]:34567", "10.0.0.7:8001", "10.0.0.7:34567"},
		{"IPv6 node", "[::]:2022", "[2001:db8::1]:8001", "[2001:db8::1]:2022"},
		{"default", "[::]:2022", "127.0.0.1:8001", "127.0.0.1:2022"},
		{"one address", "10.0.0.9:2022", "ci-1.example.com:8001", "10.0.0.9:2022"},
		{"loopback", "127.0.0.1:41235", "ci-1.example.com:8001", "127.0.0.1:41235"},
		{"IPv6 loopback", "[::1]:41235", "ci-1.example.com:8001", "[::1]:41235"},
		{"node address that leads nowhere", "[::]:2022", "0.0.0.0:8001", "127.0.0.1:2022"},
		{"mapped unspecified", "[::ffff:0.0.0.0]:2022", "a:1", "a:2022"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bound := net.TCPAddrFromAddrPort(netip.MustParseAddrPort(tt.bound))
			if got := proxyAddress(bound, tt.node); got != tt.want {
				t.Errorf("proxyAddress(%s, %s) = %s, want %s", tt.bound, tt.node, got, tt.want)
			}
		})
	}
}
