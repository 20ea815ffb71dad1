package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/system"
	"github.com/moby/moby/client"

	"github.com/aquarium-fish/aquarium-fish/drivers/docker/engine"
)

const (
	// askEvery is how often an engine that answers is asked whether it does: as
	// long a request may be won for an engine that is dead.
	askEvery = 5 * time.Second
	// slowCall is how long a call may be without an answer before the engine is
	// asked for one that takes it no time.
	slowCall = 3 * time.Second
	// The pause between the looks at an engine that does not answer doubles from
	// the first of these to the second.
	firstAsk = 100 * time.Millisecond
	lastAsk  = 2 * time.Second
	// versionTimeout is how long an engine that answers may take for what it runs
	// other programs for. A busy machine takes seconds; one that takes this long
	// starts nothing soon either.
	versionTimeout = 10 * time.Second
)

// health knows from memory whether the engine answers. Its owner is the
// goroutine of run; who calls the engine raises its doubts.
type health struct {
	host    string
	ask     func(ctx context.Context) error // bounds itself
	doubts  doubts
	changed func() // called when the engine answers again
	log     *slog.Logger
	ended   chan struct{} // closed when nobody asks any more

	mu       sync.Mutex
	since    time.Time     // from which on it does not answer; zero: it does
	cause    error         // why not
	answered chan struct{} // closed by the next answer
}

func newHealth(host string, ask func(ctx context.Context) error, d doubts, changed func(), log *slog.Logger) *health {
	if changed == nil {
		changed = func() {}
	}
	return &health{host: host, ask: ask, doubts: d, changed: changed, log: log, ended: make(chan struct{}), answered: make(chan struct{})}
}

// run asks until ctx ends. It is called once.
func (h *health) run(ctx context.Context) {
	defer close(h.ended)
	for pause, doubts := askEvery, h.doubts; ; {
		select {
		case <-ctx.Done():
			return
		case <-doubts:
		case <-time.After(pause):
		}
		err := h.ask(ctx)
		if ctx.Err() != nil {
			return
		}
		h.doubts.settle() // a look that takes long raises some itself
		switch h.note(err, time.Now()); {
		case err == nil:
			pause, doubts = askEvery, h.doubts
		case doubts != nil:
			pause, doubts = firstAsk, nil // it is asked as fast as is good anyway
		default:
			pause = min(2*pause, lastAsk)
		}
	}
}

// noAnswer is the error of a question that had none in its time.
type noAnswer time.Duration

func (n noAnswer) Error() string { return fmt.Sprintf("no answer within %v", time.Duration(n)) }

// within asks something that has a time for its answer.
func within(ctx context.Context, limit time.Duration, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, noAnswer(limit))
	defer cancel()
	err := ask(ctx)
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// errContainerd says that half of an engine is away: dockerd makes containers
// without its containerd, but starts none.
var errContainerd = errors.New("it is there, but its containerd does not answer: look after that, or restart both")

// alive asks for what an engine answers by itself, and then for what it has to
// ask its containerd for: Docker's own names it among its parts, unless it is
// away. There is no cheaper call that shows it.
func alive(ctx context.Context, engine *client.Client) error {
	err := within(ctx, pingTimeout, func(ctx context.Context) error {
		_, err := engine.Ping(ctx, client.PingOptions{})
		return err
	})
	if err != nil {
		return err
	}
	var answer client.ServerVersionResult
	err = within(ctx, versionTimeout, func(ctx context.Context) (err error) {
		answer, err = engine.ServerVersion(ctx, client.ServerVersionOptions{})
		return err
	})
	switch {
	case errors.As(err, new(noAnswer)):
		return fmt.Errorf("%w (%w)", errContainerd, err)
	case err == nil && names(answer, "Engine") && !names(answer, "containerd"): // others, such as Podman, have none
		return errContainerd
	}
	return err
}

func names(answer client.ServerVersionResult, part string) bool {
	return slices.ContainsFunc(answer.Components, func(c system.ComponentVersion) bool { return c.Name == part })
}

// note takes the outcome of a look.
func (h *health) note(err error, now time.Time) {
	h.mu.Lock()
	silent := h.since
	switch {
	case err != nil && silent.IsZero():
		h.since, h.cause = now, err
	case err != nil:
		h.cause = err
	default:
		h.since, h.cause = time.Time{}, nil
		close(h.answered)
		h.answered = make(chan struct{})
	}
	h.mu.Unlock()
	switch {
	case err != nil && silent.IsZero():
		h.log.Warn("engine does not answer: nothing new is taken on until it does", "docker_host", h.host, "error", err)
	case err == nil && !silent.IsZero():
		h.log.Info("engine answers again", "docker_host", h.host, "silent", now.Sub(silent).Round(time.Millisecond))
		h.changed()
	}
}

// err says why nothing can be asked of the engine now; nil if it answers.
func (h *health) err() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.since.IsZero() {
		return nil
	}
	return fmt.Errorf("the engine at %s does not answer since %s: %w", h.host, h.since.UTC().Format(time.RFC3339), h.cause)
}

// await returns when the engine has answered after now.
func (h *health) await(ctx context.Context) error {
	h.mu.Lock()
	answered := h.answered
	h.mu.Unlock()
	h.doubts.raise()
	select {
	case <-answered:
		return nil
	case <-h.ended:
		return errors.Join(errors.New("the instance was closed"), h.err())
	case <-ctx.Done():
		return errors.Join(ctx.Err(), h.err())
	}
}

// unreachable reports whether an error, of a call whose caller's context has not
// ended, says that the engine was not there for it. What the engine itself
// refuses is no such error, and no more an archive that ends too soon.
func unreachable(err error) bool {
	if client.IsErrConnectionFailed(err) || errors.As(err, new(engine.Away)) || cerrdefs.IsUnavailable(err) {
		return true
	}
	if !cerrdefs.IsInternal(err) {
		return false
	}
	// An engine that is just ending, or whose containerd is away, answers like
	// this, without a code of its own.
	for _, words := range []string{"shutting down", "containerd.sock", "transport is closing", "client connection is closing", "context canceled", "connection error: desc"} {
		if strings.Contains(err.Error(), words) {
			return true
		}
	}
	return false
}

// doubts are those of a call about the engine that it was for.
type doubts chan struct{}

func (d doubts) raise() {
	select {
	case d <- struct{}{}:
	default: // they are known
	}
}

// settle forgets those that were raised until now.
func (d doubts) settle() {
	select {
	case <-d:
	default:
	}
}

// doubting is a transport that raises doubts where a call has no answer, or one
// that the engine has failed.
type doubting struct {
	base interface {
		http.RoundTripper
		CloseIdleConnections()
	}
	doubts doubts
}

// RoundTrip implements http.RoundTripper.
func (d doubting) RoundTrip(req *http.Request) (*http.Response, error) {
	slow := time.AfterFunc(slowCall, d.doubts.raise)
	defer slow.Stop()
	resp, err := d.base.RoundTrip(req)
	if err != nil && !errors.Is(err, context.Canceled) {
		d.doubts.raise()
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = engine.Away{Err: err}
	}
	if err == nil && resp.StatusCode == http.StatusInternalServerError { // maybe half of it is away
		d.doubts.raise()
	}
	if err == nil && resp.StatusCode != http.StatusSwitchingProtocols { // which makes the body a connection
		resp.Body = reply{resp.Body, d.doubts}
	}
	return resp, err
}

// reply is a body that tells one which breaks off from any other file that does.
type reply struct {
	io.ReadCloser
	doubts doubts
}

// Read implements io.Reader.
func (r reply) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err == nil || err == io.EOF || errors.Is(err, context.Canceled) {
		return n, err
	}
	r.doubts.raise()
	return n, engine.Away{Err: err}
}

// CloseIdleConnections is what a client calls that is closed.
func (d doubting) CloseIdleConnections() { d.base.CloseIdleConnections() }
