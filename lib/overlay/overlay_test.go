package overlay

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

var uidA, uidB = model.UID{0xa}, model.UID{0xb}

// net of one member that serves: dials lead to its server through a pipe.
type wire struct {
	mu     sync.Mutex
	server *Server // nil: unreachable
	dials  int
	conns  []net.Conn // the far ends
}

var errCut = errors.New("no way to it")

// Dial implements Dialer for member a.
func (w *wire) Dial(_ context.Context, member model.UID) (net.Conn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if member != uidB || w.server == nil {
		return nil, errCut
	}
	near, far := net.Pipe()
	w.dials++
	w.conns = append(w.conns, far)
	if err := w.server.Take(far, uidA); err != nil {
		return nil, err
	}
	return near, nil
}

// serve makes member b serve with the handler until stop is called.
func (w *wire) serve(t *testing.T, h http.HandlerFunc) (stop func()) {
	t.Helper()
	s := NewServer(ServerOptions{Handler: h, Logger: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Errorf("Run() error: %v", err)
		}
	})
	w.mu.Lock()
	w.server = s
	w.mu.Unlock()
	stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	t.Cleanup(stop)
	return stop
}

func newClient(t *testing.T, d Dialer) *Client {
	c := NewClient(d)
	t.Cleanup(c.Close)
	return c
}

func text(t *testing.T, res *http.Response, err error) string {
	t.Helper()
	if err != nil {
		t.Fatalf("Do() error: %v", err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("read answer: %v", err)
	}
	return string(b)
}

var envelope = Envelope{User: "Zoë: \"admin\"\r\n", RequestID: "abcd-1", Remote: "[2001:db8::1]:5"}

func TestRequestTravels(t *testing.T) {
	w := &wire{}
	type asked struct {
		Method, URI, Path, Body, Type, Remote string
		Envelope                              Envelope
		Headers                               int
	}
	var got asked
	w.serve(t, func(rw http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		e, _ := EnvelopeOf(r.Context())
		got = asked{
			r.Method, r.RequestURI, r.URL.Path, string(b), r.Header.Get("Content-Type"), r.RemoteAddr, e,
			len(r.Header[headerUser]) + len(r.Header[headerRemote]) + len(r.Header[headerRequest]),
		}
		rw.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(rw, "hello")
	})
	c := newClient(t, w)
	res, err := c.Do(t.Context(), uidB, envelope, Request{
		Method: http.MethodPost, Path: "/api/v1/user/a%2Fb", Query: "filter=name%3D'x'&x",
		Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(`{}`),
	})
	if text := text(t, res, err); text != "hello" || res.StatusCode != http.StatusTeapot {
		t.Errorf("answer is %d %q", res.StatusCode, text)
	}
	want := asked{
		"POST", "/api/v1/user/a%2Fb?filter=name%3D'x'&x", "/api/v1/user/a/b", "{}", "application/json", uidA.String(),
		Envelope{User: envelope.User, RequestID: envelope.RequestID, Remote: envelope.Remote, From: uidA}, 0,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the member was asked (-want +got):\n%s", diff)
	}
	for range 3 {
		res, err := c.Do(t.Context(), uidB, envelope, Request{Method: http.MethodGet, Path: "/"})
		text(t, res, err)
	}
	if w.dials != 1 {
		t.Errorf("4 requests took %d connections, want 1", w.dials)
	}
}

// A request from anywhere but a Listener has no envelope, whatever it says.
func TestEnvelopeCanNotBeForged(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	envelope.put(r.Header)
	if e, ok := EnvelopeOf(r.Context()); ok {
		t.Errorf("a forged envelope is taken: %+v", e)
	}
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if e, ok := EnvelopeOf(r.Context()); ok {
			t.Errorf("a forged envelope is taken: %+v", e)
		}
	}))
	defer other.Close()
	r, _ = http.NewRequestWithContext(t.Context(), http.MethodGet, other.URL, nil)
	envelope.put(r.Header)
	res, err := other.Client().Do(r)
	text(t, res, err)
}

func TestEnvelopeIsRead(t *testing.T) {
	whole := func() http.Header { h := http.Header{}; envelope.put(h); return h }
	with := func(name string, values ...string) http.Header { h := whole(); h[name] = values; return h }
	for _, tt := range []struct {
		name   string
		header http.Header
		ok     bool
	}{
		{"as written", whole(), true},
		{"of the member itself", with(headerUser, ""), true},
		{"without the header", with(headerUser), false},
		{"twice", with(headerUser, "admin", "bob"), false},
		{"badly escaped", with(headerRemote, "%zz"), false},
		{"endless", with(headerRequest, strings.Repeat("a", maxField+1)), false},
		{"by a client", http.Header{}, false},
	} {
		if e, ok := take(tt.header); ok != tt.ok {
			t.Errorf("%s: take() = %+v, %v, want %v", tt.name, e, ok, tt.ok)
		}
	}
}

func TestRequestWithoutEnvelopeIsRefused(t *testing.T) {
	w := &wire{}
	w.serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the handler was called") })
	conn, err := w.Dial(t.Context(), uidB)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(conn).ReadString('\n'); !strings.Contains(line, "400") {
		t.Errorf("answer is %q, %v, want 400", line, err)
	}
}

func TestUnreachable(t *testing.T) {
	c := newClient(t, &wire{})
	_, err := c.Do(t.Context(), uidB, envelope, Request{Method: http.MethodGet, Path: "/"})
	if _, ok := errors.AsType[*UnreachableError](err); !ok || !errors.Is(err, errCut) {
		t.Errorf("Do() error %v, want an UnreachableError of %v", err, errCut)
	}
}

// A member that does not answer is waited for no longer than ctx says, and
// that is no UnreachableError: it may have done what it was asked.
func TestSilentMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{}
		release := make(chan struct{})
		stop := w.serve(t, func(http.ResponseWriter, *http.Request) { <-release })
		c := NewClient(w)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		_, err := c.Do(ctx, uidB, envelope, Request{Method: http.MethodPost, Path: "/", Body: []byte("{}")})
		if _, never := errors.AsType[*UnreachableError](err); err == nil || never || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Do() error %v, want the deadline", err)
		}
		if took := time.Since(began); took != time.Second {
			t.Errorf("Do() took %v, want 1s", took)
		}
		close(release)
		c.Close()
		stop()
	})
}

// hung is a Dialer that takes for ever.
type hung struct{}

func (hung) Dial(ctx context.Context, _ model.UID) (net.Conn, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestDialIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		_, err := NewClient(hung{}).Do(t.Context(), uidB, envelope, Request{Method: http.MethodGet, Path: "/"})
		if _, ok := errors.AsType[*UnreachableError](err); !ok || time.Since(began) != dialTimeout {
			t.Errorf("Do() error %v after %v, want UnreachableError after %v", err, time.Since(began), dialTimeout)
		}
	})
}

// What is flushed arrives although the answer goes on.
func TestStreamsPass(t *testing.T) {
	w := &wire{}
	next := make(chan struct{})
	w.serve(t, func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			_, _ = fmt.Fprintf(rw, "data: %d\n", i)
			_ = http.NewResponseController(rw).Flush()
			<-next
		}
	})
	res, err := newClient(t, w).Do(t.Context(), uidB, envelope, Request{Method: http.MethodGet, Path: "/"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	lines := bufio.NewReader(res.Body)
	for i := range 3 {
		if line, err := lines.ReadString('\n'); line != fmt.Sprintf("data: %d\n", i) {
			t.Fatalf("line %d is %q, %v", i, line, err)
		}
		next <- struct{}{}
	}
}

// cut ends all connections as a member's death does.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		_ = c.Close()
	}
}

// What only reads is asked again when a connection ends; what changes
// something is not, also by GET.
func TestNothingIsDoneTwice(t *testing.T) {
	for _, tt := range []struct {
		name string
		r    Request
		want int
	}{
		{"read", Request{Method: http.MethodGet, Path: "/"}, 2},
		{"change by get", Request{Method: http.MethodGet, Path: "/", Once: true}, 1},
		{"change", Request{Method: http.MethodPost, Path: "/", Body: []byte("{}")}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := &wire{}
			asked, dying := 0, false
			w.serve(t, func(_ http.ResponseWriter, r *http.Request) {
				if !dying {
					return // the connection is now one that was used before
				}
				if b, _ := io.ReadAll(r.Body); len(b) != len(tt.r.Body) || r.ContentLength != int64(len(tt.r.Body)) {
					t.Errorf("body is %q with length %d, want %q", b, r.ContentLength, tt.r.Body)
				}
				if asked++; asked == 1 {
					w.cut()
				}
			})
			c := newClient(t, w)
			res, err := c.Do(t.Context(), uidB, envelope, Request{Method: http.MethodGet, Path: "/"})
			text(t, res, err)
			dying = true
			res, err = c.Do(t.Context(), uidB, envelope, tt.r)
			if err == nil {
				_ = res.Body.Close()
			}
			if asked != tt.want || (err == nil) != (tt.want == 2) {
				t.Errorf("the member was asked %d times, error %v; want %d times", asked, err, tt.want)
			}
		})
	}
}

func TestServerBoundsConnections(t *testing.T) {
	s := NewServer(ServerOptions{Handler: http.NotFoundHandler(), Logger: slog.New(slog.DiscardHandler)})
	var far []net.Conn
	for i := range maxServed {
		near, other := net.Pipe()
		far = append(far, other)
		if err := s.Take(near, model.UID{byte(i / maxFrom)}); err != nil {
			t.Fatalf("Take() error: %v", err)
		}
		if (i+1)%maxFrom == 0 {
			near, _ := net.Pipe()
			if err := s.Take(near, model.UID{byte(i / maxFrom)}); !errors.Is(err, ErrFull) {
				t.Errorf("Take() of one member too often: error %v, want ErrFull", err)
			}
		}
	}
	near, _ := net.Pipe()
	if err := s.Take(near, uidA); !errors.Is(err, ErrFull) {
		t.Errorf("Take() error %v, want ErrFull", err)
	}
	if _, err := near.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("the connection that was not taken is open: %v", err)
	}
	_ = s.listener.Close()
	for _, c := range far { // nobody accepted them
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Fatalf("a connection is open after the end: %v", err)
		}
	}
	if len(s.listener.slots)+len(s.listener.open) != 0 {
		t.Errorf("%d slots are taken after the end by %d members", len(s.listener.slots), len(s.listener.open))
	}
	near, _ = net.Pipe()
	if err := s.Take(near, uidA); !errors.Is(err, ErrStopped) {
		t.Errorf("Take() error %v, want ErrStopped", err)
	}
}

// A stop lets a request end that runs, and the slot of its connection is free
// again.
func TestStopWaits(t *testing.T) {
	w := &wire{}
	began, release := make(chan struct{}), make(chan struct{})
	stop := w.serve(t, func(rw http.ResponseWriter, _ *http.Request) {
		close(began)
		<-release
		_, _ = io.WriteString(rw, "whole")
	})
	var wg sync.WaitGroup
	wg.Go(func() {
		res, err := newClient(t, w).Do(t.Context(), uidB, envelope, Request{Method: http.MethodGet, Path: "/"})
		if got := text(t, res, err); got != "whole" {
			t.Errorf("answer is %q", got)
		}
	})
	<-began
	wg.Go(stop)
	<-w.server.listener.done
	close(release)
	wg.Wait()
	if n := len(w.server.listener.slots); n != 0 {
		t.Errorf("%d slots are taken after the stop", n)
	}
}
