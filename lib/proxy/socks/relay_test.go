package socksproxy

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// tcpPair is a connection with both of its ends.
func tcpPair(t testing.TB) (a, b *net.TCPConn) {
	t.Helper()
	l, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dialed := make(chan net.Conn, 1)
	go func() {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Error(err)
		}
		dialed <- c
	}()
	accepted, err := l.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	a = (<-dialed).(*net.TCPConn)
	t.Cleanup(func() { a.Close(); accepted.Close() })
	return a, accepted
}

// relayed is a relay that runs, with the far ends of both connections.
type relayed struct {
	*relay
	near, far *net.TCPConn // of the client, of the target
	ended     chan error
	cancel    context.CancelCauseFunc
}

func startRelay(t testing.TB, idle time.Duration, early string) relayed {
	t.Helper()
	near, client := tcpPair(t)
	target, far := tcpPair(t)
	ctx, cancel := context.WithCancelCause(context.Background())
	r := relayed{newRelay(client, target, idle), near, far, make(chan error, 1), cancel}
	go func() { r.ended <- r.run(ctx, []byte(early)) }()
	t.Cleanup(func() { cancel(errors.New("the test is over")) })
	return r
}

func (r relayed) wait(t testing.TB) error {
	t.Helper()
	select {
	case err := <-r.ended:
		return err
	case <-time.After(10 * time.Second):
		t.Fatal("the relay does not end")
		return nil
	}
}

func TestRelayKeepsHalfClose(t *testing.T) {
	for _, first := range []string{"client", "target"} {
		t.Run(first+" first", func(t *testing.T) {
			r := startRelay(t, time.Minute, "early ")
			one, other := r.near, r.far
			if first == "target" {
				one, other = other, one
			}
			_, _ = io.WriteString(one, "question")
			_ = one.CloseWrite()
			got, err := io.ReadAll(other) // sees the end although it says nothing yet
			want := "question"
			if first == "client" {
				want = "early question"
			}
			if string(got) != want || err != nil {
				t.Errorf("got %q, %v, want %q", got, err, want)
			}
			_, _ = io.WriteString(other, "answer")
			_ = other.Close()
			got, err = io.ReadAll(one)
			if want := map[bool]string{true: "answer", false: "early answer"}[first == "client"]; string(got) != want || err != nil {
				t.Errorf("got %q, %v, want %q", got, err, want)
			}
			if err := r.wait(t); err != nil {
				t.Errorf("relay ended with %v", err)
			}
			if r.sent.Load() == 0 || r.received.Load() == 0 || r.sent.Load()+r.received.Load() != int64(len("early questionanswer")) {
				t.Errorf("counted %d and %d bytes", r.sent.Load(), r.received.Load())
			}
		})
	}
}

// A connection that broke must not look like one that ended: the reader would
// take what it has for all of it.
func TestRelayPassesAResetOn(t *testing.T) {
	for _, who := range []string{"client", "target"} {
		t.Run(who, func(t *testing.T) {
			r := startRelay(t, time.Minute, "")
			one, other := r.near, r.far
			if who == "target" {
				one, other = other, one
			}
			_, _ = io.WriteString(one, "half of it")
			buf := make([]byte, 64)
			if n, err := other.Read(buf); string(buf[:n]) != "half of it" || err != nil {
				t.Fatalf("got %q, %v", buf[:n], err)
			}
			_ = one.SetLinger(0)
			_ = one.Close()
			if n, err := other.Read(buf); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the other side read %d bytes, %v, want a reset", n, err)
			}
			if err := r.wait(t); err == nil {
				t.Error("the relay says that all was in order")
			}
		})
	}
}

// A server that takes no more says so and closes, while the client still sends.
func TestRelayDeliversTheLastWord(t *testing.T) {
	r := startRelay(t, time.Minute, "")
	go func() { _, _ = io.Copy(r.near, rand.Reader) }()
	if _, err := io.ReadFull(r.far, make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(r.far, "too large")
	_ = r.far.Close() // with bytes that nobody reads: a reset
	got := make([]byte, len("too large"))
	if _, err := io.ReadFull(r.near, got); err != nil || string(got) != "too large" {
		t.Errorf("got %q, %v", got, err)
	}
	if err := r.wait(t); err == nil {
		t.Error("the relay says that all was in order")
	}
}

func TestRelayEndsWhenIdle(t *testing.T) {
	const idle = 600 * time.Millisecond
	r := startRelay(t, idle, "")
	buf := make([]byte, 1)
	for range 8 { // not while one side says something now and then, for longer than that in all
		_ = r.near.SetReadDeadline(time.Now().Add(idle / 6))
		if n, err := r.near.Read(buf); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("instead of silence %d bytes, %v", n, err)
		}
		_ = r.near.SetReadDeadline(time.Time{})
		_, _ = r.far.Write([]byte("x"))
		if _, err := r.near.Read(buf); err != nil {
			t.Fatal(err)
		}
	}
	start := time.Now()
	if err := r.wait(t); !errors.Is(err, errIdle) {
		t.Errorf("ended with %v, want errIdle", err)
	}
	if took := time.Since(start); took < idle/2 {
		t.Errorf("cut after %v of silence, want %v", took, idle)
	}
	if _, err := r.near.Read(buf); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client sees %v, want a reset", err)
	}
}

// Who takes nothing holds a connection only so long, too.
func TestRelayEndsWhenStuck(t *testing.T) {
	r := startRelay(t, 300*time.Millisecond, "")
	go func() { _, _ = io.Copy(r.far, rand.Reader) }() // and nobody reads
	if err := r.wait(t); err == nil {
		t.Error("ended in order")
	}
}

func TestRelayIsCut(t *testing.T) {
	r := startRelay(t, time.Minute, "")
	reason := errors.New("the environment is gone")
	r.cancel(reason)
	if err := r.wait(t); !errors.Is(err, reason) {
		t.Errorf("ended with %v, want the reason", err)
	}
	if _, err := r.near.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client sees %v, want a reset", err)
	}
}

func TestRelayCarriesEveryByte(t *testing.T) {
	size := 256 << 20 // over several chunks
	if testing.Short() {
		size = 8 << 20
	}
	block := make([]byte, 1<<20)
	_, _ = rand.Read(block)
	r := startRelay(t, time.Minute, "")
	go func() {
		for range size / len(block) {
			_, _ = r.near.Write(block)
		}
		_ = r.near.CloseWrite()
	}()
	got, at := make([]byte, len(block)), 0
	for ; ; at += len(got) {
		if _, err := io.ReadFull(r.far, got); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, block) {
			t.Fatalf("the block at %d differs", at)
		}
	}
	_ = r.far.Close()
	if err := r.wait(t); err != nil || at != size || r.sent.Load() != int64(size) {
		t.Errorf("got %d bytes, counted %d, %v, want %d", at, r.sent.Load(), err, size)
	}
}
