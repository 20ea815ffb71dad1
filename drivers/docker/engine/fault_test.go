package engine

import (
	"archive/tar"
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/api/types/jsonstream"
	"github.com/moby/moby/client"

	"github.com/aquarium-fish/aquarium-fish/drivers/images"
)

// stallOf is short where a test waits for it, and else no trap for a busy machine.
func stallOf(want string) time.Duration {
	if strings.HasPrefix(want, "said nothing") {
		return 200 * time.Millisecond
	}
	return time.Minute
}

// broken is an engine that has no image, and fails as a test wants.
func broken(t *testing.T, stall time.Duration, fail func(w http.ResponseWriter, q *http.Request)) *Images {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("Api-Version", "1.41")
		switch {
		case strings.HasSuffix(q.URL.Path, "/_ping"):
		case strings.HasSuffix(q.URL.Path, "/images/json"), strings.HasSuffix(q.URL.Path, "/containers/json"):
			io.WriteString(w, "[]")
		case strings.HasSuffix(q.URL.Path, "/json"):
			w.WriteHeader(http.StatusNotFound)
		default:
			fail(w, q)
		}
	}))
	cli, err := client.New(client.WithHost("tcp://" + server.Listener.Addr().String()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cli.Close(); server.CloseClientConnections(); server.Close() })
	dir := t.TempDir()
	i, err := New(Options{
		Client: cli, Logger: slog.New(slog.DiscardHandler), WorkPath: t.TempDir(),
		Cache:  images.Options{Path: t.TempDir(), FileRoots: []string{dir}},
		Limits: Limits{Stall: stall},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { i.Close() })
	return i
}

// hang answers nothing, until the client goes.
func hang(_ http.ResponseWriter, q *http.Request) {
	io.Copy(io.Discard, q.Body)
	<-q.Context().Done()
}

func say(text string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, q *http.Request) {
		io.Copy(io.Discard, q.Body)
		io.WriteString(w, text)
	}
}

// thenHang says something and no more.
func thenHang(text string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, q *http.Request) {
		io.Copy(io.Discard, q.Body)
		io.WriteString(w, text)
		w.(http.Flusher).Flush()
		<-q.Context().Done()
	}
}

func TestEnginesThatFail(t *testing.T) {
	const message = `{"status":"Downloading","id":"a","progressDetail":{"current":1,"total":2}}`
	for _, tt := range []struct {
		name string
		fail func(http.ResponseWriter, *http.Request)
		pull string // in the errors
		load string
	}{
		{"silent", hang, "said nothing for", "said nothing for"},
		{"silent in the middle", thenHang(message), "said nothing for", "said nothing for"},
		{"half a message", say(message[:20]), "unexpected EOF", "unexpected EOF"},
		{"no JSON", say("<html>"), "invalid character", "invalid character"},
		{"an error late", say(message + `{"errorDetail":{"message":"no space left on device"},"error":"x"}`), "disk is full", "disk is full"},
		{"done, and no image", say(message), "no such image", "no image of it"},
		{"gone", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "error during connect", "error during connect"},
		{"reads nothing", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }, "500", "500"},
		{"floods the error", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			io.WriteString(w, strings.Repeat("x", 100_000))
		}, "xxx...", "xxx"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			i := broken(t, stallOf(tt.pull), tt.fail)
			for what, want := range map[images.Image]string{
				{Name: "reg.example.com/a", Version: "1"}: tt.pull,
				packed(t, i): tt.load,
			} {
				_, _, err := i.Ensure(t.Context(), []images.Image{what})
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%s: error = %v, want %q", what.Name, err, want)
				}
				if err != nil && len(err.Error()) > 2*maxReason {
					t.Errorf("%s: error of %d bytes", what.Name, len(err.Error()))
				}
			}
			i.mu.Lock()
			defer i.mu.Unlock()
			if len(i.held)+len(i.flights)+len(i.known) != 0 {
				t.Errorf("left: held %v, flights %v, known %v", i.held, i.flights, i.known)
			}
		})
	}
}

// packed is a label's image with a good archive, larger than a pipe holds.
func packed(t *testing.T, i *Images) images.Image {
	t.Helper()
	inner, err := os.ReadFile(writeTar(t, member{name: manifestFile, body: oneImage}, member{name: "c.json", body: "{}"},
		member{name: "l/layer.tar", body: strings.Repeat("x", 1<<20)}))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	w.WriteHeader(&tar.Header{Name: "a/", Typeflag: tar.TypeDir, Mode: 0o755})
	w.WriteHeader(&tar.Header{Name: "a/a.tar", Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(inner))})
	w.Write(inner)
	w.Close()
	file := filepath.Join(i.opts.Cache.FileRoots[0], "a-1.tar")
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return images.Image{URL: "file://" + file}
}

// Another node may evict what was pulled before it has our claim.
func TestImageThatGoesBeforeItsClaimIsPulledAgain(t *testing.T) {
	var mu sync.Mutex
	there, pulls := false, 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		w.Header().Set("Api-Version", "1.41")
		switch {
		case strings.HasSuffix(q.URL.Path, "/images/json"):
			io.WriteString(w, "[]")
		case strings.HasSuffix(q.URL.Path, "/images/create"):
			there, pulls = true, pulls+1
		case strings.HasSuffix(q.URL.Path, "/tag"):
			if pulls == 1 {
				there = false
				w.WriteHeader(http.StatusNotFound)
			}
		case strings.HasSuffix(q.URL.Path, "/json"):
			if !there {
				w.WriteHeader(http.StatusNotFound)
				return
			}
			io.WriteString(w, `{"Id":"sha256:1"}`)
		}
	}))
	cli, err := client.New(client.WithHost("tcp://" + server.Listener.Addr().String()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cli.Close(); server.Close() })
	i := quiet(t, func(o *Options) { o.Client = cli })
	id, release, err := i.Ensure(t.Context(), []images.Image{{Name: "a", Version: "1"}})
	if err != nil || id != "sha256:1" || pulls != 2 {
		t.Fatalf("Ensure = %s, %v after %d pulls, want it after 2", id, err, pulls)
	}
	release()
}

func TestSmallQuestionsAreBounded(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(hang))
	cli, err := client.New(client.WithHost("tcp://" + server.Listener.Addr().String()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cli.Close(); server.CloseClientConnections(); server.Close() })
	i := quiet(t, func(o *Options) { o.Client, o.Limits.Call = cli, 50*time.Millisecond })
	if _, _, err := i.Ensure(t.Context(), []images.Image{{Name: "a", Version: "1"}}); err == nil || !strings.Contains(err.Error(), "did not answer") {
		t.Errorf("Ensure = %v", err)
	}
	if _, err := i.List(t.Context()); err == nil || !strings.Contains(err.Error(), "did not answer") {
		t.Errorf("List = %v", err)
	}
	if i.Cached([]images.Image{{Name: "a", Version: "1"}}) {
		t.Error("Cached without an answer")
	}
}

func TestPullErrorsHoldNoPassword(t *testing.T) {
	i := broken(t, stallOf(""), func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		io.WriteString(w, "unauthorized: puller:hush-hush-password")
	})
	i.registries = map[string]Registry{"reg.example.com": {User: "puller", Password: "hush-hush-password"}}
	_, _, err := i.Ensure(t.Context(), []images.Image{{Name: "reg.example.com/a", Version: "1"}})
	if err == nil || strings.Contains(err.Error(), "hush-hush") || !strings.Contains(err.Error(), "refuses user puller") {
		t.Errorf("error = %v", err)
	}
}

func TestProgressOfAPull(t *testing.T) {
	var p progress = map[string]layer{}
	for _, step := range []struct {
		status, id     string
		current, total int64
		want           string
	}{
		{"Pulling from a", "1", 0, 0, "downloading"},
		{"Downloading", "a", 10, 100, "downloading"},
		{"Downloading", "a", 200, 100, "downloading"}, // more than was said
	} {
		p.add(messageOf(step.status, step.id, step.current, step.total))
		if state, done, total := p.sum(); string(state) != step.want || done > total {
			t.Errorf("after %v: %s %d of %d", step, state, done, total)
		}
	}
}

func messageOf(status, id string, current, total int64) jsonstream.Message {
	m := jsonstream.Message{Status: status, ID: id}
	if total > 0 {
		m.Progress = &jsonstream.Progress{Current: current, Total: total}
	}
	return m
}
