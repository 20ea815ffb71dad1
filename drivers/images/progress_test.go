package images

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/drivers"
)

// pipes is a listener on connections in memory, which fake time knows.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case p.conns <- far:
		return near, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// evenly serves the body over so long a time, and counts how often it was
// asked. It returns a client that reaches it.
func evenly(t *testing.T, body []byte, lasts time.Duration, asked *int) *http.Client {
	t.Helper()
	const pieces = 600
	l := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*asked++
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		for i := range pieces {
			if pause(r.Context(), lasts/pieces) != nil {
				return
			}
			from, to := len(body)*i/pieces, len(body)*(i+1)/pieces
			if _, err := w.Write(body[from:to]); err != nil {
				return
			}
			_ = http.NewResponseController(w).Flush()
		}
	})}
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close(); <-done })
	return &http.Client{Transport: &http.Transport{DialContext: l.dial, DisableKeepAlives: true}}
}

// A download of 12 minutes, and who wants the image gives up after 5: the third
// gets it, as the download is nobody's.
func TestDownloadThatOutlivesItsWaiters(t *testing.T) {
	path := t.TempDir()
	body := tarOf(t, member{name: "img-1/img.tar", body: noise(6<<20, 1)})
	synctest.Test(t, func(t *testing.T) {
		var lines bytes.Buffer
		asked := 0
		limits := DefaultLimits()
		limits.MinFree = 1
		c, err := New(Options{
			Path: path, Limits: limits, Logger: slog.New(slog.NewTextHandler(&lines, nil)),
			Client: evenly(t, body, 12*time.Minute, &asked),
		})
		if err != nil {
			t.Fatal(err)
		}
		image := Image{URL: "http://images.example/img-1.tar?signature=secret", Sum: sha(body)}
		began := time.Now()
		get := func() (Laid, error) {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			return c.Get(ctx, image)
		}
		var seen []drivers.ImageStatus
		for range 2 {
			if _, err := get(); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("after %v Get = %v, want to have given up", time.Since(began), err)
			}
			synctest.Wait()
			seen = append(seen, c.Progress()...)
		}
		laid, err := get()
		if err != nil || readFile(t, laid.Archive()) != noise(6<<20, 1) {
			t.Fatalf("the third Get = %+v, %v", laid, err)
		}
		if took := time.Since(began).Round(time.Minute); took != 12*time.Minute || asked != 1 {
			t.Errorf("it took %v and the server was asked %d times", took, asked)
		}
		total := int64(len(body))
		for i, s := range seen {
			share := float64(s.Done) / float64(total) * 12
			if want := float64(5 * (i + 1)); share < want-0.2 || share > want+0.2 || s.Total != total ||
				s.State != drivers.ImageDownloading || s.ID != "img-1" || s.Source != "http://images.example/img-1.tar" {
				t.Errorf("after %v minutes it is shown as %+v", want, s)
			}
		}
		if len(seen) != 2 {
			t.Errorf("shown is %+v", seen)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		wantLines(t, lines.String(), 24)
	})
}

// wantLines checks what the log told of a download that lasted so many times
// logEvery.
func wantLines(t *testing.T, log string, most int) {
	t.Helper()
	n := strings.Count(log, `msg="image is being downloaded"`)
	if n < most/2 || n > most+10 {
		t.Errorf("%d lines tell of the download, want about %d:\n%s", n, most, log)
	}
	for _, want := range []string{"percent=50", `msg="image is being unpacked"`, `msg="image is ready"`} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %s:\n%s", want, log)
		}
	}
	if strings.Contains(log, "secret") {
		t.Error("the log tells the signature")
	}
}

func TestLogDue(t *testing.T) {
	for _, tt := range []struct {
		passed  time.Duration
		percent int64
		want    bool
	}{
		{0, 0, false}, {time.Second, 90, false}, {logLeast, 9, false}, {logLeast, 10, true}, {29 * time.Second, 9, false}, {30 * time.Second, 0, true},
	} {
		if got := logDue(tt.passed, tt.percent); got != tt.want {
			t.Errorf("logDue(%v, %d) = %v", tt.passed, tt.percent, got)
		}
	}
}

// What is on its way is seen by all who share the folder, with what it will
// take; what failed stays seen for a while, by whom it failed.
func TestListOfWhatComes(t *testing.T) {
	body := packed(t, ".gz", tarOf(t, member{name: "img-1/img.tar", body: noise(300_000, 1)}))
	s := newServer(t, false, map[string][]byte{file: body})
	open := make(chan struct{})
	half := len(body) / 2
	s.meddle = func(w http.ResponseWriter, r *http.Request, n int) bool {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body[:half])
		_ = http.NewResponseController(w).Flush()
		select {
		case <-open:
		case <-r.Context().Done():
			return true
		}
		if n == 1 {
			_, _ = io.WriteString(w, strings.Repeat("x", len(body)-half))
		} else {
			_, _ = w.Write(body[half:])
		}
		return true
	}
	c := newCache(t, Options{})
	other := newCache(t, Options{Path: c.opts.Path})
	image := Image{URL: s.URL + file + "?key=secret", Sum: sha(body)}
	result := make(chan error)
	go func() { _, err := c.Get(deadline(t), image); result <- err }()
	waitFor(t, func() bool { p := c.Progress(); return len(p) == 1 && p[0].Done == int64(half) })
	want := drivers.ImageStatus{
		ID: "img-1", Name: "img", Version: "1", Source: s.URL + file, State: drivers.ImageDownloading,
		Done: int64(half), Total: int64(len(body)), InUse: true,
	}
	if diff := cmp.Diff([]drivers.ImageStatus{want}, list(t, c)); diff != "" {
		t.Error(diff)
	}
	if got, rest := c.Reserved(), int64(len(body)-half+3*len(body)); got != rest {
		t.Errorf("Reserved() = %d, want %d", got, rest)
	}
	want.Total = 0
	if diff := cmp.Diff([]drivers.ImageStatus{want}, list(t, other)); diff != "" {
		t.Error(diff)
	}
	if got := other.Reserved(); got != 0 {
		t.Errorf("the other reserves %d", got)
	}
	close(open)
	if err := <-result; err == nil {
		t.Fatal("bytes of another image were taken")
	}
	failed := listed1(t, c, "img-1")
	if failed.State != drivers.ImageFailed || failed.InUse || !strings.Contains(failed.Error, "sum does not match") || strings.Contains(failed.Error, "secret") {
		t.Errorf("what failed is %+v", failed)
	}
	if all := list(t, other); len(all) != 0 {
		t.Errorf("the other sees %+v", all)
	}
	if c.Reserved() != 0 {
		t.Errorf("Reserved() = %d after the end", c.Reserved())
	}
	mustGet(t, c, image)
	if s := listed1(t, c, "img-1"); s.State != drivers.ImageReady || s.Size < 300_000 || s.Error != "" || s.InUse {
		t.Errorf("what came after all is %+v", s)
	}
}

// What failed is forgotten one by one, by hand and with the time.
func TestFailuresAreBounded(t *testing.T) {
	path := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, Options{Path: path, Limits: Limits{Attempts: 1, MinFree: 1}, Client: &http.Client{Transport: refusing{}}})
		for i := range mostFailures + 5 {
			if _, err := c.Get(t.Context(), Image{URL: fmt.Sprintf("http://images.example/img-%d.tar", i)}); err == nil {
				t.Fatal("got what is refused")
			}
		}
		if n := len(c.Progress()); n != mostFailures {
			t.Errorf("%d failures are listed", n)
		}
		if err := c.Remove(t.Context(), "img-20"); err != nil {
			t.Errorf("Remove of what failed = %v", err)
		}
		if err := c.Remove(t.Context(), "img-2"); !errors.Is(err, drivers.ErrImageUnknown) {
			t.Errorf("Remove of what is forgotten = %v", err)
		}
		if n := len(list(t, c)); n != mostFailures-1 {
			t.Errorf("%d failures are listed", n)
		}
		time.Sleep(failureAge + time.Second)
		if got := c.Progress(); len(got) != 0 {
			t.Errorf("after an hour %+v are listed", got)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

type refusing struct{}

func (refusing) RoundTrip(*http.Request) (*http.Response, error) { return nil, errors.New("refused") }

// Two images of one name have two IDs, on their way and when they are there.
func TestIDsDiffer(t *testing.T) {
	first, second := plainImage(t, "img", 1000), plainImage(t, "img", 2000)
	s := newServer(t, false, map[string][]byte{"/a/img-1.tar": first, "/b/img-1.tar": second})
	open := make(chan struct{})
	s.meddle = func(http.ResponseWriter, *http.Request, int) bool { <-open; return false }
	c := newCache(t, Options{})
	images := []Image{{URL: s.URL + "/a/img-1.tar"}, {URL: s.URL + "/b/img-1.tar"}}
	results := make(chan error)
	for i, image := range images {
		go func() { _, err := c.Get(deadline(t), image); results <- err }()
		waitFor(t, func() bool { return len(s.requests()) > i })
	}
	p, _ := images[1].parse()
	want := []string{p.key(), "img-1"}
	if p.key() > "img-1" {
		want = []string{"img-1", p.key()}
	}
	names := func() (got []string) {
		for _, s := range list(t, c) {
			got = append(got, s.ID)
		}
		return got
	}
	if diff := cmp.Diff(want, names()); diff != "" {
		t.Error(diff)
	}
	close(open)
	for range images {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if got := names(); len(got) != 2 {
		t.Errorf("laid out are %v", got)
	}
	for _, id := range names() {
		if err := c.Remove(deadline(t), id); err != nil {
			t.Errorf("Remove(%q) = %v", id, err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(c.opts.Path, "img*")); len(left) > 0 || len(names()) > 0 {
		t.Errorf("left are %v and %v", left, names())
	}
}

// Who waits for another process sees how far that is.
func TestListOfWhatAnotherGets(t *testing.T) {
	body := plainImage(t, "img", 300_000)
	s := newServer(t, false, map[string][]byte{file: body})
	open := make(chan struct{})
	s.meddle = func(w http.ResponseWriter, _ *http.Request, _ int) bool {
		_, _ = w.Write(body[:100_000])
		_ = http.NewResponseController(w).Flush()
		<-open
		_, _ = w.Write(body[100_000:])
		return true
	}
	c := newCache(t, Options{})
	other := newCache(t, Options{Path: c.opts.Path})
	image := Image{URL: s.URL + file, Name: "img", Version: "1"}
	results := make(chan error)
	get := func(c *Cache) { _, err := c.Get(deadline(t), image); results <- err }
	go get(c)
	waitFor(t, func() bool { return partSize(c, image) == 100_000 })
	go get(other)
	waitFor(t, func() bool { return len(other.Progress()) == 1 })
	want := []drivers.ImageStatus{{
		ID: "img-1", Name: "img", Version: "1", Source: s.URL + file, State: drivers.ImageDownloading, Done: 100_000, InUse: true,
	}}
	for _, from := range []*Cache{c, other} {
		if diff := cmp.Diff(want, list(t, from)); diff != "" {
			t.Error(diff)
		}
	}
	close(open)
	for range 2 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if n := len(s.requests()); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

// A process that is stopped while it has the turn holds up nobody for ever.
func TestTurnThatIsHeld(t *testing.T) {
	path := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, Options{Path: path})
		held, err := c.turn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if _, err := c.List(t.Context()); err == nil || !strings.Contains(err.Error(), "turn.lock") || time.Since(began) != turnLimit {
			t.Errorf("List = %v after %v", err, time.Since(began))
		}
		held.release()
		if _, err := c.List(t.Context()); err != nil {
			t.Errorf("List = %v", err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}
