package app

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/config"
	"github.com/aquarium-fish/aquarium-fish/lib/crypt"
)

// testServer runs a server with a handler of the test's; stop ends it and returns how long that took.
func testServer(t *testing.T, h http.HandlerFunc, change func(*serverOptions)) (s *server, stop func() (time.Duration, error)) {
	t.Helper()
	s = bareServer(t, change)
	s.handle(h)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.run(ctx) }()
	stopped := false
	stop = func() (time.Duration, error) {
		if stopped {
			return 0, nil
		}
		stopped = true
		start := time.Now()
		cancel()
		err := <-ended
		return time.Since(start), err
	}
	t.Cleanup(func() { _, _ = stop() })
	return s, stop
}

// bareServer is one that has only bound its listener.
func bareServer(t *testing.T, change func(*serverOptions)) *server {
	t.Helper()
	id, err := crypt.LoadOrCreate(crypt.Options{Directory: t.TempDir(), NodeName: "fish", NodeAddress: "127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	limits := config.Default()
	o := serverOptions{
		name: "api", address: "127.0.0.1:0", tls: id.ServerTLS(), limits: &limits,
		drain: drainTimeout, log: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&o)
	}
	s, err := newServer(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func ok(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }

// dial opens a TLS connection that speaks HTTP/1.1 by hand.
func dial(t *testing.T, addr string) *tls.Conn {
	t.Helper()
	raw, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	conn := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
	t.Cleanup(func() { _ = raw.Close() })
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	return conn
}

// ask sends one request and reads the answer; the connection stays open.
func ask(conn net.Conn) error {
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: fish\r\n\r\n"); err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	_, err = io.ReadAll(resp.Body)
	return err
}

func mustAsk(t *testing.T, conn net.Conn) {
	t.Helper()
	if err := ask(conn); err != nil {
		t.Fatal(err)
	}
}

// isClosed waits until the other side has closed the connection.
func isClosed(conn net.Conn) bool {
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	_, err := io.Copy(io.Discard, conn)
	timeout, isNet := err.(net.Error) //nolint:errorlint // the connection's own error
	return !isNet || !timeout.Timeout()
}

// waitFor waits until a condition of the tracker holds.
func waitFor(t *testing.T, s *server, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		s.conns.mu.Lock()
		done := holds()
		s.conns.mu.Unlock()
		if done {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come within 10 s", what)
		}
	}
}

func TestStopIsQuickWithOpenConnections(t *testing.T) {
	s, stop := testServer(t, ok, nil)
	mustAsk(t, dial(t, s.addr()))                         // idle HTTP/1.1
	if err := dial(t, s.addr()).Handshake(); err != nil { // TLS, never used
		t.Fatal(err)
	}
	plain, err := net.Dial("tcp", s.addr()) // never even a handshake
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	resp, _ := get(t, &http.Client{Transport: transport}, "https://"+s.addr())
	if resp.ProtoMajor != 2 {
		t.Fatalf("protocol = %s, want HTTP/2", resp.Proto)
	}
	waitFor(t, s, "four connections", func() bool { return len(s.conns.open) == 4 })
	took, err := stop()
	t.Logf("stop took %v", took)
	if err != nil || took > time.Second { // about 35 ms; net/http alone takes five seconds
		t.Errorf("stop took %v, %v, want well under a second", took, err)
	}
}

func TestStopLetsARunningRequestFinish(t *testing.T) {
	started, finish := make(chan struct{}), make(chan struct{})
	s, stop := testServer(t, func(w http.ResponseWriter, r *http.Request) {
		close(started)
		<-finish
		ok(w, r)
	}, nil)
	conn := dial(t, s.addr())
	answered := make(chan error, 1)
	go func() { answered <- ask(conn) }()
	<-started
	go func() {
		time.Sleep(2 * unusedGrace) // past the moment in which unused connections are closed
		close(finish)
	}()
	if took, err := stop(); err != nil || took < 2*unusedGrace {
		t.Errorf("stop took %v, %v, want it to wait for the request", took, err)
	}
	if err := <-answered; err != nil {
		t.Errorf("the running request was not answered: %v", err)
	}
}

func TestStopCutsWhatNeverFinishes(t *testing.T) {
	started := make(chan struct{})
	s, stop := testServer(t, func(_ http.ResponseWriter, r *http.Request) {
		close(started)
		<-r.Context().Done()
	}, func(o *serverOptions) { o.drain = 200 * time.Millisecond })
	conn := dial(t, s.addr())
	go func() { _ = ask(conn) }()
	<-started
	took, err := stop()
	if err == nil || !strings.Contains(err.Error(), "requests still ran after 200ms and were cut") || took > 5*time.Second {
		t.Errorf("stop took %v, %v, want that requests were cut after 200 ms", took, err)
	}
}

func TestSlowClientsAreCut(t *testing.T) {
	body := make(chan error, 1)
	s, _ := testServer(t, func(w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		body <- err
		ok(w, r)
	}, func(o *serverOptions) {
		o.limits.APIHeaderTimeout, o.limits.APIReadTimeout = 100*time.Millisecond, 200*time.Millisecond
		o.limits.APIIdleTimeout = 300 * time.Millisecond
	})
	silent, err := net.Dial("tcp", s.addr())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	if !isClosed(silent) {
		t.Error("a client without a handshake is still connected")
	}
	header := dial(t, s.addr())
	if _, err := io.WriteString(header, "GET / HTTP/1.1\r\nHost: f"); err != nil {
		t.Fatal(err)
	}
	if !isClosed(header) {
		t.Error("a client with half a header is still connected")
	}
	half := dial(t, s.addr())
	if _, err := io.WriteString(half, "POST / HTTP/1.1\r\nHost: fish\r\nContent-Length: 10\r\n\r\n12345"); err != nil {
		t.Fatal(err)
	}
	if err := <-body; err == nil {
		t.Error("half a body was read as a whole one")
	}
	idle := dial(t, s.addr())
	_, _ = io.WriteString(idle, "POST / HTTP/1.1\r\nHost: fish\r\nContent-Length: 0\r\n\r\n")
	if <-body; !isClosed(idle) {
		t.Error("an idle client is still connected")
	}
}

func TestHugeHeaderIsRefused(t *testing.T) {
	s, _ := testServer(t, ok, func(o *serverOptions) { o.limits.APIMaxHeaderSize = 4 << 10 })
	conn := dial(t, s.addr())
	_, _ = fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: fish\r\nX: %s\r\n\r\n", strings.Repeat("x", 16<<10))
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("16 KB of headers: %v, %v, want 431", resp, err)
	}
}

func TestConnectionLimit(t *testing.T) {
	block, entered := make(chan struct{}), make(chan struct{}, 10)
	s, _ := testServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/block" {
			entered <- struct{}{}
			<-block
		}
		ok(w, r)
	}, func(o *serverOptions) { o.limits.APIMaxConnections = 3 })
	defer close(block)
	conns := make([]*tls.Conn, 3)
	for i := range conns {
		conns[i] = dial(t, s.addr())
		mustAsk(t, conns[i])
		waitFor(t, s, "an idle connection", func() bool { return s.conns.idle() == i+1 })
	}
	mustAsk(t, conns[0]) // now the second one is idle for longest
	waitFor(t, s, "three idle connections", func() bool { return s.conns.idle() == 3 })
	mustAsk(t, dial(t, s.addr()))
	if !isClosed(conns[1]) {
		t.Error("the connection that was idle for longest is still open")
	}
	mustAsk(t, conns[0])
	waitFor(t, s, "three idle connections again", func() bool { return s.conns.idle() == 3 }) // which give way to the next

	busy := make([]*tls.Conn, 3)
	for i := range busy {
		busy[i] = dial(t, s.addr())
		if _, err := io.WriteString(busy[i], "GET /block HTTP/1.1\r\nHost: fish\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		<-entered
	}
	if err := ask(dial(t, s.addr())); err == nil {
		t.Error("a connection past the limit was served although all others are busy")
	}
}

// idle counts the idle connections; the caller holds the lock.
func (t *connTracker) idle() int {
	n := 0
	for _, info := range t.open {
		if info.state == http.StateIdle {
			n++
		}
	}
	return n
}

func TestThousandIdleConnections(t *testing.T) {
	s, stop := testServer(t, ok, nil)
	errs := make(chan error, 20)
	for range cap(errs) {
		go func() {
			for range 50 {
				raw, err := net.Dial("tcp", s.addr())
				if err != nil {
					errs <- err
					return
				}
				t.Cleanup(func() { _ = raw.Close() })
				if err := ask(tls.Client(raw, &tls.Config{InsecureSkipVerify: true})); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, s, "1,000 idle connections", func() bool { return s.conns.idle() == 1000 })
	start := time.Now()
	mustAsk(t, dial(t, s.addr()))
	if took := time.Since(start); took > time.Second {
		t.Errorf("a request beside 1,000 idle connections took %v, want well under a second", took)
	}
	if took, err := stop(); err != nil || took > 2*time.Second {
		t.Errorf("stop with 1,000 idle connections took %v, %v", took, err)
	}
}

func TestServerLogLevels(t *testing.T) {
	for text, want := range map[string]string{
		"http: panic serving 1.2.3.4:5: oh": "ERROR", "http: Accept error: too many open files; retrying in 5ms": "WARN",
		"http: TLS handshake error from 1.2.3.4:5: EOF": "DEBUG",
	} {
		var out strings.Builder
		log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
		if _, err := (serverLog{log}).Write([]byte(text + "\n")); err != nil || !strings.Contains(out.String(), "level="+want) {
			t.Errorf("%q logged as %q, want level %s", text, out.String(), want)
		}
	}
}
