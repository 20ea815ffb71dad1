package link

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
)

// gateway is an HTTP or SOCKS5 proxy for tests; answer takes a connection and
// returns where it is to go, or "" if it was answered.
type gateway struct {
	addr string
	used atomic.Int32
}

func newGateway(t *testing.T, answer func(conn net.Conn, r *bufio.Reader) string) *gateway {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{addr: listener.Addr().String()}
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			work.Go(func() {
				defer conn.Close()
				defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
				r := bufio.NewReader(conn)
				to := answer(conn, r)
				if to == "" {
					return
				}
				out, err := net.Dial("tcp", to)
				if err != nil {
					return
				}
				g.used.Add(1)
				_, _ = Pipe(ctx, buffered{conn, r}, out)
			})
		}
	})
	t.Cleanup(func() { cancel(); _ = listener.Close(); work.Wait() })
	return g
}

// buffered is a connection of which some was read already.
type buffered struct {
	net.Conn
	r *bufio.Reader
}

func (b buffered) Read(p []byte) (int, error) { return b.r.Read(p) }

func httpGateway(t *testing.T, user string) *gateway {
	return newGateway(t, func(conn net.Conn, r *bufio.Reader) string {
		req, err := http.ReadRequest(r)
		if err != nil || req.Method != http.MethodConnect {
			return ""
		}
		if user != "" && req.Header.Get("Proxy-Authorization") != "Basic "+base64.StdEncoding.EncodeToString([]byte(user)) {
			_, _ = io.WriteString(conn, "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
			return ""
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n")
		return req.Host
	})
}

// socksGateway speaks as much of RFC 1928 and 1929 as a dialler needs.
func socksGateway(t *testing.T, user, password string) *gateway {
	return newGateway(t, func(conn net.Conn, r *bufio.Reader) string {
		read := func(n int) []byte {
			b := make([]byte, n)
			_, _ = io.ReadFull(r, b)
			return b
		}
		methods := read(int(read(2)[1]))
		if user == "" {
			_, _ = conn.Write([]byte{5, 0})
		} else {
			if !strings.ContainsRune(string(methods), 2) {
				_, _ = conn.Write([]byte{5, 0xff})
				return ""
			}
			_, _ = conn.Write([]byte{5, 2})
			u := string(read(int(read(2)[1])))
			p := string(read(int(read(1)[0])))
			if u != user || p != password {
				_, _ = conn.Write([]byte{1, 1})
				return ""
			}
			_, _ = conn.Write([]byte{1, 0})
		}
		var host string
		switch read(4)[3] {
		case 1:
			host = net.IP(read(4)).String()
		case 3:
			host = string(read(int(read(1)[0])))
		default:
			return ""
		}
		port := binary.BigEndian.Uint16(read(2))
		_, _ = conn.Write([]byte{5, 0, 0, 1, 127, 0, 0, 1, 0, 0})
		return net.JoinHostPort(host, strconv.Itoa(int(port)))
	})
}

func TestDialByProxy(t *testing.T) {
	f := newFarm(t)
	b := f.start(f.identity("b"))
	open, locked := httpGateway(t, ""), httpGateway(t, "me:secret")
	socks, lockedSocks := socksGateway(t, "", ""), socksGateway(t, "me", "secret")
	tests := []struct {
		name  string
		proxy string
		used  *gateway
		want  string // error
	}{
		{"http", "http://" + open.addr, open, ""},
		{"http with password", "http://me:secret@" + locked.addr, locked, ""},
		{"http with a wrong password", "http://me:wrong@" + locked.addr, nil, "407 Proxy Authentication Required"},
		{"socks5", "socks5://" + socks.addr, socks, ""},
		{"socks5h with password", "socks5h://me:secret@" + lockedSocks.addr, lockedSocks, ""},
		{"socks5 with a wrong password", "socks5://me:wrong@" + lockedSocks.addr, nil, "username/password authentication failed"},
		{"not a proxy", "http://" + b.addr, nil, "by proxy " + b.addr},
		{"unknown scheme", "ftp://" + open.addr, nil, `scheme "ftp" is none of`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := f.start(f.identity("a"), via(tt.proxy))
			before := int32(0)
			if tt.used != nil {
				before = tt.used.used.Load()
			}
			l, err := a.Dial(t.Context(), b.addr, &b.id.UID, a.hello())
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "wrong") {
					t.Errorf("Dial = %v, want %q", err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			there := <-b.links
			if err := l.Send(t.Context(), wire.DigestAsk{ID: 3}); err != nil {
				t.Fatal(err)
			}
			if m, err := there.Receive(t.Context()); err != nil || m != any(wire.DigestAsk{ID: 3}) {
				t.Errorf("Receive = %v, %v", m, err)
			}
			if tt.used.used.Load() != before+1 {
				t.Error("the proxy was not used")
			}
			l.Close(wire.CodeRedundant, "done")
		})
	}
}

func TestSilentProxyHasADeadline(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	f := newFarm(t)
	for _, scheme := range []string{"http", "https", "socks5"} {
		a := f.start(f.identity("a"), via(scheme+"://"+silent.Addr().String()), limits(func(l *Limits) { l.Dial = 200 * time.Millisecond }))
		begin := time.Now()
		_, err := a.Dial(t.Context(), "192.0.2.1:1", nil, a.hello())
		if err == nil || time.Since(begin) > 3*time.Second {
			t.Errorf("%s: Dial = %v after %v", scheme, err, time.Since(begin))
		}
	}
}

func TestProxiesFollowEnvironmentAndConfiguration(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://env:3128")
	t.Setenv("NO_PROXY", "near.example,10.0.0.0/8")
	tests := []struct {
		configured, address, want string
	}{
		{"", "far.example:8001", "http://env:3128"},
		{"", "near.example:8001", ""},
		{"", "10.1.2.3:8001", ""},
		{"", "127.0.0.1:8001", ""},
		{"socks5://u:p@socks:1080", "far.example:8001", "socks5://u:p@socks:1080"},
		{"socks5://u:p@socks:1080", "near.example:8001", ""},
	}
	for _, tt := range tests {
		proxy, err := Proxies(tt.configured)
		if err != nil {
			t.Fatal(err)
		}
		u, err := proxy(&url.URL{Scheme: "https", Host: tt.address})
		got := ""
		if u != nil {
			got = u.String()
		}
		if err != nil || got != tt.want {
			t.Errorf("Proxies(%q)(%s) = %q, %v, want %q", tt.configured, tt.address, got, err, tt.want)
		}
	}
	for _, bad := range []string{"socks4://secret@x:1", "no url", "http://"} {
		if _, err := Proxies(bad); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("Proxies(%q) = %v, want an error without secrets", bad, err)
		}
	}
}
