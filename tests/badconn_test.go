package tests

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
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

// basic is the header with the node's credentials.
func basic(n *fish.Node) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(n.User+":"+n.Password)) + "\r\n"
}

// chunked is a POST of a label in chunks of 10,000 bytes.
func chunked(n *fish.Node, contentType, body string) string {
	var b strings.Builder
	b.WriteString("POST /api/v1/label/ HTTP/1.1\r\nHost: x\r\n" + basic(n) + "Content-Type: " + contentType + "\r\nTransfer-Encoding: chunked\r\n\r\n")
	for body != "" {
		part := body[:min(len(body), 10_000)]
		body = body[len(part):]
		fmt.Fprintf(&b, "%x\r\n%s\r\n", len(part), part)
	}
	b.WriteString("0\r\n\r\n")
	return b.String()
}

// rawAnswer is what came back; status 0: the connection was cut without an
// answer.
type rawAnswer struct {
	status int
	body   string
}

// rawRequest sends bytes and reads one answer.
func rawRequest(t *testing.T, n *fish.Node, text string) rawAnswer {
	t.Helper()
	conn := dial(t, n)
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	sent := make(chan struct{})
	go func() { // an answer may come before all is sent, and end the sending
		defer close(sent)
		_, _ = io.WriteString(conn, text)
	}()
	defer func() { _ = conn.Close(); <-sent }()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("no answer within 20 s to %.80q", text)
	}
	if err != nil {
		return rawAnswer{}
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return rawAnswer{resp.StatusCode, string(body)}
}

// testRawRequests is what no HTTP library would send.
func testRawRequests(t *testing.T, n *fish.Node) {
	post := "POST /api/v1/label/ HTTP/1.1\r\nHost: x\r\n" + basic(n) + "Content-Type: application/json\r\n"
	get := func(target string) string { return "GET " + target + " HTTP/1.1\r\nHost: x\r\n" + basic(n) + "\r\n" }
	for _, tt := range []struct {
		name, text string
		status     int
	}{
		{"no request", "hello\r\n\r\n", 400}, {"nothing but lines", "\r\n\r\n\r\n", 400}, {"bad method", "G@T / HTTP/1.1\r\nHost: x\r\n\r\n", 400}, {"no host", "GET /api/v1/label/ HTTP/1.1\r\n\r\n", 400},
		{"two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400}, {"bad host", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400}, {"version 9", "GET / HTTP/9.9\r\nHost: x\r\n\r\n", 505}, {"version 0", "GET /\r\n\r\n", 400},
		{"space in the path", get("/api/v1/label /"), 400}, {"bad escape in the path", get("/api/v1/user/%zz"), 400}, {"cut escape in the path", get("/api/v1/user/%4"), 400}, {"control character in the path", get("/api/v1/\x01"), 400},
		{"bad escape in the query", get("/api/v1/label/?filter=%zz"), 400}, {"relative path", get("api/v1/label/"), 400}, {"whole URL", get("https://other.example/api/v1/label/"), 200}, {"CONNECT", strings.Replace(get("other.example:443"), "GET", "CONNECT", 1), 404},
		{"header without colon", "GET / HTTP/1.1\r\nHost: x\r\nnothing\r\n\r\n", 400}, {"space before the colon", "GET / HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n", 400}, {"NUL in a header", "GET / HTTP/1.1\r\nHost: x\r\nA: \x00\r\n\r\n", 400}, {"lone CR", "GET / HTTP/1.1\r\nHost: x\r\nA: b\rC: d\r\n\r\n", 400},
		{"length no number", post + "Content-Length: abc\r\n\r\n{}", 400}, {"negative length", post + "Content-Length: -1\r\n\r\n", 400}, {"two lengths", post + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ", 400}, {"huge length", post + "Content-Length: 99999999999999999999\r\n\r\n", 400},
		{"unknown coding", post + "Transfer-Encoding: gzip\r\n\r\n", 501}, {"coding twice", post + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 501}, {"unknown expectation", post + "Expect: magic\r\nContent-Length: 2\r\n\r\n{}", 417},
		{"chunk size no number", post + "Transfer-Encoding: chunked\r\n\r\nZZ\r\n{}\r\n0\r\n\r\n", 400}, {"negative chunk", post + "Transfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n", 400}, {"huge chunk", post + "Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n{}", 400},
		{"chunk longer than said", post + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}{}{}\r\n0\r\n\r\n", 400}, {"long chunk extension", post + "Transfer-Encoding: chunked\r\n\r\n2;" + strings.Repeat("x", 20_000) + "\r\n{}\r\n0\r\n\r\n", 400},
		{"many tiny chunks", post + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1;"+strings.Repeat("y", 50)+"\r\n \r\n", 2000) + "0\r\n\r\n", 400},
		{"long header", "GET / HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("x", 100<<10) + "\r\n\r\n", 431}, {"many headers", "GET / HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("A: b\r\n", 30_000) + "\r\n", 431}, {"long path", get("/api/v1/user/" + strings.Repeat("x", 100<<10)), 431},
		{"long filter", get("/api/v1/label/?filter=" + strings.Repeat("x", 60<<10)), 200}, {"long name", get("/api/v1/user/" + strings.Repeat("x", 60<<10)), 404}, {"many parameters", get("/api/v1/label/?" + strings.Repeat("a&", 20_000)), 400}, {"many filters", get("/api/v1/label/?" + strings.Repeat("filter=1&", 5_000)), 400},
		{"upgrade", "GET /api/v1/user/me/ HTTP/1.1\r\nHost: x\r\n" + basic(n) + "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 200}, {"old protocol", "GET /api/v1/user/me/ HTTP/1.0\r\n" + basic(n) + "\r\n", 200},
	} {
		got := rawRequest(t, n, tt.text)
		if got.status != tt.status || got.status >= 400 && got.status != 417 && strings.TrimSpace(got.body) == "" {
			t.Errorf("%s: %d %.200q, want %d and a reason", tt.name, got.status, got.body, tt.status)
		}
	}
	conn := dial(t, n) // three requests at once get three answers, in order
	_, _ = io.WriteString(conn, get("/api/v1/user/me/")+get("/api/v1/user/x")+get("/api/v1/label/?filter="))
	answers := bufio.NewReader(conn)
	for i, status := range []int{200, 404, 200} {
		resp, err := http.ReadResponse(answers, nil)
		if err != nil || resp.StatusCode != status {
			t.Fatalf("request %d of three at once: %v %v, want %d", i, resp, err, status)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
	}
}

// testHeaders: credentials and origins of any shape.
func testHeaders(t *testing.T, n *fish.Node) {
	nobody := n.As("", "")
	for header, status := range map[string]int{
		"Basic " + strings.Repeat("A", 40<<10): 401, "Basic " + strings.Repeat("=", 1000): 400, "Basic \xff\xfe": 400, strings.Repeat("Basic ", 1000): 400, "Digest username=admin": 401,
		"Basic " + base64.StdEncoding.EncodeToString([]byte("admin:"+strings.Repeat("p", 30<<10))):                 401,
		"Basic " + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("n", 30<<10)+":p")):                     401,
		"Basic " + base64.StdEncoding.EncodeToString([]byte("admin\x00:\x00")):                                     401,
		"Basic " + base64.StdEncoding.EncodeToString([]byte("ADMIN:"+n.Password)):                                  401,
		"Basic " + base64.StdEncoding.EncodeToString([]byte("admin:"+n.Password+"\n")):                             401,
		"bAsIc " + base64.StdEncoding.EncodeToString([]byte("admin:"+n.Password)):                                  200,
		"Basic " + strings.TrimRight(base64.URLEncoding.EncodeToString([]byte("admin:\xff\xff\xff\xfe\xfe")), "="): 400,
	} {
		want(t, header[:min(len(header), 40)], nobody.Call(fish.Call{Path: mePath, Header: map[string]string{"Authorization": header}}), status, "")
	}
	c := n.Fresh()
	c.HTTP.Transport.(*http.Transport).ForceAttemptHTTP2 = true
	if got, err := c.Do(t.Context(), "GET", "/api/v1/user/"+strings.Repeat("x", 200<<10), nil, ""); err == nil && got.Status != 431 {
		t.Errorf("a long path over HTTP/2: %d %.100s, want 431", got.Status, got.Body)
	}
	want(t, "HTTP/2 afterwards", c.Call(fish.Call{Path: mePath}), 200, "")
	c.HTTP.CloseIdleConnections()
}

// testBadConnections: what comes instead of TLS is cut.
func testBadConnections(t *testing.T, n *fish.Node) {
	for name, bytes := range map[string]string{
		"nothing": "", "plain HTTP": "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "SSH": "SSH-2.0-x\r\n", "zeros": strings.Repeat("\x00", 5000), "half a record": "\x16\x03\x01\x40\x00\x01", "HTTP/2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"random": "\x16\x03\x03\x00\x10" + strings.Repeat("\xa5", 16),
	} {
		conn, err := net.Dial("tcp", n.Address())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, bytes)
		if !isCut(conn, 20*time.Second) {
			t.Errorf("%s: not cut", name)
		}
		_ = conn.Close()
	}
	old := n.TLS()
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	if _, err := tls.DialWithDialer(&net.Dialer{Timeout: 20 * time.Second}, "tcp", n.Address(), old); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
	want(t, "afterwards", n.Request("GET", mePath, nil), 200, "")
}

// isCut waits until the node closes the connection.
func isCut(conn net.Conn, within time.Duration) bool {
	_ = conn.SetReadDeadline(time.Now().Add(within))
	_, err := io.Copy(io.Discard, conn)
	return !errors.Is(err, os.ErrDeadlineExceeded)
}

// testSlowSenders: the handshake, the header and the body each have their
// time; others are served meanwhile.
func testSlowSenders(t *testing.T, n *fish.Node) {
	silent, err := net.Dial("tcp", n.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	unused, header := dial(t, n), dial(t, n)
	_, _ = io.WriteString(header, "GET /api/v1/user/me/ HTTP/1.1\r\nHost: x\r\nX-Slow: ")
	bodies := map[string]string{
		"length": "Content-Length: 100\r\n\r\n{", "chunks": "Transfer-Encoding: chunked\r\n\r\n5\r\n{\"na", "nothing": "Content-Length: 100\r\n\r\n", "no end": "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
	}
	var all sync.WaitGroup
	for name, body := range bodies {
		all.Go(func() {
			got := rawRequest(t, n, "POST /api/v1/label/ HTTP/1.1\r\nHost: x\r\n"+basic(n)+"Content-Type: application/json\r\n"+body)
			if got.status != http.StatusRequestTimeout || !strings.Contains(got.body, "did not arrive within 4s") {
				t.Errorf("a slow body (%s): %d %q, want 408 and the time", name, got.status, got.body)
			}
		})
	}
	want(t, "beside slow clients", n.Fresh().Request("GET", mePath, nil), 200, "")
	for name, conn := range map[string]net.Conn{"handshake": silent, "header": header, "first request": unused} {
		if !isCut(conn, 20*time.Second) {
			t.Errorf("a client that is slow with its %s is not cut", name)
		}
	}
	all.Wait()
}

// testSlowReader: a client that asks for a long list and does not read it is
// cut, and can tell that it does not have all; one that reads slowly gets all.
func testSlowReader(t *testing.T, n *fish.Node) {
	pad := strings.Repeat("x", 60_000)
	const count = 300 // 18 MB: more than the buffers of both ends hold
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			for range count / 10 {
				body := `{"name":"` + fresh("long") + `","metadata":{"pad":"` + pad + `"}}`
				if got, err := n.Do(t.Context(), "POST", labelsPath, []byte(body), ""); err != nil || got.Status != http.StatusOK {
					t.Errorf("create a long label: %d %v", got.Status, err)
				}
			}
		})
	}
	all.Wait()
	conn := dial(t, n)
	_, _ = io.WriteString(conn, "GET /api/v1/label/ HTTP/1.1\r\nHost: x\r\n"+basic(n)+"\r\n")
	patient := dial(t, n)
	_, _ = io.WriteString(patient, "GET /api/v1/label/ HTTP/1.1\r\nHost: x\r\n"+basic(n)+"\r\n")
	whole, err := readSlowly(patient, 6*time.Second) // longer than api_write_timeout
	if err != nil || whole < count*60_000 {
		t.Errorf("a client that takes 6 s for the list has %d bytes of it: %v", whole, err)
	}
	if got, err := readSlowly(conn, 0); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a client that did not read for 6 s: %d bytes of the list and %v, want a cut", got, err)
	}
}

// readSlowly reads an answer in about that time and returns the size of its
// body.
func readSlowly(conn net.Conn, in time.Duration) (int64, error) {
	_ = conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, err
	}
	const steps = 60
	var read int64
	for range steps {
		part, err := io.CopyN(io.Discard, resp.Body, 200<<10)
		read += part
		if err != nil {
			return read, err
		}
		<-time.After(in / steps)
	}
	rest, err := io.Copy(io.Discard, resp.Body)
	return read + rest, err
}

// testGoneClients: clients that leave before their answer take nothing with
// them.
func testGoneClients(t *testing.T, n *fish.Node) {
	label := n.CreateLabel(fish.TestLabel(fresh("gone"), `{}`))
	for _, http2 := range []bool{false, true} {
		c := n.Fresh()
		c.HTTP.Transport.(*http.Transport).ForceAttemptHTTP2 = http2
		for i := range 50 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*100*time.Microsecond)
			_, _ = c.Do(ctx, "GET", "/api/v1/label/", nil, "")
			_, _ = c.Do(ctx, "POST", applicationsPath, []byte(`{"label_UID":"`+label+`"}`), "")
			cancel()
		}
		c.HTTP.CloseIdleConnections()
	}
	for range 20 { // and those that are gone without a word
		conn := dial(t, n)
		_, _ = io.WriteString(conn, "GET /api/v1/label/ HTTP/1.1\r\nHost: x\r\n"+basic(n)+"\r\n")
		_ = conn.NetConn().(*net.TCPConn).SetLinger(0)
		_ = conn.NetConn().Close()
	}
	// What was taken lives, whoever waits for the answer.
	for _, app := range fish.Get[[]struct {
		UID      string
		LabelUID string `json:"label_UID"`
	}](n.Client, applicationsPath) {
		if app.LabelUID == label {
			n.WaitStatus(app.UID, "ALLOCATED")
			n.Deallocate(app.UID)
		}
	}
}
