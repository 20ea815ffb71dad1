package health

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/maintenance"
)

// node is what the probes are asked about.
type node struct {
	last    time.Time
	failure error
	drain   maintenance.Drain
	log     strings.Builder
}

func (n *node) handler(t *testing.T, level slog.Level) *Handler {
	t.Helper()
	h, err := New(Options{
		LastPass: func() time.Time { return n.last }, Writable: func() error { return n.failure },
		Drain:  func() maintenance.Drain { return n.drain },
		Logger: slog.New(slog.NewTextHandler(&n.log, &slog.HandlerOptions{Level: level})),
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
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
		{"not scheduled yet", func(n *node, _ *Handler) { n.last = time.Time{} }, "ok", "starting"},
		{"never scheduled", func(n *node, _ *Handler) { n.last = time.Time{}; time.Sleep(2 * time.Minute) }, "stuck", "stuck"},
		{"the loop stands for a while", func(*node, *Handler) { time.Sleep(time.Minute) }, "ok", "ok"},
		{"the loop stands still", func(*node, *Handler) { time.Sleep(time.Minute + 1) }, "stuck", "stuck"},
		{"no writes", func(n *node, _ *Handler) { n.failure = errors.New("disk full") }, "ok", "database"},
		{"drained, some run", func(n *node, _ *Handler) { n.drain = maintenance.Drain{On: true, Running: 2} }, "ok", "draining"},
		{"drained and empty", func(n *node, _ *Handler) { n.drain = maintenance.Drain{On: true} }, "ok", "maintenance"},
		{"not drained, some run", func(n *node, _ *Handler) { n.drain = maintenance.Drain{Running: 2} }, "ok", "ok"},
		{"shutdown ordered", func(n *node, _ *Handler) { n.drain = maintenance.Drain{On: true, Shutdown: true} }, "ok", "stopping"},
		{"stops", func(n *node, h *Handler) { h.Stop(); n.failure = errors.New("closed") }, "ok", "stopping"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &node{last: time.Now()}
				h := n.handler(t, slog.LevelInfo)
				tt.change(n, h)
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
	n := &node{last: time.Now()}
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
		n := &node{last: time.Now()}
		ask(n.handler(t, level), "GET", ReadyPath)
		if got := strings.Count(n.log.String(), "\n"); got != want {
			t.Errorf("level %v: %d lines, want %d:\n%s", level, got, want, n.log.String())
		}
	}
}

func TestNewChecksOptions(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("New without options: no error")
	}
}
