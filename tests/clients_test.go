package tests

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// dial opens a TLS connection that is closed at the end of the test.
func dial(t *testing.T, n *fish.Node) *tls.Conn {
	t.Helper()
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 20 * time.Second}, "tcp", n.Address(), n.TLS())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// isCut waits until the node closes the connection.
func isCut(conn net.Conn, within time.Duration) bool {
	_ = conn.SetReadDeadline(time.Now().Add(within))
	_, err := io.Copy(io.Discard, conn)
	return !errors.Is(err, os.ErrDeadlineExceeded)
}

func TestThousandIdleConnections(t *testing.T) {
	t.Parallel()
	n := fish.Start(t, fish.Options{})
	const count = 1000
	gate := make(chan struct{}, 16) // handshakes at a time: two cores do them
	var all sync.WaitGroup
	var failures = make(chan error, count)
	for range count {
		all.Go(func() {
			gate <- struct{}{}
			defer func() { <-gate }()
			conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 20 * time.Second}, "tcp", n.Address(), n.TLS())
			if err != nil {
				failures <- err
				return
			}
			t.Cleanup(func() { _ = conn.Close() })
		})
	}
	all.Wait()
	close(failures)
	for err := range failures {
		t.Fatalf("open an idle connection: %v", err)
	}
	start := time.Now()
	if got := n.Fresh().Request("GET", "/api/v1/user/me/", nil); got.Status != http.StatusOK {
		t.Errorf("beside %d idle connections: status %d %s", count, got.Status, got.Body)
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("beside %d idle connections a request took %v", count, took)
	}
	if took := n.Stop(); took > 2*time.Second {
		t.Errorf("SIGTERM to exit took %v", took)
	}
}

func TestSlowClients(t *testing.T) {
	t.Parallel()
	n := fish.Start(t, fish.Options{Config: "api_header_timeout: 1s\napi_read_timeout: 2s\n"})
	silent, err := net.Dial("tcp", n.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	header, body := dial(t, n), dial(t, n)
	if _, err := io.WriteString(header, "GET /api/v1/user/me/ HTTP/1.1\r\nHost: x\r\nX-Slow: "); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(body, "POST /api/v1/label/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"); err != nil {
		t.Fatal(err)
	}
	if got := n.Fresh().Request("GET", "/api/v1/user/me/", nil); got.Status != http.StatusOK {
		t.Errorf("beside slow clients: status %d %s", got.Status, got.Body)
	}
	for name, conn := range map[string]net.Conn{"handshake": silent, "header": header, "body": body} {
		if !isCut(conn, 20*time.Second) {
			t.Errorf("a client that is slow with its %s is not cut", name)
		}
	}
	if got := n.Request("GET", "/api/v1/user/me/", nil); got.Status != http.StatusOK {
		t.Errorf("after slow clients: status %d %s", got.Status, got.Body)
	}
}

func TestUnknownPathsNeedCredentials(t *testing.T) {
	t.Parallel()
	n := fish.Start(t, fish.Options{})
	nobody := n.As("", "")
	for path, want := range map[string]int{"/api/v1/nothing": 401, "/api/v1/user/me/": 401, "/nothing": 404} {
		got := nobody.Request("GET", path, nil)
		if got.Status != want {
			t.Errorf("GET %s without credentials: %d, want %d", path, got.Status, want)
		}
		if want == 401 && (string(got.Body) != `{"message":"Unauthorized"}`+"\n" || got.Header.Get("WWW-Authenticate") != "basic realm=Restricted") {
			t.Errorf("GET %s: %s %q", path, got.Body, got.Header.Get("WWW-Authenticate"))
		}
	}
	if got := n.Request("GET", "/api/v1/nothing", nil); got.Status != 404 {
		t.Errorf("an unknown path with credentials: %d, want 404", got.Status)
	}
}
