// Package health answers probes: whether the node is alive, and whether it takes new work. It asks nothing that could
// block, wants no credentials and computes no hash, so that a probe costs little and tells the truth also about a node
// whose disk or API hangs.
package health

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"sync/atomic"

	"github.com/aquarium-fish/aquarium-fish/lib/maintenance"
)

// The paths of the probes.
const (
	LivePath  = "/healthz"
	ReadyPath = "/readyz"
)

// ok is the answer when all is well; every other is one word that says what is not.
const ok = "ok"

// Node is what a Handler looks at once there is a node. All are required; none may block.
type Node struct {
	// Loops are those that must come round.
	Loops []Loop
	// Writable is nil while the database takes writes.
	Writable func() error
	// Drain is the maintenance state.
	Drain func() maintenance.Drain
	// CaughtUp says that the node knows what the other members know.
	CaughtUp func() bool
}

// attached is a node that is looked at.
type attached struct {
	Node
	watch *watch
}

// Handler answers probes. Make it with New.
type Handler struct {
	log      *slog.Logger
	node     atomic.Pointer[attached]
	stopping atomic.Bool
}

// New returns a handler of a node that starts.
func New(log *slog.Logger) *Handler { return &Handler{log: log} }

// Attach says what to look at from now on. Call it once, before Run.
func (h *Handler) Attach(n Node) error {
	if len(n.Loops) == 0 || n.Writable == nil || n.Drain == nil || n.CaughtUp == nil {
		return errors.New("health: Loops, Writable, Drain and CaughtUp are required")
	}
	h.node.Store(&attached{n, newWatch(n.Loops)})
	return nil
}

// Stop says that the node stops.
func (h *Handler) Stop() { h.stopping.Store(true) }

// Sound is nil while the database takes writes and every loop comes round; else it says what is wrong. Call it after
// Attach. It does not block.
func (h *Handler) Sound() error {
	n := h.node.Load()
	if err := n.Writable(); err != nil {
		return fmt.Errorf("the database takes no writes: %w", err)
	}
	if _, stuck := n.watch.state(); stuck {
		return errors.New("a part of the node stands still: a restart may help")
	}
	return nil
}

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
	if h.log.Enabled(r.Context(), slog.LevelDebug) {
		h.log.LogAttrs(context.WithoutCancel(r.Context()), slog.LevelDebug, "probe answered",
			slog.String("path", r.URL.Path), slog.String("answer", word), slog.String("remote", r.RemoteAddr))
	}
}

// look takes all facts at once.
func (h *Handler) look() facts {
	f := facts{stopping: h.stopping.Load(), writable: true}
	if n := h.node.Load(); n != nil {
		f.drain, f.writable, f.behind = n.Drain(), n.Writable() == nil, !n.CaughtUp()
		f.started, f.stuck = n.watch.state()
	}
	return f
}

// facts are what the answers follow from.
type facts struct {
	drain    maintenance.Drain
	stopping bool
	writable bool
	started  bool // every loop came round once
	stuck    bool // one does not any more
	behind   bool // it has not caught up with the other members
}

// live says whether restarting the process is all that may help.
func (f facts) live() string {
	if f.stuck {
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
	case f.behind:
		return "behind"
	case f.drain.On && f.drain.Running > 0:
		return "draining"
	case f.drain.On:
		return "maintenance"
	}
	return ok
}
