package metadata

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func both(address string) map[string]string {
	return map[string]string{NameSOCKSProxy: "socks5h://" + address, NameHTTPProxy: "http://" + address}
}

func TestProxyAt(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, listener, host string
		want                 map[string]string
	}{
		{"all addresses", "[::]:1080", "172.18.0.1", both("172.18.0.1:1080")},
		{"all addresses, over v6", "[::]:1080", "2001:db8::1", both("[2001:db8::1]:1080")},
		{"all of v4", "0.0.0.0:1080", "172.18.0.1", both("172.18.0.1:1080")},
		{"all of v4, over v6", "0.0.0.0:1080", "2001:db8::1", nil},
		{"mapped", "[::]:1080", "::ffff:172.18.0.1", both("172.18.0.1:1080")},
		{"mapped listener", "[::ffff:172.18.0.1]:1080", "172.18.0.1", both("172.18.0.1:1080")},
		{"that address", "172.18.0.1:1081", "172.18.0.1", both("172.18.0.1:1081")},
		{"another address", "10.0.0.5:1080", "172.18.0.1", nil},
		{"loopback alone", "127.0.0.1:1080", "172.18.0.1", nil},
		{"loopback, by loopback", "127.0.0.1:1080", "127.0.0.1", both("127.0.0.1:1080")},
		{"an address of one link", "[::]:1080", "fe80::1%vmnet8", nil},
		{"no address", "[::]:1080", "", nil},
		{"no real address", "[::]:1080", "0.0.0.0", nil},
	}
	for _, tt := range tests {
		p := Proxy{Listener: netip.MustParseAddrPort(tt.listener), User: "user", Password: "secret"}
		host, _ := netip.ParseAddr(tt.host)
		if diff := cmp.Diff(tt.want, p.At(host)); diff != "" {
			t.Errorf("%s: At(%s) with a listener on %s (-want +got):\n%s", tt.name, tt.host, tt.listener, diff)
		}
	}
	if got := (Proxy{}).At(netip.MustParseAddr("10.0.0.1")); got != nil {
		t.Errorf("At() without a proxy = %v", got)
	}
}

func TestProxyHere(t *testing.T) {
	t.Parallel()
	tests := []struct {
		listener, user string
		want           map[string]string
	}{
		{"[::]:1080", "u", both("u:p%40ss@127.0.0.1:1080")},
		{"0.0.0.0:1080", "u", both("u:p%40ss@127.0.0.1:1080")},
		{"127.0.0.1:40000", "u", both("u:p%40ss@127.0.0.1:40000")},
		{"[::1]:1080", "u", both("u:p%40ss@[::1]:1080")},
		{"10.0.0.5:1080", "u", both("u:p%40ss@10.0.0.5:1080")},
		{"[fe80::1%eth0]:1080", "u", nil},
		{"[::]:1080", "", nil}, // the proxy would not know who that is
	}
	for _, tt := range tests {
		p := Proxy{Listener: netip.MustParseAddrPort(tt.listener), User: tt.user, Password: "p@ss"}
		if diff := cmp.Diff(tt.want, p.Here()); diff != "" {
			t.Errorf("Here() with a listener on %s, user %q (-want +got):\n%s", tt.listener, tt.user, diff)
		}
	}
	if got := (Proxy{User: "u"}).Here(); got != nil {
		t.Errorf("Here() without a proxy = %v", got)
	}
}

func TestNewProxy(t *testing.T) {
	t.Parallel()
	address := netip.MustParseAddrPort("10.0.0.5:1080")
	listens := func(ok bool) func() (netip.AddrPort, bool) {
		return func() (netip.AddrPort, bool) { return address, ok }
	}
	credential := func() (string, string, bool) { return "u", "p", true }
	for _, tt := range []struct {
		name     string
		listener func() (netip.AddrPort, bool)
		want     Proxy
	}{
		{"no proxy at all", nil, Proxy{}},
		{"its port was taken", listens(false), Proxy{}},
		{"it listens", listens(true), Proxy{Listener: address, User: "u", Password: "p"}},
	} {
		if got := NewProxy(tt.listener, credential); got != tt.want {
			t.Errorf("%s: NewProxy() = %+v, want %+v", tt.name, got, tt.want)
		}
	}
}
