package link

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// chain is nodes in a row, each linked with the next. Each passes relays on to
// the right; the last one serves what is meant for it.
func chain(t *testing.T, n int, serve func(ctx context.Context, last *fish, conn net.Conn)) (nodes []*fish, first *Link) {
	t.Helper()
	f := newFarm(t)
	for i := range n {
		nodes = append(nodes, f.start(f.identity(fmt.Sprintf("n%d", i))))
	}
	links := make([]*Link, n)
	for i := n - 2; i >= 0; i-- {
		links[i], _ = nodes[i].dial(t, nodes[i+1])
		node, next := nodes[i+1], links[i+1]
		node.set(func() {
			node.relay = func(ctx context.Context, dst model.UID, ttl uint8, conn net.Conn) {
				if dst == node.id.UID {
					serve(ctx, node, conn)
					return
				}
				if next == nil {
					Reset(conn, "no route to node "+dst.String())
					return
				}
				_, _ = Forward(ctx, conn, next, dst, ttl)
			}
		})
	}
	return nodes, links[0]
}

// sumServer secures what comes, reads all of it and answers with its checksum.
func sumServer(ctx context.Context, last *fish, conn net.Conn) {
	s, err := last.Secure(ctx, conn, nil, false)
	if err != nil {
		return
	}
	defer s.Close()
	h := sha256.New()
	if _, err := io.Copy(h, s); err == nil {
		_, _ = s.Write(h.Sum(nil))
	}
}

// TestRelayThroughTwentyHops moves many times the window of a stream, with end-to-end TLS over 20 links, and over one for
// comparison.
func TestRelayThroughTwentyHops(t *testing.T) {
	const total = 4 << 20
	data := noise(1 << 20)
	for _, hops := range []int{1, 20} {
		t.Run(fmt.Sprintf("hops=%d", hops), func(t *testing.T) {
			nodes, first := chain(t, hops+1, sumServer)
			last := nodes[hops]
			conn, err := first.OpenRelay(t.Context(), last.id.UID, uint8(hops-1))
			if err != nil {
				t.Fatal(err)
			}
			begin := time.Now()
			s, err := nodes[0].Secure(t.Context(), conn, &last.id.UID, true)
			if err != nil {
				t.Fatal(err)
			}
			opened := time.Since(begin)
			if s.Peer() != last.id.UID {
				t.Errorf("peer = %v", s.Peer())
			}
			want := sha256.New()
			begin = time.Now()
			for range total / len(data) {
				want.Write(data)
				if _, err := s.Write(data); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(s)
			if err != nil || !bytes.Equal(got, want.Sum(nil)) {
				t.Errorf("checksum = %x, %v, want %x", got, err, want.Sum(nil))
			}
			took := time.Since(begin)
			t.Logf("%d hops: opened in %v, %d MB at %.0f MB/s", hops, opened, total>>20, float64(total)/1e6/took.Seconds())
			_ = s.Close()
			if n := first.Stats().RelaySent; n < int64(total) {
				t.Errorf("relay bytes = %d, want at least %d", n, total)
			}
			for _, n := range nodes {
				n.stop()
			}
		})
	}
}

// crowded is a neighbour all of whose places for relays are taken.
type crowded struct{}

func (crowded) OpenRelay(ctx context.Context, _ model.UID, _ uint8) (net.Conn, error) {
	<-ctx.Done()
	return nil, fmt.Errorf("all places are in use: %w", ctx.Err())
}

// TestForwardDoesNotWaitForEver for a place at the next neighbour: who began the relay has long given up.
func TestForwardDoesNotWaitForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, out := net.Pipe()
		defer out.Close()
		begin := time.Now()
		if _, err := Forward(t.Context(), in, crowded{}, model.UID{1}, 3); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Forward = %v, want that it took too long", err)
		}
		if took := time.Since(begin); took > 10*time.Second {
			t.Errorf("Forward waited %v", took)
		}
		if _, err := out.Read(make([]byte, 1)); err == nil {
			t.Error("the relay that came in goes on")
		}
	})
}

func TestRelayTellsWhatWentWrongOnTheWay(t *testing.T) {
	nodes, first := chain(t, 4, sumServer)
	tests := []struct {
		name string
		dst  model.UID
		ttl  uint8
		want string
	}{
		{"nobody there", model.UID{1}, 9, "no route to node " + model.UID{1}.String()},
		{"too far", nodes[3].id.UID, 1, "longer than allowed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			conn, err := first.OpenRelay(t.Context(), tt.dst, tt.ttl)
			if err != nil {
				t.Fatal(err)
			}
			_, err = nodes[0].Secure(t.Context(), conn, &tt.dst, true)
			var reset *ResetError
			if !errors.As(err, &reset) || !strings.Contains(reset.Reason, tt.want) {
				t.Errorf("Secure = %v, want %q", err, tt.want)
			}
		})
	}
}

func TestSecureRefusesAndTellsBoth(t *testing.T) {
	f := newFarm(t)
	errs := make(chan error, 1)
	a, b := f.start(f.identity("a")), f.start(f.identity("b"))
	b.set(func() {
		b.relay = func(ctx context.Context, _ model.UID, _ uint8, conn net.Conn) {
			_, err := b.Secure(ctx, conn, &a.id.UID, false)
			errs <- err
		}
	})
	here, _ := a.dial(t, b)
	other := f.start(f.identity("other"))
	stranger := newFarm(t)
	foreign := stranger.start(stranger.identity("foreign"))
	tests := []struct {
		name   string
		client *fish
		want   model.UID
		text   string
		code   wire.Code
	}{
		{"another server than wanted", a, other.id.UID, "was expected, but there is", wire.CodeKey},
		{"another client than wanted", other, b.id.UID, "was expected, but there is", wire.CodeKey},
		{"foreign client", foreign, b.id.UID, "was not signed by a CA", wire.CodeCluster},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			conn, err := here.OpenRelay(t.Context(), b.id.UID, 0)
			if err != nil {
				t.Fatal(err)
			}
			_, err = tt.client.Secure(t.Context(), conn, &tt.want, true)
			for side, err := range map[string]error{"client": err, "server": <-errs} {
				var no *Refused
				if !errors.As(err, &no) || no.Code != tt.code || !strings.Contains(no.Text, tt.text) {
					t.Errorf("%s: %v, want code %d, %q", side, err, tt.code, tt.text)
				}
			}
		})
	}
	t.Run("the server is silent", func(t *testing.T) {
		b.set(func() {
			b.relay = func(ctx context.Context, _ model.UID, _ uint8, _ net.Conn) { <-ctx.Done() }
		})
		conn, err := here.OpenRelay(t.Context(), b.id.UID, 0)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		begin := time.Now()
		if _, err := a.Secure(ctx, conn, nil, true); err == nil || time.Since(begin) > 5*time.Second {
			t.Errorf("Secure = %v after %v", err, time.Since(begin))
		}
	})
}

// open returns both ends of a relay stream over one link.
func open(t *testing.T) (a, b *Relay, here *Link) {
	t.Helper()
	_, there, here, _ := pair(t)
	got, release := make(chan net.Conn, 1), make(chan struct{})
	t.Cleanup(func() { close(release) })
	there.set(func() {
		there.relay = func(ctx context.Context, _ model.UID, _ uint8, conn net.Conn) {
			got <- conn
			select {
			case <-release:
			case <-ctx.Done():
			}
		}
	})
	conn, err := here.OpenRelay(t.Context(), there.id.UID, 0)
	if err != nil {
		t.Fatal(err)
	}
	return conn.(*Relay), (<-got).(*Relay), here
}

func TestRelayEnds(t *testing.T) {
	t.Run("half", func(t *testing.T) {
		a, b, _ := open(t)
		_, _ = a.Write([]byte("question"))
		if err := a.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(b); string(got) != "question" || err != nil {
			t.Fatalf("read %q, %v", got, err)
		}
		if _, err := a.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("write after CloseWrite = %v", err)
		}
		_, _ = b.Write([]byte("answer"))
		_ = b.Close()
		if got, err := io.ReadAll(a); string(got) != "answer" || err != nil {
			t.Errorf("read %q, %v", got, err)
		}
		if _, err := a.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("write after the other side's Close = %v", err)
		}
		<-a.Done()
	})
	t.Run("reset", func(t *testing.T) {
		a, b, _ := open(t)
		b.Reset("the disk is full")
		var reset *ResetError
		if _, err := a.Read(make([]byte, 1)); !errors.As(err, &reset) || reset.Reason != "the disk is full" {
			t.Errorf("read = %v", err)
		}
	})
	t.Run("own close wakes own read and write", func(t *testing.T) {
		a, b, _ := open(t)
		errs := make(chan error, 2)
		go func() { _, err := a.Read(make([]byte, 1)); errs <- err }()
		go func() { _, err := a.Write(make([]byte, 4<<20)); errs <- err }() // the other side reads nothing
		for a.link.stats.relayOut.Load() < streamWindow/2 {
			time.Sleep(time.Millisecond)
		}
		_ = a.Close()
		for range 2 {
			select {
			case err := <-errs:
				if !errors.Is(err, net.ErrClosed) {
					t.Errorf("error = %v", err)
				}
			case <-time.After(10 * time.Second):
				t.Fatal("Close woke nobody")
			}
		}
		if _, err := io.Copy(io.Discard, b); err == nil { // it was in the middle of a write
			t.Error("the other side saw an end in order")
		}
	})
	t.Run("deadline ends nothing", func(t *testing.T) {
		a, b, _ := open(t)
		_ = a.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		_, err := a.Read(make([]byte, 1))
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("read = %v", err)
		}
		_ = a.SetReadDeadline(time.Time{})
		_, _ = b.Write([]byte("y"))
		buf := make([]byte, 4)
		if n, err := a.Read(buf); n != 1 || err != nil {
			t.Errorf("read = %d, %v", n, err)
		}
	})
	t.Run("with the link", func(t *testing.T) {
		a, b, here := open(t)
		here.Close(wire.CodeRedundant, "one too many")
		if _, err := a.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("read = %v", err)
		}
		if _, err := b.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("read = %v", err)
		}
		if _, err := a.Write([]byte("x")); err == nil {
			t.Error("write works")
		}
		_, _ = a.Close(), b.Close()
	})
}

// TestRelayHoldsLittleForASlowReader: the sender of a stream waits, the link
// and its other streams go on.
func TestRelayHoldsLittleForASlowReader(t *testing.T) {
	a, b, here := open(t)
	_ = a.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
	n, err := a.Write(make([]byte, 64<<20))
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("write = %d, %v, want a time-out", n, err)
	}
	if n > 2*streamWindow {
		t.Errorf("%d bytes were taken for a reader that reads none", n)
	}
	if err := here.Send(t.Context(), wire.Advert{}); err != nil {
		t.Error(err)
	}
	_ = b.Close()
}

func TestTooManyRelaysWait(t *testing.T) {
	_, b, here, _ := pair(t, limits(func(l *Limits) { l.Relays = 3 }))
	b.set(func() {
		b.relay = func(_ context.Context, _ model.UID, _ uint8, c net.Conn) { _, _ = io.Copy(c, c) }
	})
	var open []net.Conn
	for range 3 {
		c, err := here.OpenRelay(t.Context(), b.id.UID, 0)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := here.OpenRelay(ctx, b.id.UID, 0); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "all 3") {
		t.Errorf("OpenRelay = %v", err)
	}
	_ = open[0].Close()
	c, err := here.OpenRelay(t.Context(), b.id.UID, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = c.Write([]byte("hi"))
	buf := make([]byte, 2)
	if _, err := io.ReadFull(c, buf); err != nil || string(buf) != "hi" {
		t.Errorf("echo = %q, %v", buf, err)
	}
}

// TestHTTPOverARelay is what the API does with it: requests through two hops,
// many at once, and a server that streams.
func TestHTTPOverARelay(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(body)
	})
	mux.HandleFunc("/ticks", func(w http.ResponseWriter, r *http.Request) {
		for i := 0; r.Context().Err() == nil; i++ {
			_, _ = fmt.Fprintln(w, i)
			_ = http.NewResponseController(w).Flush()
			time.Sleep(time.Millisecond)
		}
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	inbox := newInbox()
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(inbox) }()
	defer func() { _ = server.Close(); <-served }()
	nodes, first := chain(t, 3, func(ctx context.Context, last *fish, conn net.Conn) {
		s, err := last.Secure(ctx, conn, nil, false)
		if err != nil {
			return
		}
		inbox.conns <- s
		<-conn.(*Relay).Done()
	})
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := first.OpenRelay(ctx, nodes[2].id.UID, 5)
			if err != nil {
				return nil, err
			}
			return nodes[0].Secure(ctx, conn, &nodes[2].id.UID, true)
		},
	}}
	defer client.CloseIdleConnections()
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			for range 8 {
				body := noise(50_000)
				resp, err := client.Post("http://node/echo", "x/y", bytes.NewReader(body))
				if err != nil {
					t.Errorf("post: %v", err)
					return
				}
				got, err := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if err != nil || !bytes.Equal(got, body) {
					t.Errorf("echo of %d bytes = %d, %v", len(body), len(got), err)
				}
			}
		})
	}
	callers.Wait()
	resp, err := client.Get("http://node/ticks")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(resp.Body, make([]byte, 100)); err != nil {
		t.Error(err)
	}
	_ = resp.Body.Close() // the handler must learn of it, two hops away, or the server's Close below and the goroutine check fail
	client.CloseIdleConnections()
	for end := time.Now().Add(10 * time.Second); first.Stats().RelaySent == 0 || len(first.relays) > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d relays are still open", len(first.relays))
		}
	}
}

// inbox is a listener for connections that are there already.
type inbox struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newInbox() *inbox { return &inbox{conns: make(chan net.Conn), done: make(chan struct{})} }

func (i *inbox) Accept() (net.Conn, error) {
	select {
	case c := <-i.conns:
		return c, nil
	case <-i.done:
		return nil, net.ErrClosed
	}
}

func (i *inbox) Close() error   { i.once.Do(func() { close(i.done) }); return nil }
func (i *inbox) Addr() net.Addr { return &net.TCPAddr{} }
