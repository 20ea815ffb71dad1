// Package health answers probes: whether the node is alive, and whether it takes new work. It asks nothing that could
// block, wants no credentials and computes no hash, so that a probe costs little and tells the truth also about a node
// whose disk or API hangs.
package health

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/maintenance"
)

// The paths of the probes.
const (
	LivePath  = "/healthz"
	ReadyPath = "/readyz"
)

// stuckAfter is how long the scheduling loop may stand still: it comes round every 5 s, and a pass waits for the disk.
const stuckAfter = time.Minute

// ok is the answer when all is well; every other is one word that says what is not.
const ok = "ok"

// Options is what a Handler looks at. All are required; none may block.
type Options struct {
	// LastPass is when the scheduling loop last came round; zero before its first time.
	LastPass func() time.Time
	// Writable is nil while the database takes writes.
	Writable func() error
	// Drain is the maintenance state.
	Drain  func() maintenance.Drain
	Logger *slog.Logger
}

func (o Options) validate() error {
	if o.LastPass == nil || o.Writable == nil || o.Drain == nil || o.Logger == nil {
		return errors.New("health: LastPass, Writable, Drain and Logger are required")
	}
	return nil
}

// Handler answers probes. Make it with New.
type Handler struct {
	options  Options
	started  time.Time
	stopping atomic.Bool
}

// New checks the options. The time that the node may take to start counts from here.
func New(o Options) (*Handler, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	return &Handler{options: o, started: time.Now()}, nil
}

// Stop says that the node stops.
func (h *Handler) Stop() { h.stopping.Store(true) }

// Wrap answers GET and HEAD of the probes' paths, and leaves everything else to next.
func (h *Handler) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		probe := r.URL.Path == LivePath || r.URL.Path == ReadyPath
		if !probe || (r.Method != http.MethodGet && r.Method != http.MethodHead) {
			next.ServeHTTP(w, r)
			return
		}
		h.answer(w, r)
	})
}

func (h *Handler) answer(w http.ResponseWriter, r *http.Request) {
	s := h.look()
	word := s.live()
	if r.URL.Path == ReadyPath {
		word = s.ready()
	}
	status := http.StatusOK
	if word != ok {
		status = http.StatusServiceUnavailable
	}
	header := w.Header()
	header.Set("Content-Type", "text/plain; charset=utf-8")
	header.Set("Content-Length", strconv.Itoa(len(word)+1))
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = io.WriteString(w, word+"\n") // a probe that is gone has nobody to tell
	}
	if h.options.Logger.Enabled(r.Context(), slog.LevelDebug) {
		h.options.Logger.LogAttrs(context.WithoutCancel(r.Context()), slog.LevelDebug, "probe answered",
			slog.String("path", r.URL.Path), slog.String("answer", word), slog.String("remote", r.RemoteAddr))
	}
}

// look takes all facts at once.
func (h *Handler) look() facts {
	last := h.options.LastPass()
	since := last
	if last.IsZero() {
		since = h.started
	}
	return facts{
		drain: h.options.Drain(), stopping: h.stopping.Load(), writable: h.options.Writable() == nil,
		started: !last.IsZero(), still: time.Since(since),
	}
}

// facts are what the answers follow from.
type facts struct {
	drain    maintenance.Drain
	stopping bool
	writable bool
	started  bool          // the scheduling loop came round once
	still    time.Duration // since it last did
}

// live says whether restarting the process is all that may help.
func (f facts) live() string {
	if f.still > stuckAfter {
		return "stuck"
	}
	return ok
}

// ready says why the node takes no new work: first what will not pass by itself.
func (f facts) ready() string {
	switch {
	case f.stopping, f.drain.Shutdown:
		return "stopping"
	case !f.writable:
		return "database"
	case f.live() != ok:
		return f.live()
	case !f.started:
		return "starting"
	case f.drain.On && f.drain.Running > 0:
		return "draining"
	case f.drain.On:
		return "maintenance"
	}
	return ok
}
