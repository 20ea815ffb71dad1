package health

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/maintenance"
)

// node is what the probes are asked about.
type node struct {
	beats   atomic.Uint64
	failure error
	drain   maintenance.Drain
	behind  bool
	log     strings.Builder
}

func (n *node) handler(t *testing.T, level slog.Level) *Handler {
	t.Helper()
	h := New(slog.New(slog.NewTextHandler(&n.log, &slog.HandlerOptions{Level: level})))
	err := h.Attach(Node{
		Loops:    []Loop{{"one", n.beats.Load}, {"other", func() uint64 { return uint64(time.Now().UnixNano()) }}}, //nolint:gosec // goes on
		Writable: func() error { return n.failure },
		Drain:    func() maintenance.Drain { return n.drain },
		CaughtUp: func() bool { return !n.behind },
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// beaten is a node of which all loops came round.
func beaten() *node {
	n := &node{}
	n.beats.Store(1)
	return n
}

// ask sends one request and returns status and body; behind the probes everything is a teapot.
func ask(h *Handler, method, path string) (int, string) {
	w := httptest.NewRecorder()
	next := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	h.Wrap(next).ServeHTTP(w, httptest.NewRequest(method, path, nil))
	body, _ := io.ReadAll(w.Result().Body)
	return w.Code, string(body)
}

func TestProbes(t *testing.T) {
	for _, tt := range []struct {
		name        string
		change      func(*node, *Handler)
		live, ready string
	}{
		{"all is well", func(*node, *Handler) {}, "ok", "ok"},
		{"did not come round yet", func(n *node, _ *Handler) { n.beats.Store(0) }, "ok", "starting"},
		{"never came round", func(n *node, _ *Handler) { n.beats.Store(0); time.Sleep(2 * time.Minute) }, "stuck", "stuck"},
		{"a loop stands for a while", func(*node, *Handler) { time.Sleep(time.Minute - 1) }, "ok", "ok"},
		{"a loop stands still", func(*node, *Handler) { time.Sleep(time.Minute + 1) }, "stuck", "stuck"},
		{"a loop goes on again", func(n *node, _ *Handler) {
			time.Sleep(2 * time.Minute)
			n.beats.Add(1)
			time.Sleep(lookEvery)
		}, "ok", "ok"},
		{"a loop comes round now and then", func(n *node, _ *Handler) {
			for range 100 {
				time.Sleep(50 * time.Second)
				n.beats.Add(1)
			}
		}, "ok", "ok"},
		{"no writes", func(n *node, _ *Handler) { n.failure = errors.New("disk full") }, "ok", "database"},
		{"has not caught up", func(n *node, _ *Handler) { n.behind = true }, "ok", "behind"},
		{"has not caught up, no writes", func(n *node, _ *Handler) { n.behind, n.failure = true, errors.New("disk full") }, "ok", "database"},
		{"drained, some run", func(n *node, _ *Handler) { n.drain = maintenance.Drain{On: true, Running: 2} }, "ok", "draining"},
		{"drained and empty", func(n *node, _ *Handler) { n.drain = maintenance.Drain{On: true} }, "ok", "maintenance"},
		{"not drained, some run", func(n *node, _ *Handler) { n.drain = maintenance.Drain{Running: 2} }, "ok", "ok"},
		{"shutdown ordered", func(n *node, _ *Handler) { n.drain = maintenance.Drain{On: true, Shutdown: true} }, "ok", "stopping"},
		{"stops", func(n *node, h *Handler) { h.Stop(); n.failure = errors.New("closed") }, "ok", "stopping"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := beaten()
				h := n.handler(t, slog.LevelInfo)
				defer running(t, h)()
				tt.change(n, h)
				synctest.Wait()
				for path, want := range map[string]string{LivePath: tt.live, ReadyPath: tt.ready} {
					wantStatus := 503
					if want == "ok" {
						wantStatus = 200
					}
					if status, body := ask(h, "GET", path); status != wantStatus || body != want+"\n" {
						t.Errorf("GET %s = %d %q, want %d %q", path, status, body, wantStatus, want)
					}
					if status, body := ask(h, "HEAD", path); status != wantStatus || body != "" {
						t.Errorf("HEAD %s = %d %q, want %d and no body", path, status, body, wantStatus)
					}
				}
			})
		})
	}
}

func TestOthersPassBy(t *testing.T) {
	n := beaten()
	h := n.handler(t, slog.LevelInfo)
	for _, r := range [][2]string{
		{"GET", "/"}, {"GET", "/healthz/"}, {"GET", "/api/v1/readyz"}, {"POST", "/readyz"}, {"OPTIONS", "/healthz"},
	} {
		if status, _ := ask(h, r[0], r[1]); status != http.StatusTeapot {
			t.Errorf("%s %s = %d, want it left to the API", r[0], r[1], status)
		}
	}
	if status, _ := ask(h, "GET", "/readyz?verbose"); status != 200 {
		t.Errorf("with a query = %d, want 200", status)
	}
}

func TestProbesAreLoggedAtDebugOnly(t *testing.T) {
	for level, want := range map[slog.Level]int{slog.LevelInfo: 0, slog.LevelDebug: 1} {
		n := beaten()
		ask(n.handler(t, level), "GET", ReadyPath)
		if got := strings.Count(n.log.String(), "\n"); got != want {
			t.Errorf("level %v: %d lines, want %d:\n%s", level, got, want, n.log.String())
		}
	}
}

// running runs the handler until the returned function is called.
func running(t *testing.T, h *Handler) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run() = %v", err)
		}
	}
}

// TestBeforeThereIsANode: probes are answered while the node starts, however long that takes.
func TestBeforeThereIsANode(t *testing.T) {
	h := New(slog.New(slog.DiscardHandler))
	for path, want := range map[string]string{LivePath: "ok\n", ReadyPath: "starting\n"} {
		if _, body := ask(h, "GET", path); body != want {
			t.Errorf("GET %s = %q, want %q", path, body, want)
		}
	}
	h.Stop()
	if status, body := ask(h, "GET", ReadyPath); status != 503 || body != "stopping\n" {
		t.Errorf("GET %s = %d %q, want stopping", ReadyPath, status, body)
	}
	if err := h.Attach(Node{}); err == nil {
		t.Error("Attach() of nothing: no error")
	}
}

// TestStuckIsTold: once, by name, and again when it is over.
func TestStuckIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := beaten()
		defer running(t, n.handler(t, slog.LevelInfo))()
		time.Sleep(time.Hour)
		synctest.Wait()
		n.beats.Add(1)
		time.Sleep(lookEvery)
		synctest.Wait()
		got := n.log.String()
		if strings.Count(got, "\n") != 2 || !strings.Contains(got, `level=ERROR msg="a part of the node stands still, a restart may help" part=one for=1m0s`) ||
			!strings.Contains(got, `level=INFO msg="a part of the node goes on again" part=one`) {
			t.Errorf("log is:\n%s", got)
		}
	})
}
