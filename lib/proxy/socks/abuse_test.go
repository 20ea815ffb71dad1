package socksproxy

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/audit"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// A thousand strangers that say nothing, say it slowly or talk nonsense hold
// up nobody, and leave nothing behind.
func TestThousandStrangers(t *testing.T) {
	count := 1000
	if testing.Short() {
		count = 200
	}
	w := start(t, func(o *Options) { o.Limits.Handshake, o.Limits.MaxUnidentified = 500*time.Millisecond, 64 })
	known := w.entries[0]
	w.mapTo(model.NilUID, "echo>"+w.echo())
	w.admit(nil)
	before := runtime.NumGoroutine()
	nonsense := []string{
		"", "\x05", "\x05\x01", "\x05\xff\x00", "\x05\x01\x00", "\x05\x01\x00\x05", "\x05\x01\x00\x05\x01\x00\x03\xff", "\x05\x01\x02\x01\xff",
		"G", "CONNECT ", "CONNECT a:1 HTTP/1.1\r\n", "\x00", "\x16\x03\x01", strings.Repeat("A", 20_000), "\x05\x01\x00" + strings.Repeat("\x05", 20_000),
	}
	var strangers sync.WaitGroup
	for i := range count {
		strangers.Go(func() {
			c, err := w.tryDial()
			if err != nil {
				return // one too many
			}
			defer c.Close()
			text := nonsense[i%len(nonsense)]
			if i%3 == 0 { // one byte at a time
				for j := range len(text) {
					if _, err := c.Write([]byte{text[j]}); err != nil {
						return
					}
				}
			} else {
				_, _ = io.WriteString(c, text)
			}
			if _, err := io.Copy(io.Discard, c); err != nil && strings.Contains(err.Error(), "timeout") {
				t.Errorf("nobody ended a connection that said %.10q", text)
			}
		})
	}
	// Meanwhile an environment gets its turn, as its address is known.
	w.admit(known)
	eventually(t, "an environment is connected", func() bool { _, status := w.connect("echo:80"); return strings.HasPrefix(status, "200") })
	strangers.Wait()
	eventually(t, "the goroutines are gone", func() bool { return runtime.NumGoroutine() <= before+8 })
	w.locked(func() {
		if n := len(w.events); n > 100 {
			t.Errorf("%d events for them in the audit", n)
		}
	})
}

// Whatever is sent, the proxy answers or closes, and stays.
func TestRandomBytes(t *testing.T) {
	w := start(t, func(o *Options) { o.Limits.Handshake, o.Limits.Connections = 300*time.Millisecond, 1000 })
	to := w.echo()
	w.mapTo(model.NilUID, "echo>"+to)
	r := rand.New(rand.NewPCG(1, 2))
	starts := []string{"\x05", "\x05\x01\x00", "\x05\x01\x00\x05\x01\x00", "CONNECT ", "CONNECT echo:80 HTTP/1.1\r\n", ""}
	var clients sync.WaitGroup
	for range 200 {
		text := []byte(starts[r.IntN(len(starts))])
		for range r.IntN(300) {
			text = append(text, byte(r.Uint32()))
		}
		clients.Go(func() {
			c, err := w.tryDial()
			if err != nil {
				return // the one before is not gone yet
			}
			defer c.Close()
			_, _ = c.Write(text)
			_ = c.CloseWrite()
			if _, err := io.Copy(io.Discard, c); err != nil && strings.Contains(err.Error(), "timeout") {
				t.Errorf("nobody ended a connection that said %q", text)
			}
		})
	}
	clients.Wait()
	if _, status := w.connect("echo:80"); !strings.HasPrefix(status, "200") {
		t.Errorf("afterwards: %s", status)
	}
}

// One environment has so many connections and no more; what it closes it may
// open again, and another one does not notice.
func TestConnectionsOfOne(t *testing.T) {
	w := start(t, func(o *Options) { o.Limits.Connections = 5 })
	w.mapTo(model.NilUID, "echo>"+w.echo())
	var open []*net.TCPConn
	for range 5 {
		c, status := w.connect("echo:80")
		if !strings.HasPrefix(status, "200") {
			t.Fatal(status)
		}
		open = append(open, c)
	}
	if _, status := w.connect("echo:80"); status != "" {
		t.Errorf("one too many: %q, want the connection reset", status)
	}
	w.admit(w.environment(2))
	if _, status := w.connect("echo:80"); !strings.HasPrefix(status, "200") {
		t.Errorf("another environment: %q", status)
	}
	w.admit(w.entries[0])
	open[0].Close()
	eventually(t, "its place is free again", func() bool { _, status := w.connect("echo:80"); return strings.HasPrefix(status, "200") })
	if got := fmt.Sprint(w.noted()); !strings.Contains(got, string(audit.ResultLimited)) {
		t.Errorf("events %s, want one of the limit", got)
	}
	// With a credential the answer says so.
	w.locked(func() { w.own, w.known, w.secrets["a:b"] = true, nil, model.UID{1} })
	c := w.dial()
	fmt.Fprintf(c, "CONNECT echo:80 HTTP/1.1\r\nProxy-Authorization: Basic YTpi\r\n\r\n")
	if got, _ := io.ReadAll(c); !strings.HasPrefix(string(got), "HTTP/1.1 429") || !strings.Contains(string(got), "proxy_socks_max_connections") {
		t.Errorf("got %q, want 429 and what to do", got)
	}
}

// Connections past the rate wait their turn; those that would wait for longer
// than a handshake may last do not.
func TestRateOfOne(t *testing.T) {
	w := start(t, func(o *Options) { o.Limits.Rate, o.Limits.Handshake = 5, time.Second })
	w.mapTo(model.NilUID, "echo>"+w.echo())
	begin := time.Now()
	for range 8 { // 5 at once, 3 within 0.6 s
		if _, status := w.connect("echo:80"); !strings.HasPrefix(status, "200") {
			t.Fatal(status)
		}
	}
	if took := time.Since(begin); took < 500*time.Millisecond {
		t.Errorf("8 connections took %v at 5 per second", took)
	}
	var clients sync.WaitGroup
	var mu sync.Mutex
	refused := 0
	for range 20 {
		clients.Go(func() {
			if _, status := w.connect("echo:80"); status == "" {
				mu.Lock()
				refused++
				mu.Unlock()
			}
		})
	}
	clients.Wait()
	if refused < 1 || refused > 16 { // fewer where the 20 take long to come
		t.Errorf("%d of 20 at once were refused, want those that would wait for more than a second", refused)
	}
}

// Clients of this host that do not log in leave room for those of others, and
// for environments whose address is known.
func TestClassesOfUnidentified(t *testing.T) {
	var reading sync.WaitGroup
	t.Cleanup(reading.Wait) // last: when the proxy has ended the others
	w := start(t, func(o *Options) { o.Limits.MaxUnidentified, o.Limits.Handshake = 4, time.Minute })
	known := w.entries[0]
	w.mapTo(model.NilUID, "echo>"+w.echo())
	w.locked(func() { w.own, w.known = true, nil })
	var ended atomic.Int32
	for range 8 {
		c, err := w.tryDial()
		if err != nil {
			ended.Add(1)
			continue
		}
		reading.Go(func() {
			if _, err := c.Read(make([]byte, 1)); err != nil {
				ended.Add(1)
			}
		})
	}
	eventually(t, "the 4 too many are ended", func() bool { return ended.Load() == 4 })
	w.locked(func() { w.own, w.known = false, known })
	if _, status := w.connect("echo:80"); !strings.HasPrefix(status, "200") {
		t.Errorf("an environment with an address: %q", status)
	}
	w.admit(nil)
	if _, status := w.connect("echo:80"); !strings.HasPrefix(status, "403") {
		t.Errorf("a stranger: %q, want a word", status)
	}
}
