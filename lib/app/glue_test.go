package app

import (
	"log/slog"
	"net"
	"net/netip"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/lib/meta"
)

func TestMetadataURL(t *testing.T) {
	loopback := func(ip netip.Addr) bool { return ip.IsLoopback() }
	nothing := func(netip.Addr) bool { return false }
	for _, test := range []struct {
		name, bound string
		named       func(netip.Addr) bool
		want        string
	}{
		{"all addresses", "0.0.0.0:8001", loopback, "https://127.0.0.1:8001"},
		{"all addresses of both kinds", "[::]:8001", loopback, "https://127.0.0.1:8001"},
		{"one address", "127.0.0.2:9", loopback, "https://127.0.0.2:9"},
		{"no certificate for loopback", "0.0.0.0:8001", nothing, "https://ci-1.example.com:8001"},
		{"no certificate for the address", "10.0.0.7:9", loopback, "https://ci-1.example.com:9"},
	} {
		t.Run(test.name, func(t *testing.T) {
			bound := net.TCPAddrFromAddrPort(netip.MustParseAddrPort(test.bound))
			got := metadataURL(bound, "ci-1.example.com:7000", test.named, slog.New(slog.DiscardHandler))("abc")
			if want := test.want + meta.TokenPath("abc"); got != want {
				t.Errorf("metadataURL() = %s, want %s", got, want)
			}
		})
	}
}
