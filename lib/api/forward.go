package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/status"
	"github.com/aquarium-fish/aquarium-fish/lib/overlay"
)

// Times of requests that are passed on.
const (
	// askBudget is how long another member is asked for what is not known here.
	askBudget = time.Second
	// orderBudget is how long a member may take for what changes something: a
	// write to a busy disk, and the making of the connection.
	orderBudget = 10 * time.Second
	// awayRetry is when a member that can not be reached is worth another try:
	// links find each other again within seconds.
	awayRetry = 2 * time.Second
	// maxAsked bounds the requests that wait for members, so that a member that
	// is gone does not collect all of a busy node's requests.
	maxAsked = 128
)

// passOn sends the request of the exchange to a member, under the given
// escaped path, and its answer to the client. The answer has to begin before
// wait ends. After nil the client has it; an error is for the client.
func (h *handlers) passOn(ctx, wait context.Context, to status.Member, path string) error {
	e := exchangeOf(ctx)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	waiting := context.AfterFunc(wait, func() { cancel(context.Cause(wait)) })
	defer waiting()
	res, err := h.ask(ctx, e, to, path)
	if err != nil {
		return h.away(ctx, to, err)
	}
	defer func() { _ = res.Body.Close() }()
	if !waiting() {
		return h.away(ctx, to, context.Cause(wait))
	}
	if err := unfit(to, res); err != nil {
		return err
	}
	e.elsewhere = true
	h.copyAnswer(e, res, cancel)
	return nil
}

// order is passOn for what changes something, or is a member's own.
func (h *handlers) order(ctx context.Context, to status.Member, path string, budget time.Duration) error {
	// The server's deadlines are for answers that come at once. Writers that
	// have none (tests) need no extension.
	rc := http.NewResponseController(exchangeOf(ctx))
	_ = rc.SetReadDeadline(time.Time{})
	_ = rc.SetWriteDeadline(time.Now().Add(budget + h.ChunkTimeout))
	wait, cancel := context.WithTimeoutCause(ctx, budget, errLate)
	defer cancel()
	return h.passOn(ctx, wait, to, path)
}

var errLate = errors.New("it did not answer in time")

// ask sends the request of the exchange to a member.
func (h *handlers) ask(ctx context.Context, e *exchange, to status.Member, path string) (*http.Response, error) {
	r := overlay.Request{
		Method: e.request.Method, Path: path, Query: e.request.URL.RawQuery, Body: e.body,
		Header: http.Header{"Accept-Encoding": {"identity"}}, Once: e.changes,
	}
	if e.pretty != nil { // is done here
		values := e.request.URL.Query()
		values.Del("pretty")
		r.Query = values.Encode()
	}
	if e.body != nil {
		r.Header["Content-Type"] = []string{plainJSON} // takeBody has made it that
	}
	return h.send(ctx, e, to, r)
}

// send asks a member for the caller of the exchange.
func (h *handlers) send(ctx context.Context, e *exchange, to status.Member, r overlay.Request) (*http.Response, error) {
	select {
	case h.asked <- struct{}{}:
		defer func() { <-h.asked }()
	default:
		return nil, errCrowded
	}
	envelope := overlay.Envelope{User: e.caller.Name, RequestID: e.id, Remote: e.request.RemoteAddr}
	return h.members.Do(ctx, to.UID, envelope, r)
}

var errCrowded = errors.New("too many requests wait for other members")

// away makes the answer for a member that gave none.
func (h *handlers) away(ctx context.Context, to status.Member, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, errLate) {
		return cause // the client left, or what was asked for came by itself
	}
	h.Logger.Info("member gave no answer", "component", "api", keyRequestID, exchangeOf(ctx).id, "member", to.Name, "error", err)
	f := &failure{status: http.StatusServiceUnavailable, retryAfter: awayRetry}
	_, unsent := errors.AsType[*overlay.UnreachableError](err)
	switch {
	case errors.Is(err, errCrowded):
		f.message, f.retryAfter = "Too many requests wait for other members of the cluster, try again later", busyRetry
	case unsent, !exchangeOf(ctx).changes:
		f.message = "The member " + to.Name + ", which knows the answer, can not be reached now: try again, or ask it directly"
	default:
		f.message = "The member " + to.Name + " was asked and did not answer: it may have done it, look before you ask again"
	}
	return f
}

// unfit finds the answers that are between members only: they are not the
// client's fault.
func unfit(from status.Member, res *http.Response) error {
	switch res.StatusCode {
	case http.StatusForbidden, http.StatusUnauthorized:
		return &failure{
			status: http.StatusServiceUnavailable, retryAfter: awayRetry,
			message: "The member " + from.Name + " does not know this user yet, try again",
		}
	case http.StatusSwitchingProtocols:
		return errors.New("member " + from.Name + " switched protocols")
	}
	return nil
}

// kept are the headers that every answer of this node has of its own, or that
// are of the connection.
func kept(name string) bool {
	switch name {
	case "X-Request-Id", "Cache-Control", "Date", "Connection", "Keep-Alive", "Transfer-Encoding", "Trailer", "Upgrade", "Www-Authenticate":
		return true
	}
	return false
}

// copyAnswer sends a member's answer to the client as it comes. Both have a
// bounded time for each part of it. One that breaks off breaks the client's
// too, so that nobody takes half an answer for a whole one.
func (h *handlers) copyAnswer(e *exchange, res *http.Response, cancel context.CancelCauseFunc) {
	header := e.Header()
	for name, values := range res.Header {
		if !kept(name) {
			header[name] = values
		}
	}
	silent := time.AfterFunc(h.StreamTimeout, func() { cancel(errLate) })
	defer silent.Stop()
	rc := http.NewResponseController(e)
	e.WriteHeader(res.StatusCode)
	buf := make([]byte, chunkSize)
	for {
		n, err := res.Body.Read(buf)
		silent.Reset(h.StreamTimeout)
		if n > 0 && e.sight != nil {
			e.sight(res.StatusCode, buf[:n])
			e.sight = nil
		}
		if n > 0 {
			_ = rc.SetWriteDeadline(time.Now().Add(h.ChunkTimeout)) // a writer without deadlines does not block either
			if _, err := e.Write(buf[:n]); err != nil {
				panic(http.ErrAbortHandler)
			}
			if res.ContentLength < 0 && err == nil {
				_ = rc.Flush()
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return
		case err != nil:
			panic(http.ErrAbortHandler)
		}
	}
}
