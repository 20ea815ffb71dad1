package app

import (
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/lib/meta"
	"github.com/aquarium-fish/aquarium-fish/lib/metadata"
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

// TestBoundTo: who is told where a real listener is can connect to it there, and
// who can not is told nothing.
func TestBoundTo(t *testing.T) {
	if address, ok := boundTo(nil)(); ok {
		t.Errorf("no listener is bound to %v", address)
	}
	credential := func() (string, string, bool) { return "me", "secret", true }
	for _, tt := range []struct {
		bind  string
		at    string // an address that an environment reaches this host at
		reach bool
	}{
		{"0.0.0.0:0", "172.18.0.1", true},
		{"127.0.0.1:0", "127.0.0.1", true},
		{"127.0.0.1:0", "192.0.2.1", false},
	} {
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", tt.bind)
		if err != nil {
			t.Fatal(err)
		}
		proxy := metadata.NewProxy(boundTo(l.(*net.TCPListener)), credential)
		want := map[string]string(nil)
		address := netip.AddrPortFrom(netip.MustParseAddr(tt.at), l.Addr().(*net.TCPAddr).AddrPort().Port()).String()
		if tt.reach {
			want = map[string]string{metadata.NameSOCKSProxy: "socks5h://" + address, metadata.NameHTTPProxy: "http://" + address}
		}
		if diff := cmp.Diff(want, proxy.At(netip.MustParseAddr(tt.at))); diff != "" {
			t.Errorf("%s by %s (-want +got):\n%s", tt.bind, tt.at, diff)
		}
		for _, url := range proxy.Here() {
			_, here, _ := strings.Cut(url, "me:secret@")
			c, err := new(net.Dialer).DialContext(t.Context(), "tcp", here)
			if err != nil {
				t.Errorf("%s by %s: %v", tt.bind, url, err)
				continue
			}
			_ = c.Close()
		}
		if len(proxy.Here()) != 2 {
			t.Errorf("%s: those that share the host are told %v", tt.bind, proxy.Here())
		}
		_ = l.Close()
	}
}
