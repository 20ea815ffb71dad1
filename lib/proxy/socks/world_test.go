package socksproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
	"github.com/aquarium-fish/aquarium-fish/lib/audit"
	"github.com/aquarium-fish/aquarium-fish/lib/caller"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is what a proxy knows of its node, and those that it reaches.
type world struct {
	t testing.TB

	mu       sync.Mutex
	mappings []model.ServiceMapping
	entries  []*model.Entry
	own      bool         // whether clients are of this host
	known    *model.Entry // whose address clients have, nil: nobody's
	secrets  map[string]model.UID
	names    map[string][]netip.Addr
	events   []audit.Event
	changed  chan struct{}

	proxy string // host:port
	log   *strings.Builder
}

func (w *world) locked(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

// IsOwn implements finder.
func (w *world) IsOwn(netip.Addr) (own bool, err error) {
	w.locked(func() { own = w.own })
	return own, nil
}

// OnlyByAddress implements finder.
func (w *world) OnlyByAddress(context.Context, netip.Addr) (e *model.Entry, err error) {
	if w.locked(func() { e = w.known }); e == nil {
		return nil, caller.ErrUnknown
	}
	return e, nil
}

// ByCredential implements finder.
func (w *world) ByCredential(_ context.Context, _ netip.Addr, user, password string) (e *model.Entry, err error) {
	w.locked(func() {
		for _, known := range w.entries {
			if uid, ok := w.secrets[user+":"+password]; ok && known.Application.UID == uid {
				e = known
			}
		}
	})
	if e == nil {
		return nil, caller.ErrSecret
	}
	return e, nil
}

// ServiceMappings implements store.
func (w *world) ServiceMappings() (m []model.ServiceMapping) {
	w.locked(func() { m = slices.Clone(w.mappings) })
	return m
}

// Resource implements store.
func (w *world) Resource(uid model.UID) (r model.Resource, e *model.Entry, ok bool) {
	w.locked(func() {
		for _, known := range w.entries {
			if known.Resource != nil && known.Resource.UID == uid {
				r, e, ok = *known.Resource, known, true
			}
		}
	})
	return r, e, ok
}

// Note implements noter.
func (w *world) Note(e audit.Event) { w.locked(func() { w.events = append(w.events, e) }) }

// LookupNetIP implements Resolver.
func (w *world) LookupNetIP(_ context.Context, _, host string) (addrs []netip.Addr, err error) {
	w.locked(func() { addrs = slices.Clone(w.names[host]) })
	if addrs == nil {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return addrs, nil
}

func (w *world) next(ctx context.Context) error {
	select {
	case <-w.changed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// environment adds one that is ALLOCATED.
func (w *world) environment(id byte) *model.Entry {
	app := model.UID{id}
	e := &model.Entry{
		Application: model.Application{UID: app, OwnerName: fmt.Sprintf("owner%d", id)},
		Resource:    &model.Resource{UID: model.UID{id, 0xff}, ApplicationUID: app},
	}
	for i, s := range []model.Status{model.StatusNew, model.StatusElected, model.StatusAllocated} {
		row := model.ApplicationState{UID: model.UID{id, byte(i)}, ApplicationUID: app, Status: s, HLC: model.HLC(i + 1)}
		if i > 0 {
			row.Epoch = 1
		}
		e.States = append(e.States, row)
	}
	e.Fold = model.FoldStates(e.States)
	w.locked(func() { w.entries = append(w.entries, e) })
	return e
}

// remove ends an environment.
func (w *world) remove(e *model.Entry) {
	w.locked(func() { w.entries = slices.DeleteFunc(w.entries, func(o *model.Entry) bool { return o == e }) })
	w.changed <- struct{}{}
}

func (w *world) admit(e *model.Entry) { w.locked(func() { w.known = e }) }

func (w *world) mapTo(app model.UID, text string) {
	w.locked(func() { w.mappings = append(w.mappings, mapping(len(w.mappings)+1, app, "", text)) })
}

// noted are the events so far, as "result destination count".
func (w *world) noted() (events []string) {
	w.locked(func() {
		for _, e := range w.events {
			events = append(events, fmt.Sprintf("%s %s %d", e.Result, e.ObjectName, e.Count))
		}
	})
	return events
}

func defaultLimits() Limits {
	return Limits{
		Handshake: 10 * time.Second, Dial: 5 * time.Second, Idle: time.Minute, Connections: 100, Rate: 1000, MaxUnidentified: 100,
	}
}

// start runs a proxy whose clients have the address of one environment.
func start(t testing.TB, change func(*Options)) *world {
	t.Helper()
	w := &world{t: t, changed: make(chan struct{}), names: map[string][]netip.Addr{}, secrets: map[string]model.UID{}, log: &strings.Builder{}}
	w.known = w.environment(1)
	l, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := Options{
		Listener: l, Location: "lab", Callers: w, Store: w, NextChange: w.next, Resolver: w, Limits: defaultLimits(), Audit: w,
		Interfaces: func() ([]netip.Prefix, error) { return nil, nil }, Networks: func() []netip.Prefix { return nil },
		Logger: slog.New(slog.NewTextHandler(lockedWriter{w}, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if change != nil {
		change(&o)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	w.proxy = s.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Run = %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Error("the proxy does not stop")
		}
		if n := len(s.arriving) + len(s.here) + len(s.strangers); n != 0 {
			t.Errorf("%d slots are still taken", n)
		}
		for _, acc := range s.accounts.byResource {
			if len(acc.open) != 0 {
				t.Errorf("%d connections of %v are still counted", len(acc.open), acc.resource)
			}
		}
		if t.Failed() {
			t.Logf("events: %q\nlog:\n%s", w.noted(), w.log)
		}
	})
	return w
}

type lockedWriter struct{ *world }

// Write implements io.Writer.
func (w lockedWriter) Write(p []byte) (n int, err error) {
	w.locked(func() { n, err = w.log.Write(p) })
	return n, err
}

// site is an HTTP server that says its name; its address is mapped as mirror.
func (w *world) site(name string) *httptest.Server {
	w.t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(rw, name+" "+r.Host+"\n")
	}))
	w.t.Cleanup(s.Close)
	return s
}

// files serves a folder.
func (w *world) files(folder string) *httptest.Server {
	s := httptest.NewServer(http.FileServer(http.Dir(folder)))
	w.t.Cleanup(s.Close)
	return s
}

// curl runs the real one.
func (w *world) curl(args ...string) (out string, err error) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "curl", append([]string{"-sS", "--noproxy", "", "--max-time", "20"}, args...)...)
	text, err := cmd.CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		needs.Lacking(w.t, "needs the tool curl")
	}
	return string(text), err
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	for !condition() {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

// dial opens a connection to the proxy.
func (w *world) dial() *net.TCPConn {
	w.t.Helper()
	c, err := w.tryDial()
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// tryDial is dial for who may be refused: a reset can be there before the
// connection is.
func (w *world) tryDial() (*net.TCPConn, error) {
	c, err := net.Dial("tcp", w.proxy)
	if err != nil {
		return nil, err
	}
	w.t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c.(*net.TCPConn), nil
}

// connect opens a connection through the proxy, by HTTP; without a status it
// was refused without a word.
func (w *world) connect(to string) (c *net.TCPConn, status string) {
	w.t.Helper()
	c, err := w.tryDial()
	if err != nil {
		return nil, ""
	}
	fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", to, to)
	var line []byte
	for b := make([]byte, 1); !strings.HasSuffix(string(line), "\r\n\r\n"); line = append(line, b...) {
		if _, err := c.Read(b); err != nil {
			return c, string(line)
		}
	}
	status, _, _ = strings.Cut(string(line), "\r\n")
	return c, strings.TrimPrefix(status, "HTTP/1.1 ")
}

// echo is a server that answers with what it is sent.
func (w *world) echo() (addr string) {
	w.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { defer c.Close(); _, _ = io.Copy(c, c) })
		}
	})
	w.t.Cleanup(func() { l.Close(); serving.Wait() })
	return l.Addr().String()
}
