package link

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// TestRefusalsAreLoggedByBothSides has every reason that one of two nodes can
// have, and looks for its words in both logs.
func TestRefusalsAreLoggedByBothSides(t *testing.T) {
	expired := func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour)
	}
	early := func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }
	tests := []struct {
		name string
		// arrange changes the dialling node a, or b, and says whom a wants at b's address, and a's hello.
		arrange func(f farm, a, b *fish, want **model.UID, hello *wire.Hello)
		code    wire.Code
		text    string
		remote  bool // b refuses
	}{
		{"dialler's certificate expired", func(f farm, a, _ *fish, _ **model.UID, _ *wire.Hello) {
			a.cert = f.signed(a.id, expired)
		}, wire.CodeCertificate, `the certificate of \"a\" expired on`, true},
		{"acceptor's certificate expired", func(f farm, _, b *fish, _ **model.UID, _ *wire.Hello) {
			b.cert = f.signed(b.id, expired)
		}, wire.CodeCertificate, `the certificate of \"b\" expired on`, false},
		{"dialler's certificate not yet valid", func(f farm, a, _ *fish, _ **model.UID, _ *wire.Hello) {
			a.cert = f.signed(a.id, early)
		}, wire.CodeCertificate, `the certificate of \"a\" is valid from`, true},
		{"acceptor does not trust the dialler", func(f farm, _, b *fish, _ **model.UID, _ *wire.Hello) {
			b.roots = newFarm(f.t).identity("foreign").CAPool()
		}, wire.CodeCluster, `the certificate of \"a\" was not signed by a CA that this cluster trusts`, true},
		{"dialler does not trust the acceptor", func(f farm, a, _ *fish, _ **model.UID, _ *wire.Hello) {
			a.roots = newFarm(f.t).identity("foreign").CAPool()
		}, wire.CodeCluster, `the certificate of \"b\" was not signed by a CA that this cluster trusts`, false},
		{"another key than wanted", func(_ farm, a, _ *fish, want **model.UID, _ *wire.Hello) {
			*want = &a.id.UID
		}, wire.CodeKey, "was expected, but there is", false},
		{"hello of another node", func(_ farm, _, b *fish, _ **model.UID, h *wire.Hello) {
			h.Node = b.id.UID
		}, wire.CodeKey, "the hello is of node", true},
		{"newer protocol only", func(_ farm, _, _ *fish, _ **model.UID, h *wire.Hello) {
			h.ProtocolMin, h.ProtocolMax = 7, 9
		}, wire.CodeProtocol, "speaks versions 7 to 9 of the protocol, this node 1 to 1", true},
		{"acceptor's hello of another node", func(_ farm, a, b *fish, _ **model.UID, _ *wire.Hello) {
			b.decide = func(_ context.Context, p *Pending) {
				h := b.hello()
				h.Node = a.id.UID
				_, _ = p.Accept(h)
			}
		}, wire.CodeKey, "the hello is of node", false},
		{"acceptor has no room", func(_ farm, a, b *fish, _ **model.UID, _ *wire.Hello) {
			b.decide = func(_ context.Context, p *Pending) {
				p.Refuse(wire.Refuse{Code: wire.CodeBusy, Text: "busy, try these", Try: []wire.Member{{Node: a.id.UID, Address: "x:1"}}})
			}
		}, wire.CodeBusy, "busy, try these", true},
		{"acceptor decides nothing", func(_ farm, _, b *fish, _ **model.UID, _ *wire.Hello) {
			b.decide = func(context.Context, *Pending) {}
		}, wire.CodeBusy, "came to no decision", true},
		{"clock", func(_ farm, _, b *fish, _ **model.UID, _ *wire.Hello) {
			b.decide = func(_ context.Context, p *Pending) {
				p.Refuse(wire.Refuse{Code: wire.CodeClock, Text: "the clocks differ by 2m"})
			}
		}, wire.CodeClock, "the clocks differ by 2m", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFarm(t)
			a, b := f.start(f.identity("a")), f.start(f.identity("b"))
			f.t = t
			hello, want := a.hello(), (*model.UID)(nil)
			tt.arrange(f, a, b, &want, &hello)
			begin := time.Now()
			l, err := a.Dial(t.Context(), b.addr, want, hello)
			var no *Refused
			if !errors.As(err, &no) || l != nil {
				t.Fatalf("Dial = %v, %v", l, err)
			}
			if no.Code != tt.code || no.Remote != tt.remote || !strings.Contains(no.Text, strings.ReplaceAll(tt.text, `\"`, `"`)) {
				t.Errorf("refusal = %+v, want code %d, remote %v, %q", no, tt.code, tt.remote, tt.text)
			}
			if proved := !strings.Contains(tt.name, "acceptor's certificate") && tt.name != "dialler does not trust the acceptor"; (no.Node == b.id.UID) != proved {
				t.Errorf("node = %v, proved = %v", no.Node, proved)
			}
			if took := time.Since(begin); took > 5*time.Second {
				t.Errorf("it took %v", took)
			}
			if tt.code == wire.CodeBusy && strings.Contains(tt.text, "try") && len(no.Try) != 1 {
				t.Errorf("try = %v", no.Try)
			}
			a.log.await(t, "link refused", tt.text, fmt.Sprintf("by_neighbour=%v", tt.remote))
			if strings.HasPrefix(tt.name, "acceptor's hello") {
				b.log.await(t, "link ended", tt.text)
				return
			}
			b.log.await(t, "link refused", tt.text, fmt.Sprintf("by_neighbour=%v", !tt.remote))
		})
	}
}

// TestForeignNodesTellEachOther: neither trusts the other.
func TestForeignNodesTellEachOther(t *testing.T) {
	f, g := newFarm(t), newFarm(t)
	a, b := f.start(f.identity("a")), g.start(g.identity("b"))
	_, err := a.Dial(t.Context(), b.addr, nil, a.hello())
	var no *Refused
	if !errors.As(err, &no) || no.Code != wire.CodeCluster || no.Remote {
		t.Fatalf("Dial = %v", err)
	}
	for _, words := range []string{`certificate of "b" was not signed`, `the other side says: the certificate of "a" was not signed`} {
		if !strings.Contains(no.Text, words) {
			t.Errorf("text = %q lacks %q", no.Text, words)
		}
	}
	a.log.await(t, "link refused", `the certificate of \"b\" was not signed`)
	b.log.await(t, "link refused", `the certificate of \"a\" was not signed`)
}

func TestSelfAndTwin(t *testing.T) {
	f := newFarm(t)
	id := f.identity("a")
	a := f.start(id)
	twin := f.start(id)
	tests := []struct {
		name string
		to   *fish
		code wire.Code
		text string
	}{
		{"self", a, wire.CodeSelf, "the node dialled itself"},
		{"twin", twin, wire.CodeTwin, "two running processes use the key"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := a.Dial(t.Context(), tt.to.addr, nil, a.hello())
			var no *Refused
			if !errors.As(err, &no) || no.Code != tt.code {
				t.Fatalf("Dial = %v", err)
			}
			a.log.await(t, "link refused", tt.text, "by_neighbour=true")
			tt.to.log.await(t, "link refused", tt.text, "by_neighbour=false")
		})
	}
}

// stranger does a TLS handshake for a link with any certificate, or none.
func stranger(t *testing.T, to *fish, cert *tls.Certificate, change ...func(*tls.Config)) *tls.Conn {
	t.Helper()
	config := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{ALPN}}
	if cert != nil {
		config.Certificates = []tls.Certificate{*cert}
	}
	for _, c := range change {
		c(config)
	}
	raw, err := net.Dial("tcp", to.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = raw.Close() })
	conn := tls.Client(raw, config)
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if err := conn.Handshake(); err != nil {
		t.Fatal(err)
	}
	return conn
}

// refusalOf reads frames until a refusal.
func refusalOf(t *testing.T, conn io.Reader) wire.Refuse {
	t.Helper()
	m, err := wire.ReadFrame(conn)
	r, ok := m.(wire.Refuse)
	if err != nil || !ok {
		t.Fatalf("got %#v, %v, want a refusal", m, err)
	}
	return r
}

func TestStrangersAreToldAndNotHeard(t *testing.T) {
	f := newFarm(t)
	b := f.start(f.identity("b"))
	member := f.identity("a")
	foreign := newFarm(t).identity("foreign")
	tests := []struct {
		name string
		cert *tls.Certificate
		send string
		code wire.Code
		text string
	}{
		{"no certificate", nil, "", wire.CodeCertificate, "no certificate was shown"},
		{"no certificate and HTTP", nil, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", wire.CodeCertificate, "no certificate was shown"},
		{"foreign CA and a hello", foreign.Certificate(), "\x00\x00\x00\x02\x01\xa0", wire.CodeCluster, "was not signed by a CA"},
		{"HTTP of a member", member.Certificate(), "GET / HTTP/1.1\r\nHost: x\r\n\r\n", wire.CodeMisbehaving, "no hello"},
		{"garbage of a member", member.Certificate(), "\x00\x00\x00\x04\xff\xff\xff\xff", wire.CodeMisbehaving, "no hello"},
		{"oversize frame of a member", member.Certificate(), "\x7f\xff\xff\xff\x01", wire.CodeMisbehaving, "no hello"},
		{"another message of a member", member.Certificate(), "\x00\x00\x00\x02\x06\xa0", wire.CodeMisbehaving, "no hello"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			conn := stranger(t, b, tt.cert)
			if _, err := io.WriteString(conn, tt.send); err != nil {
				t.Fatal(err)
			}
			r := refusalOf(t, conn)
			if r.Code != tt.code || !strings.Contains(r.Text, tt.text) {
				t.Errorf("refusal = %+v, want code %d, %q", r, tt.code, tt.text)
			}
			b.log.await(t, "link refused", tt.text, conn.LocalAddr().String())
			if _, err := io.ReadAll(conn); err != nil { // it closes in order
				t.Errorf("after the refusal: %v", err)
			}
		})
	}
}

func TestOldTLSGetsNoLink(t *testing.T) {
	f := newFarm(t)
	b := f.start(f.identity("b"))
	raw, err := net.Dial("tcp", b.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	err = tls.Client(raw, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{ALPN}, MaxVersion: tls.VersionTLS12}).Handshake()
	if err == nil {
		t.Error("TLS 1.2 was taken")
	}
}

// TestHandshakeAndHelloHaveADeadline: a member that says nothing, or half a
// hello, is dropped in time and holds nothing.
func TestHandshakeAndHelloHaveADeadline(t *testing.T) {
	f := newFarm(t)
	b := f.start(f.identity("b"), limits(func(l *Limits) { l.Handshake = 300 * time.Millisecond }))
	a := f.start(f.identity("a"), limits(func(l *Limits) { l.Handshake = 300 * time.Millisecond }))
	for _, send := range []string{"", "\x00\x00", "\x00\x00\x00\x40half"} {
		conn := stranger(t, b, a.id.Certificate())
		_, _ = io.WriteString(conn, send)
		begin := time.Now()
		_, _ = io.ReadAll(conn)
		if took := time.Since(begin); took > 3*time.Second {
			t.Errorf("%q was waited for %v", send, took)
		}
	}
	// The other way round: a server that accepts and is silent, before TLS and after.
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	begin := time.Now()
	if _, err := a.Dial(t.Context(), silent.Addr().String(), nil, a.hello()); err == nil || time.Since(begin) > 3*time.Second {
		t.Errorf("Dial = %v after %v", err, time.Since(begin))
	}
	b.set(func() { b.decide = func(ctx context.Context, _ *Pending) { <-ctx.Done() } })
	begin = time.Now()
	if _, err := a.Dial(t.Context(), b.addr, nil, a.hello()); err == nil || time.Since(begin) > 3*time.Second {
		t.Errorf("Dial = %v after %v", err, time.Since(begin))
	}
}

func TestDialSaysWhatIsWrongAtTheAddress(t *testing.T) {
	f := newFarm(t)
	a := f.start(f.identity("a"))
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Second}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(plain) }()
	defer func() { _ = server.Close(); <-done }()
	https, err := tls.Listen("tcp", "127.0.0.1:0", a.id.ServerTLS())
	if err != nil {
		t.Fatal(err)
	}
	api := &http.Server{ReadHeaderTimeout: time.Second}
	apiDone := make(chan struct{})
	go func() { defer close(apiDone); _ = api.Serve(https) }()
	defer func() { _ = api.Close(); <-apiDone }()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	for address, text := range map[string]string{
		plain.Addr().String():  "speaks no TLS",
		https.Addr().String():  "is in no cluster",
		closed.Addr().String(): "refused",
		"no-port":              "want host:port",
	} {
		if _, err := a.Dial(t.Context(), address, nil, a.hello()); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("Dial(%s) = %v, want %q", address, err, text)
		}
	}
}

// TestFloodOfStrangersIsBounded opens many connections that prove nothing and
// read nothing, while a member joins.
func TestFloodOfStrangersIsBounded(t *testing.T) {
	f := newFarm(t)
	b := f.start(f.identity("b"), limits(func(l *Limits) { l.Strangers, l.Farewell = 4, 2*time.Second }))
	a := f.start(f.identity("a"))
	var conns []*tls.Conn
	for range 60 {
		conns = append(conns, stranger(t, b, nil))
	}
	told, cut := 0, 0
	begin := time.Now()
	a.dial(t, b)
	if took := time.Since(begin); took > time.Second {
		t.Errorf("a member waited %v behind strangers", took)
	}
	if n := len(b.strangers); n > 4 {
		t.Errorf("%d strangers are served at once", n)
	}
	for _, c := range conns {
		if _, err := wire.ReadFrame(c); err != nil {
			cut++
		} else {
			told++
		}
	}
	t.Logf("of 60 strangers %d were told why, %d cut; log lines: %d", told, cut, len(b.log.find("link refused")))
	if told < 4 || cut < 40 {
		t.Errorf("told %d, cut %d", told, cut)
	}
	if n := len(b.log.find("link refused")); n != strangerLines {
		t.Errorf("%d lines about strangers, want %d", n, strangerLines)
	}
}

func TestQuotaCountsWhatItLeavesOut(t *testing.T) {
	var q quota
	now := time.Unix(1000, 0)
	for i := range strangerLines {
		if tell, _ := q.take(now); !tell {
			t.Fatalf("line %d is left out", i)
		}
	}
	for range 5 {
		if tell, _ := q.take(now.Add(time.Second)); tell {
			t.Fatal("too many lines")
		}
	}
	if tell, left := q.take(now.Add(strangerPeriod)); !tell || left != 5 {
		t.Errorf("take = %v, %d, want true, 5", tell, left)
	}
	if tell, left := q.take(now.Add(strangerPeriod)); !tell || left != 0 {
		t.Errorf("take = %v, %d, want true, 0", tell, left)
	}
}
