package link

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
)

// TestLongReasonArrives: names are of any script, and a character that is cut
// in two would make the frame unreadable.
func TestLongReasonArrives(t *testing.T) {
	for _, text := range []string{strings.Repeat("é", maxReason), "x" + strings.Repeat("é", maxReason), "a name \xff of no script"} {
		no := refuse(wire.CodeName, "%s", text)
		var b bytes.Buffer
		if err := wire.WriteFrame(&b, no.frame()); err != nil {
			t.Fatal(err)
		}
		got := refusalOf(t, &b)
		if got.Code != wire.CodeName || got.Text != no.Text || len(got.Text) < min(len(text), maxReason)-4 {
			t.Errorf("refusal of %d bytes = %d bytes, code %d", len(no.Text), len(got.Text), got.Code)
		}
	}
}

// TestOneNodeTakesFewPlaces: a machine that was retired has a good certificate,
// opens connections, says nothing, and keeps nobody else out.
func TestOneNodeTakesFewPlaces(t *testing.T) {
	f := newFarm(t)
	b := f.start(f.identity("b"), limits(func(l *Limits) { l.Pending = 8 }))
	a, stolen := f.start(f.identity("a")), f.identity("stolen")
	var conns []*tls.Conn
	for range 20 {
		conns = append(conns, stranger(t, b, stolen.Certificate()))
	}
	cut := 0
	for _, c := range conns[:16] { // whoever has no place is cut; it may be any but four
		_ = c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		if _, err := c.Read(make([]byte, 1)); err != nil && !strings.Contains(err.Error(), "timeout") {
			cut++
		}
	}
	if cut < 16-maxAsking {
		t.Errorf("%d of 16 silent connections of one node were cut, want all but %d", cut, maxAsking)
	}
	a.dial(t, b)
}

// TestOneNodeGetsFewLines: it may also ask for ever.
func TestOneNodeGetsFewLines(t *testing.T) {
	f := newFarm(t)
	b := f.start(f.identity("b"))
	b.decide = func(_ context.Context, p *Pending) { p.Refuse(wire.Refuse{Code: wire.CodeRetired, Text: "retired"}) }
	a := f.start(f.identity("a"))
	for range 3 * strangerLines {
		if _, err := a.Dial(t.Context(), b.addr, nil, a.hello()); err == nil {
			t.Fatal("a link was made")
		}
	}
	for name, n := range map[string]*fish{"refused": a, "refusing": b} {
		if lines := len(n.log.find("link refused", "retired")); lines != strangerLines {
			t.Errorf("the %s node logged %d lines, want %d", name, lines, strangerLines)
		}
	}
}

// TestAddressWritesNoHeader: other nodes tell addresses, and what is dialled
// through a proxy is a line of a request.
func TestAddressWritesNoHeader(t *testing.T) {
	f := newFarm(t)
	asked := make(chan string, 1)
	gateway := newGateway(t, func(conn net.Conn, r *bufio.Reader) string {
		line, _ := r.ReadString('\n')
		asked <- line
		_, _ = io.WriteString(conn, "HTTP/1.1 403 no\r\n\r\n")
		return ""
	})
	a := f.start(f.identity("a"), via("http://"+gateway.addr))
	_, err := a.Dial(t.Context(), "[x HTTP/1.1\r\nCookie: a]:443", nil, a.hello())
	if err == nil || !strings.Contains(err.Error(), "want host:port") {
		t.Errorf("Dial = %v, want host:port", err)
	}
	select {
	case line := <-asked:
		t.Errorf("the proxy was asked %q", line)
	default:
	}
}
