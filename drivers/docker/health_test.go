package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"github.com/aquarium-fish/aquarium-fish/drivers/docker/engine"
	"github.com/aquarium-fish/aquarium-fish/drivers/images"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// TestHealth: what is asked how often, and what is known of it meanwhile.
func TestHealth(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var answer atomic.Value // func(context.Context) error
		var asked, room atomic.Int32
		well := func(context.Context) error { return nil }
		answer.Store(well)
		unsure := make(doubts, 1)
		h := newHealth("unix:///there", func(ctx context.Context) error {
			asked.Add(1)
			return answer.Load().(func(context.Context) error)(ctx)
		}, unsure, func() { room.Add(1) }, discard())
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); h.run(ctx) }()

		time.Sleep(time.Minute + time.Second)
		if n := asked.Load(); n != 12 || h.err() != nil {
			t.Errorf("within a minute it was asked %d times, want 12; err() = %v", n, h.err())
		}
		answer.Store(func(context.Context) error { return errors.New("refused") })
		unsure.raise()
		synctest.Wait()
		if err := h.err(); err == nil || !strings.Contains(err.Error(), "engine at unix:///there does not answer since 2000-01-01T00:01:01Z: refused") {
			t.Errorf("err() of a dead engine = %v, want where it is and since when", err)
		}
		asked.Store(0)
		for range 60 {
			unsure.raise() // those who fail do not make it be asked more often
			time.Sleep(time.Second)
		}
		if n := asked.Load(); n < 30 || n > 36 {
			t.Errorf("a dead engine was asked %d times within a minute, want once in 2s, and a few more", n)
		}
		waiter := make(chan error, 1)
		go func() { waiter <- h.await(t.Context()) }()
		short, stop := context.WithTimeout(t.Context(), time.Second/2)
		if err := h.await(short); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "refused") {
			t.Errorf("await() that ended = %v, want why", err)
		}
		stop()
		answer.Store(well)
		if err := <-waiter; err != nil || h.err() != nil || room.Load() != 1 {
			t.Errorf("await() = %v, err() = %v, told %d times, want nil, nil and once", err, h.err(), room.Load())
		}
		asked.Store(0)
		answer.Store(func(context.Context) error { // as a busy engine, of which each look is a call that takes long
			time.Sleep(slowCall)
			unsure.raise()
			return nil
		})
		time.Sleep(time.Minute)
		if n := asked.Load(); n > 8 {
			t.Errorf("a busy engine was asked %d times within a minute, want at most 8", n)
		}
		cancel()
		<-ended
	})
}

// TestArchiveThatBreaksOff is told: the engine is there, and waiting mends nothing.
func TestArchiveThatBreaksOff(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }))
	t.Cleanup(server.Close)
	dir := t.TempDir()
	d := pulling(t, server, dir)
	file := filepath.Join(dir, "a-1.tar")
	var whole bytes.Buffer
	w := tar.NewWriter(&whole)
	_ = w.WriteHeader(&tar.Header{Name: "a/a.tar", Typeflag: tar.TypeReg, Mode: 0o644, Size: 1 << 20})
	_, _ = w.Write(make([]byte, 1<<20))
	if err := os.WriteFile(file, whole.Bytes()[:1<<19], 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, _, err := d.ensure(ctx, []images.Image{{URL: "file://" + file}}, true); err == nil || ctx.Err() != nil {
		t.Errorf("ensure() of half an archive = %v, want why, at once", err)
	}
}

// TestReplyThatBreaksOff is of an engine that ends.
func TestReplyThatBreaksOff(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, `{"Id":"x`)
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}))
	t.Cleanup(server.Close)
	cli, err := newClient(address{url: "tcp://" + server.Listener.Addr().String()}, settings{}, make(doubts, 1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cli.Close() })
	if _, err := cli.ContainerInspect(t.Context(), "x", client.ContainerInspectOptions{}); !unreachable(err) {
		t.Errorf("unreachable(%v) = false, want true", err)
	}
	if unreachable(fmt.Errorf("read archive: %w", io.ErrUnexpectedEOF)) {
		t.Error("unreachable() of a file that ends too soon = true, want false")
	}
}

// TestPullThatBreaksOff: an engine that restarts in a pull fails nobody's
// application.
func TestPullThatBreaksOff(t *testing.T) {
	t.Parallel()
	var pulls atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		switch {
		case strings.HasSuffix(q.URL.Path, "/images/json"):
			_, _ = io.WriteString(w, "[]")
		case strings.HasSuffix(q.URL.Path, "/images/create") && pulls.Add(1) == 1:
			_, _ = io.WriteString(w, `{"status":"Downloading"`)
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		case strings.HasSuffix(q.URL.Path, "/images/create"):
			_, _ = io.WriteString(w, `{"status":"done"}`)
		case strings.HasSuffix(q.URL.Path, "/tag"):
			w.WriteHeader(http.StatusCreated)
		case pulls.Load() > 1:
			_, _ = io.WriteString(w, `{"Id":"sha256:1"}`)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(server.Close)
	d := pulling(t, server, t.TempDir())
	def := model.LabelDefinition{Options: json.RawMessage(`{"images":[{"name":"reg.example.com/a","version":"1"}]}`)}
	if err := d.PullImages(t.Context(), def); err != nil || pulls.Load() != 2 {
		t.Errorf("PullImages() = %v after %d pulls, want nil after 2", err, pulls.Load())
	}
}

// pulling is an instance that can do no more than get images from an engine, and
// from the files in dir.
func pulling(t *testing.T, server *httptest.Server, dir string) *driver {
	t.Helper()
	unsure := make(doubts, 1)
	cli, err := newClient(address{url: "tcp://" + server.Listener.Addr().String()}, settings{}, unsure)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := engine.New(engine.Options{
		Client: cli, Logger: discard(), WorkPath: t.TempDir(), Cache: images.Options{Path: t.TempDir(), FileRoots: []string{dir}},
	})
	if err != nil {
		t.Fatal(err)
	}
	health := newHealth("", func(context.Context) error { return nil }, unsure, nil, discard())
	ctx, cancel := context.WithCancel(t.Context())
	go health.run(ctx)
	t.Cleanup(func() {
		cancel()
		<-health.ended
		_ = errors.Join(kept.Close(), cli.Close())
	})
	none, err := openDisks(settings{IsRemote: true}, owner{}, nil, nil, discard())
	if err != nil {
		t.Fatal(err)
	}
	return &driver{log: discard(), images: kept, health: health, disks: none}
}

// TestHalfAnEngine: dockerd's answers tell that its containerd is away; engines
// of another kind never had one.
func TestHalfAnEngine(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, version, want string
	}{
		{"docker", `{"Components":[{"Name":"Engine"},{"Name":"containerd"},{"Name":"runc"}]}`, ""},
		{"docker alone", `{"Components":[{"Name":"Engine"},{"Name":"runc"}]}`, "its containerd does not answer"},
		{"docker and an error", `{"message":`, "EOF"},
		{"podman", `{"Components":[{"Name":"Podman Engine"},{"Name":"Conmon"}]}`, ""},
		{"silent about its parts", `{}`, ""},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			if strings.HasSuffix(q.URL.Path, "/version") {
				_, _ = io.WriteString(w, tt.version)
			}
		}))
		t.Cleanup(server.Close)
		cli, err := newClient(address{url: "tcp://" + server.Listener.Addr().String()}, settings{}, make(doubts, 1))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cli.Close() })
		err = alive(t.Context(), cli)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: alive() = %v, want %q", tt.name, err, tt.want)
		}
	}
}

// silent is an engine that takes its time for each answer.
type silent struct{ ping, version time.Duration }

// RoundTrip implements http.RoundTripper.
func (s silent) RoundTrip(q *http.Request) (*http.Response, error) {
	wait, text := s.ping, ""
	if strings.HasSuffix(q.URL.Path, "/version") {
		wait, text = s.version, `{"Components":[{"Name":"Engine"},{"Name":"containerd"}]}`
	}
	if err := pause(q.Context(), wait); err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	_, _ = io.WriteString(w, text)
	return w.Result(), nil
}

// CloseIdleConnections is of a transport.
func (silent) CloseIdleConnections() {}

// TestBusyEngine: one whose machine is busy takes seconds to say what it is made
// of, and is not away for that.
func TestBusyEngine(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, want string
		engine     silent
		after      time.Duration
	}{
		{"busy", "", silent{version: 9 * time.Second}, 9 * time.Second},
		{"hangs", "no answer within 4s", silent{ping: time.Hour}, 4 * time.Second},
		{"its containerd hangs", "its containerd does not answer: look after that, or restart both (no answer within 10s)", silent{version: time.Hour}, 10 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cli, err := client.New(client.WithHost("tcp://engine"), client.WithHTTPClient(&http.Client{Transport: doubting{tt.engine, make(doubts, 1)}}))
				if err != nil {
					t.Fatal(err)
				}
				begin := time.Now()
				err = alive(t.Context(), cli)
				if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) || time.Since(begin) != tt.after {
					t.Errorf("alive() = %v after %v, want %q after %v", err, time.Since(begin), tt.want, tt.after)
				}
			})
		})
	}
}

// TestUnreachable: an engine of which half is away is one that is not there.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		`connection error: desc = "transport: Error while dialing dial unix /srv/c.sock: connect: connection refused": unavailable`: true,
		`failed to create shim task: OCI runtime create failed: no such file or directory`:                                          false,
	} {
		if got := unreachable(fmt.Errorf("start container: %w: %s", cerrdefs.ErrInternal, text)); got != want {
			t.Errorf("unreachable(%s) = %v, want %v", text, got, want)
		}
	}
}
