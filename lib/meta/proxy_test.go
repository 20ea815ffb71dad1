package meta

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

// TestProxyNames: an environment is told the address at which it reaches us, if
// the proxy listens there, and its credential if it shares the host's address.
func TestProxyNames(t *testing.T) {
	user, password, _ := allocated(2, "native", "127.0.0.1", "").Allocations[0].ProxyCredential()
	said := "//" + user + ":" + password + "@127.0.0.1:1080"
	tests := []struct {
		name, listener string // empty: the proxy does not listen
		from, local    string
		path           string
		want           string // the proxy's part of its URLs, empty: none
	}{
		{"container by its gateway", "[::]:1080", "172.20.0.2:5", "172.20.0.1:8001", "/meta/v1/data/", "//172.20.0.1:1080"},
		{"by another of our addresses", "[::]:1080", "172.20.0.2:5", "10.0.0.5:8001", "/meta/v1/data/", "//10.0.0.5:1080"},
		{"mapped", "[::]:1080", "[::ffff:172.20.0.2]:5", "[::ffff:172.20.0.1]:8001", "/meta/v1/data/", "//172.20.0.1:1080"},
		{"it listens there alone", "172.20.0.1:1080", "172.20.0.2:5", "172.20.0.1:8001", "/meta/v1/data/", "//172.20.0.1:1080"},
		{"it listens elsewhere", "10.0.0.5:1080", "172.20.0.2:5", "172.20.0.1:8001", "/meta/v1/data/", ""},
		{"it listens on loopback", "127.0.0.1:1080", "172.20.0.2:5", "172.20.0.1:8001", "/meta/v1/data/", ""},
		{"its port was taken", "", "172.20.0.2:5", "172.20.0.1:8001", "/meta/v1/data/", ""},
		{"no address known", "[::]:1080", "172.20.0.2:5", "", "/meta/v1/data/", ""},
		{"test driver", "127.0.0.1:1080", "127.0.0.1:5", "127.0.0.1:8001", "/meta/v1/data/", "//127.0.0.1:1080"},
		{"by token", "[::]:1080", "127.0.0.1:5", "127.0.0.1:8001", TokenPath(token(2)), said},
		{"by token, from elsewhere on the host", "[::]:1080", "10.0.0.5:5", "10.0.0.5:8001", TokenPath(token(2)), said},
		{"by token, not listening", "", "127.0.0.1:5", "127.0.0.1:8001", TokenPath(token(2)), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := handler(t, newFakeStore(
				allocated(1, "docker", "172.20.0.2", ""), allocated(2, "native", "127.0.0.1", ""), allocated(3, "test", "127.0.0.1", ""),
			), &bytes.Buffer{})
			h.Proxy = func() (netip.AddrPort, bool) {
				address, err := netip.ParseAddrPort(tt.listener)
				return address, err == nil
			}
			r := httptest.NewRequest(http.MethodGet, tt.path+"?format=env&prefix=data", nil)
			r.RemoteAddr = tt.from
			r.Host = "evil.example.org:9"
			if tt.local != "" {
				local := net.TCPAddrFromAddrPort(netip.MustParseAddrPort(tt.local))
				r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, local))
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			want := ""
			if tt.want != "" {
				want = "data_AQUARIUM_FISH_HTTP_PROXY=http:" + tt.want + "\ndata_AQUARIUM_FISH_SOCKS_PROXY=socks5h:" + tt.want + "\n"
			}
			_, got, _ := strings.Cut(w.Body.String(), "data_APP=")
			_, got, _ = strings.Cut(got, "\n") // behind the user's first name
			if w.Code != http.StatusOK || got != want+"data_LABEL=l\n" {
				t.Errorf("got %d %q, want %q", w.Code, w.Body, want)
			}
		})
	}
}

// TestProxyOverARealSocket: the address of the socket that a request came by is
// what the answer holds, in JSON as well, and in place of what the user wrote.
func TestProxyOverARealSocket(t *testing.T) {
	e := allocated(1, "test", "127.0.0.1", "")
	e.Resource.Metadata = json.RawMessage(`{"AQUARIUM_FISH_SOCKS_PROXY":"evil","APP":"app1","AQUARIUM_FISH_SSH_RECORD":true}`)
	h := handler(t, newFakeStore(e), &bytes.Buffer{})
	h.Proxy = func() (netip.AddrPort, bool) { return netip.MustParseAddrPort("[::]:1081"), true }
	server := httptest.NewTLSServer(h)
	t.Cleanup(server.Close)
	resp, err := server.Client().Get(server.URL + "/meta/v1/data/")
	if err != nil {
		t.Fatal(err)
	}
	var body bytes.Buffer
	_, err = body.ReadFrom(resp.Body)
	if closeErr := resp.Body.Close(); err != nil || closeErr != nil {
		t.Fatal(err, closeErr)
	}
	want := `{"APP":"app1","AQUARIUM_FISH_HTTP_PROXY":"http://127.0.0.1:1081","AQUARIUM_FISH_SOCKS_PROXY":"socks5h://127.0.0.1:1081"}`
	if body.String() != want {
		t.Errorf("answer %s, want %s", body.String(), want)
	}
}
