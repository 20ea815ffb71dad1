package socksproxy

import (
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// way is a connection to a server that throws away what it gets.
type way struct {
	name     string
	to       net.Conn
	received func() int64
	took     []time.Duration // of each turn
}

// turn sends so many bytes and waits until they are there.
func (w *way) turn(b *testing.B, size int64) {
	start, before := time.Now(), w.received()
	block := make([]byte, 1<<20)
	for range size / int64(len(block)) {
		if _, err := w.to.Write(block); err != nil {
			b.Fatal(err)
		}
	}
	eventually(b, "the bytes are there", func() bool { return w.received()-before >= size })
	w.took = append(w.took, time.Since(start))
}

func (w *way) median() time.Duration {
	sorted := slices.Sorted(slices.Values(w.took))
	return sorted[len(sorted)/2]
}

// sink counts what it is sent on its one connection.
func sink(b *testing.B) (addr string, received func() int64) {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	count := newRelay(nil, nil, time.Hour) // for its counter
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		buf := make([]byte, 1<<20)
		for {
			n, err := c.Read(buf)
			count.received.Add(int64(n))
			if err != nil {
				return
			}
		}
	}()
	b.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String(), count.received.Load
}

// direct, bare and proxied are the ways: no relay, the barest one that there
// is (io.Copy between two TCP connections, splice(2) on Linux), and ours.
func direct(b *testing.B) *way {
	addr, received := sink(b)
	c, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	return &way{name: "direct", to: c, received: received}
}

func bare(b *testing.B) *way {
	addr, received := sink(b)
	near, client := tcpPair(b)
	target, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); _, _ = io.Copy(target, client) }()
	b.Cleanup(func() { near.Close(); <-done; target.Close() })
	return &way{name: "bare", to: near, received: received}
}

func proxied(b *testing.B, name, hello string) *way {
	addr, received := sink(b)
	w := start(b, nil)
	w.mapTo(model.NilUID, "sink>"+addr)
	c := w.dial()
	_ = c.SetDeadline(time.Time{})
	_, _ = io.WriteString(c, hello)
	answer := make([]byte, 512)
	if n, err := c.Read(answer); err != nil || !strings.Contains(string(answer[:n]), "\x05\x00") && !strings.Contains(string(answer[:n]), " 200 ") {
		b.Fatalf("answer %q, %v", answer[:n], err)
	}
	return &way{name: name, to: c, received: received}
}

// BenchmarkThroughput lets the ways take turns, so that what else the machine
// does slows all of them alike, and compares the medians with the bare relay's.
func BenchmarkThroughput(b *testing.B) {
	const size = 128 << 20
	ways := []*way{
		direct(b), bare(b), proxied(b, "socks", "\x05\x01\x00\x05\x01\x00\x03\x04sink\x00\x50"),
		proxied(b, "connect", "CONNECT sink:80 HTTP/1.1\r\n\r\n"),
	}
	b.SetBytes(size * int64(len(ways)))
	for first := 0; b.Loop(); first++ {
		for i := range ways {
			ways[(first+i)%len(ways)].turn(b, size)
		}
	}
	for _, w := range ways {
		b.ReportMetric(size/w.median().Seconds()/1e6, w.name+"-MB/s")
		b.ReportMetric(100*ways[1].median().Seconds()/w.median().Seconds(), fmt.Sprintf("%%-%s/bare", w.name))
	}
}

// BenchmarkConnect is one new connection, from the greeting to the first byte.
func BenchmarkConnect(b *testing.B) {
	w := start(b, func(o *Options) { o.Limits.Rate = 1 << 20 })
	w.mapTo(model.NilUID, "echo>"+w.echo())
	for b.Loop() {
		c, err := net.Dial("tcp", w.proxy)
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.WriteString(c, "\x05\x01\x00\x05\x01\x00\x03\x04echo\x00\x50x")
		if _, err := io.ReadFull(c, make([]byte, 2+10+1)); err != nil {
			b.Fatal(err)
		}
		c.Close()
	}
}
