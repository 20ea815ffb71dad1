package link

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/yamux"
	"github.com/klauspost/compress/flate"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// rogue is a member of the cluster whose program does as the test likes, from
// the hellos on.
type rogue struct {
	net.Conn
	session *yamux.Session
	link    *Link // the honest side
}

func newRogue(t *testing.T, to *fish, as *fish) rogue {
	t.Helper()
	conn := stranger(t, to, as.id.Certificate())
	if err := wire.WriteFrame(conn, as.hello()); err != nil {
		t.Fatal(err)
	}
	if m, err := wire.ReadFrame(conn); err != nil {
		t.Fatalf("hello = %v, %v", m, err)
	}
	session, err := yamux.Client(conn, muxConfig(Limits{}.withDefaults(), slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.Close() })
	return rogue{Conn: conn, session: session, link: <-to.links}
}

// stream opens one and writes to it.
func (r rogue) stream(t *testing.T, data string) *yamux.Stream {
	t.Helper()
	s, err := r.session.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(s, data); err != nil {
		t.Fatal(err)
	}
	return s
}

// deflated is compressed data, as a data stream holds it.
func deflated(data []byte) string {
	var b bytes.Buffer
	z, _ := flate.NewWriter(&b, flate.BestSpeed)
	_, _ = z.Write(data)
	_ = z.Flush()
	return b.String()
}

func frame(size uint32, data string) string {
	return string(binary.BigEndian.AppendUint32(nil, size)) + data
}

// TestMisbehavingNeighboursLoseTheLink, and the log says why.
func TestMisbehavingNeighboursLoseTheLink(t *testing.T) {
	f := newFarm(t)
	a, b := f.start(f.identity("a")), f.start(f.identity("b"), limits(func(l *Limits) { l.Handshake, l.Relays, l.Farewell = time.Second, 4, 100*time.Millisecond }))
	bomb := "d" + deflated(append([]byte(frame(4<<20, "\x07")), make([]byte, 8<<20)...)) // it takes a while
	tests := []struct {
		name string
		do   func(t *testing.T, r rogue)
		want string
	}{
		{"oversize control frame", func(t *testing.T, r rogue) { r.stream(t, "c"+frame(1<<30, "x")) }, "can not be read"},
		{"empty control frame", func(t *testing.T, r rogue) { r.stream(t, "c"+frame(0, "")) }, "can not be read"},
		{"control frame of nonsense", func(t *testing.T, r rogue) { r.stream(t, "c"+frame(3, "\x01\xff\xff")) }, "can not be read"},
		{"control stream that ends in a frame", func(t *testing.T, r rogue) {
			_ = r.stream(t, "c"+frame(100, "half")).Close()
		}, "use control stream: read frame: unexpected EOF"},
		{"control stream that ends", func(t *testing.T, r rogue) { _ = r.stream(t, "c").Close() }, "closed the control stream"},
		{"no control stream", func(*testing.T, rogue) {}, "opened none within"},
		{"data stream that is not compressed", func(t *testing.T, r rogue) {
			r.stream(t, "c")
			r.stream(t, "d"+strings.Repeat("\xff", 100))
		}, "can not be read"},
		{"oversize data frame", func(t *testing.T, r rogue) {
			r.stream(t, "c")
			r.stream(t, "d"+deflated([]byte(frame(1<<30, ""))))
		}, "can not be read"},
		{"a bomb: 4 MB of zeros as a frame", func(t *testing.T, r rogue) {
			r.stream(t, "c")
			r.stream(t, bomb)
		}, "can not be read"},
		{"garbage instead of streams", func(_ *testing.T, r rogue) {
			_, _ = r.Write(bytes.Repeat([]byte("GET / HTTP/1.1\r\n"), 10))
		}, "sent what is none"},
		{"too many streams", func(t *testing.T, r rogue) {
			r.stream(t, "c")
			for range 2*4 + someStreams + 1 {
				if _, err := r.session.OpenStream(); err != nil {
					return
				}
			}
		}, "too many streams"},
		{"streams that it never closes", func(t *testing.T, r rogue) {
			r.stream(t, "c")
			for range 2*4 + someStreams + 1 { // of no kind: closed here, and each holds a window
				s, err := r.session.OpenStream()
				if err != nil {
					return
				}
				_, _ = s.Write([]byte("x junk"))
				_, _ = io.Copy(io.Discard, s) // until it is closed there
			}
		}, "too many streams"},
		{"connection killed", func(t *testing.T, r rogue) {
			r.stream(t, "c"+frame(100, "half a frame"))
			tcp := r.Conn.(interface{ NetConn() net.Conn }).NetConn().(*net.TCPConn)
			_ = tcp.SetLinger(0) // a reset
			_ = tcp.Close()
		}, "neighbour"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRogue(t, b, a)
			tt.do(t, r)
			err := awaitDone(t, r.link)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Err() = %v, want %q", err, tt.want)
			}
			b.log.await(t, "link ended", tt.want)
		})
	}
}

// TestReasonReachesTheMisbehavingSide reads what the honest side says at the
// end.
func TestReasonReachesTheMisbehavingSide(t *testing.T) {
	f := newFarm(t)
	a, b := f.start(f.identity("a")), f.start(f.identity("b"))
	r := newRogue(t, b, a)
	s := r.stream(t, "c"+frame(1<<30, "x"))
	if got := refusalOf(t, s); got.Code != wire.CodeMisbehaving || !strings.Contains(got.Text, "control stream can not be read") {
		t.Errorf("told %+v", got)
	}
}

// TestUnknownThingsOfALaterVersionAreSkipped, and harmless oddities borne.
func TestUnknownThingsOfALaterVersionAreSkipped(t *testing.T) {
	f := newFarm(t)
	a, b := f.start(f.identity("a")), f.start(f.identity("b"))
	r := newRogue(t, b, a)
	control := r.stream(t, "c"+frame(3, "\x7f\xa0\x00")) // message 127
	ask := func(id uint32) {
		t.Helper()
		if err := wire.WriteFrame(control, wire.DigestAsk{ID: id}); err != nil {
			t.Fatal(err)
		}
		if m, err := r.link.Receive(t.Context()); err != nil || m != any(wire.DigestAsk{ID: id}) {
			t.Errorf("Receive = %v, %v", m, err)
		}
	}
	ask(6)                      // heads are read beside each other: from here on the first control stream is known
	r.stream(t, "x later kind") // a stream of another kind
	r.stream(t, "c")            // a second control stream
	r.stream(t, "")             // says nothing
	_ = r.stream(t, "r half a head").Close()
	ask(7)
	if err := r.link.Err(); err != nil {
		t.Errorf("the link ended: %v", err)
	}
}

// TestMalformedRelayFrames end the relay, never the link.
func TestMalformedRelayFrames(t *testing.T) {
	f := newFarm(t)
	a, b := f.start(f.identity("a")), f.start(f.identity("b"))
	errs := make(chan error, 1)
	b.set(func() { b.relay = readAll(errs) })
	r := newRogue(t, b, a)
	r.stream(t, "c")
	head := "r" + string(b.id.UID[:]) + "\x05"
	for _, tt := range []struct{ name, send, want string }{
		{"oversize", head + "\x00\xff\xff", "malformed"},
		{"unknown type", head + "\x09\x00\x00", "malformed"},
		{"half a frame", head + "\x00\x00\x10abc", "cut off by the neighbour"},
		{"no end", head + "\x00\x00\x01a", "cut off by the neighbour"},
	} {
		s := r.stream(t, tt.send)
		_ = s.Close()
		if err := <-errs; err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	if err := r.link.Err(); err != nil {
		t.Errorf("the link ended: %v", err)
	}
}

// wall is a TCP relay in front of a node that can stop to carry anything, as a
// firewall or a dead machine does.
type wall struct {
	addr string
	rate int // bytes a second each way, 0 for no limit
	mu   sync.Mutex
	cut  bool
}

func newWall(t *testing.T, to string, rate int) *wall {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wall{addr: listener.Addr().String(), rate: rate}
	var work sync.WaitGroup
	var conns []net.Conn
	work.Go(func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			w.mu.Lock()
			conns = append(conns, in, out)
			w.mu.Unlock()
			work.Go(func() { w.carry(out, in) })
			work.Go(func() { w.carry(in, out) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		w.mu.Lock()
		for _, c := range conns {
			_ = c.Close()
		}
		w.mu.Unlock()
		work.Wait()
	})
	return w
}

func (w *wall) carry(to, from net.Conn) {
	buf := make([]byte, 4096)
	if w.rate > 0 {
		_ = from.(*net.TCPConn).SetReadBuffer(192 << 10) // a line holds little, but a loopback packet
	}
	for {
		n, err := from.Read(buf)
		if w.rate > 0 {
			time.Sleep(time.Duration(n) * time.Second / time.Duration(w.rate))
		}
		w.mu.Lock()
		cut := w.cut
		w.mu.Unlock()
		if cut {
			if err != nil {
				return
			}
			continue // swallowed: nobody sees a close either
		}
		if err != nil {
			_ = to.Close()
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// TestSilentCutIsNoticedInTime measures how long both sides take to notice
// that nothing comes any more, with the real times: goal < 8 s.
func TestSilentCutIsNoticedInTime(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	a, b := f.start(f.identity("a")), f.start(f.identity("b"))
	w := newWall(t, b.addr, 0)
	here, err := a.Dial(t.Context(), w.addr, nil, a.hello())
	if err != nil {
		t.Fatal(err)
	}
	there := <-b.links
	busy, err := a.Dial(t.Context(), w.addr, nil, a.hello()) // one with much to send
	if err != nil {
		t.Fatal(err)
	}
	busyThere := <-b.links
	stop := make(chan struct{})
	var sender sync.WaitGroup
	sender.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				if busy.Send(t.Context(), wire.Ballots{Batches: make([]byte, 20_000)}) != nil {
					return
				}
			}
		}
	})
	sender.Go(func() {
		for {
			if _, err := busyThere.Receive(t.Context()); err != nil {
				return
			}
		}
	})
	time.Sleep(50 * time.Millisecond) // some traffic first
	w.mu.Lock()
	w.cut = true
	w.mu.Unlock()
	begin := time.Now()
	for name, l := range map[string]*Link{"dialler": here, "acceptor": there, "busy dialler": busy, "busy acceptor": busyThere} {
		err := awaitDone(t, l)
		took := time.Since(begin)
		t.Logf("%s noticed by %v: %v", name, took.Round(10*time.Millisecond), err)
		if !errors.Is(err, errSilent) || took > 8*time.Second {
			t.Errorf("%s: %v after %v", name, err, took)
		}
	}
	close(stop)
	sender.Wait()
}

// TestNewCertificatesAndCAsServeWithoutARestart: a renewed certificate, a
// second CA in the bundle, then the first one gone.
func TestNewCertificatesAndCAsServeWithoutARestart(t *testing.T) {
	f, g := newFarm(t), newFarm(t)
	recheck := limits(func(l *Limits) { l.Recheck = 20 * time.Millisecond })
	a, b := f.start(f.identity("a"), recheck), f.start(f.identity("b"), recheck)
	c := g.start(g.identity("c"))
	if _, err := c.Dial(t.Context(), b.addr, nil, c.hello()); err == nil {
		t.Fatal("another CA was trusted")
	}
	old, oldThere := a.dial(t, b)

	renewed := f.signed(a.id, func(*x509.Certificate) {})
	a.set(func() { a.cert = renewed })
	next, nextThere := a.dial(t, b)
	if got := nextThere.id.chain[0]; !got.Equal(renewed.Leaf) || nextThere.Peer().Node != a.id.UID {
		t.Errorf("the new certificate was not shown, or is of another node: %v", nextThere.Peer().Node)
	}

	both := a.id.CAPool().Clone() // the other one is in use
	both.AddCert(c.id.CAs()[0])
	b.set(func() { b.roots = both })
	c.set(func() { c.roots = both })
	fresh, freshThere := c.dial(t, b)
	time.Sleep(60 * time.Millisecond) // some rechecks
	for _, l := range []*Link{old, oldThere, next, nextThere, fresh, freshThere} {
		if err := l.Err(); err != nil {
			t.Errorf("a link ended: %v", err)
		}
	}

	onlyNew := c.id.CAPool()
	b.set(func() { b.roots = onlyNew })
	for _, l := range []*Link{old, oldThere, next, nextThere} {
		var no *Refused
		if err := awaitDone(t, l); !errors.As(err, &no) || no.Code != wire.CodeCluster {
			t.Errorf("Err() = %v", err)
		}
	}
	if err := fresh.Err(); err != nil {
		t.Errorf("the link of the new CA ended: %v", err)
	}
}

// TestUsageAndNamesInACertificateDoNotMatter: an administrator's own CA may
// write anything there.
func TestUsageAndNamesInACertificateDoNotMatter(t *testing.T) {
	f := newFarm(t)
	a, b := f.start(f.identity("a")), f.start(f.identity("b"))
	for _, n := range []*fish{a, b} {
		n.set(func() {
			n.cert = f.signed(n.id, func(c *x509.Certificate) {
				c.Subject.CommonName = "someone"
				c.DNSNames = []string{"elsewhere.example"}
				c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}
			})
		})
	}
	here, there := a.dial(t, b)
	if here.Peer().Node != b.id.UID || there.Peer().Node != a.id.UID {
		t.Errorf("peers = %v, %v", here.Peer().Node, there.Peer().Node)
	}
}

func TestLinkEndsWhenACertificateExpires(t *testing.T) {
	f := newFarm(t)
	recheck := limits(func(l *Limits) { l.Recheck = 20 * time.Millisecond })
	a, b := f.start(f.identity("a"), recheck), f.start(f.identity("b"), recheck)
	a.set(func() {
		a.cert = f.signed(a.id, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(2 * time.Second) })
	})
	here, _ := a.dial(t, b)
	var no *Refused
	if err := awaitDone(t, here); !errors.As(err, &no) || no.Code != wire.CodeCertificate || !no.Remote {
		t.Errorf("Err() = %v", err)
	}
	b.log.await(t, "link ended", "expired on")
}

// readAll is a relay handler that reads to the end and tells how that went.
func readAll(errs chan<- error) relayHandler {
	return func(_ context.Context, _ model.UID, _ uint8, conn net.Conn) {
		_, err := io.Copy(io.Discard, conn)
		errs <- err
	}
}

// TestBulkOverASlowLineKeepsTheLinkAlive: pings do not wait behind megabytes.
// Where they do, behind very many relays, the link lives for as long as bytes go
// both ways.
func TestBulkOverASlowLineKeepsTheLinkAlive(t *testing.T) {
	t.Parallel()
	for name, relays := range map[string]int{"few relays": 3, "many relays": 60} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bulk(t, relays)
		})
	}
}

func bulk(t *testing.T, relays int) {
	quick := limits(func(l *Limits) { l.KeepAlive, l.Dead = 700*time.Millisecond, 2800*time.Millisecond })
	f := newFarm(t)
	a, b := f.start(f.identity("a"), quick), f.start(f.identity("b"), quick)
	w := newWall(t, b.addr, 400<<10)
	here, err := a.Dial(t.Context(), w.addr, nil, a.hello())
	if err != nil {
		t.Fatal(err)
	}
	there := <-b.links
	b.set(func() {
		b.relay = func(_ context.Context, _ model.UID, _ uint8, c net.Conn) { _, _ = io.Copy(io.Discard, c) }
	})
	var work sync.WaitGroup
	data := noise(8 << 20)
	for range relays {
		work.Go(func() {
			conn, err := here.OpenRelay(t.Context(), b.id.UID, 0)
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			_ = conn.SetWriteDeadline(time.Now().Add(4 * time.Second))
			_, _ = conn.Write(data)
		})
	}
	work.Wait()
	s := here.Stats()
	t.Logf("4 s at 400 KB/s: carried %d KB, RTT %v", s.RelaySent>>10, here.RTT())
	if here.Err() != nil || there.Err() != nil {
		t.Errorf("the link ended: %v, %v", here.Err(), there.Err())
	}
	if s.RelaySent < 800<<10 {
		t.Errorf("only %d KB were carried", s.RelaySent>>10)
	}
}
