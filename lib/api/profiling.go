package api

import (
	"context"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

// maxProfileSeconds bounds how long a profile may run: it costs some 5 % of
// the node, and only one CPU profile runs at a time.
const maxProfileSeconds = 600

// profileSlack is the time to send a profile after it was taken.
const profileSlack = time.Minute

// profiles are those of contract 24, for the message about another.
const profiles = "allocs, block, goroutine, heap, mutex, threadcreate, cmdline, profile, symbol, trace"

func profileHandler(name string) (handler http.Handler, ok bool) {
	switch name {
	case "allocs", "block", "goroutine", "heap", "mutex", "threadcreate":
		return pprof.Handler(name), true
	case "cmdline":
		return http.HandlerFunc(pprof.Cmdline), true
	case "profile":
		return http.HandlerFunc(pprof.Profile), true
	case "symbol":
		return http.HandlerFunc(pprof.Symbol), true
	case "trace":
		return http.HandlerFunc(pprof.Trace), true
	}
	return nil, false
}

// profileAnswer lets a handler of net/http/pprof write the answer.
type profileAnswer struct {
	handler http.Handler
	request *http.Request
}

// VisitNodeThisProfilingIndexResponse implements the generated answer.
func (p profileAnswer) VisitNodeThisProfilingIndexResponse(w http.ResponseWriter) error {
	p.handler.ServeHTTP(w, p.request)
	return nil
}

// VisitNodeThisProfilingGetResponse implements the generated answer.
func (p profileAnswer) VisitNodeThisProfilingGetResponse(w http.ResponseWriter) error {
	p.handler.ServeHTTP(w, p.request)
	return nil
}

// NodeThisProfilingIndex shows the profiles that there are, for the admin.
func (h *handlers) NodeThisProfilingIndex(
	ctx context.Context, _ apiv1.NodeThisProfilingIndexRequestObject,
) (apiv1.NodeThisProfilingIndexResponseObject, error) {
	if err := needAdmin(ctx, "profile the node"); err != nil {
		return nil, err
	}
	return profileAnswer{http.HandlerFunc(pprof.Index), exchangeOf(ctx).request}, nil
}

// NodeThisProfilingGet takes a profile, for the admin.
func (h *handlers) NodeThisProfilingGet(
	ctx context.Context, r apiv1.NodeThisProfilingGetRequestObject,
) (apiv1.NodeThisProfilingGetResponseObject, error) {
	if err := needAdmin(ctx, "profile the node"); err != nil {
		return nil, err
	}
	handler, ok := profileHandler(r.Profile)
	if !ok {
		return nil, notFound("There is no profile %q, take one of %s", r.Profile, profiles)
	}
	if err := checkSeconds(r.Params.Seconds); err != nil {
		return nil, err
	}
	e := exchangeOf(ctx)
	// The server's deadlines are for answers that come at once. Writers that
	// have none (tests) need no extension.
	rc := http.NewResponseController(e)
	_ = rc.SetReadDeadline(time.Time{})
	_ = rc.SetWriteDeadline(time.Now().Add(time.Duration(r.Params.Seconds*float64(time.Second)) + profileSlack))
	return profileAnswer{handler, e.request}, nil
}

func checkSeconds(s float64) error {
	if !(s >= 0 && s <= maxProfileSeconds) { // written so that NaN fails
		return badRequest("Invalid format for parameter seconds: it must be from 0 to %d", maxProfileSeconds)
	}
	return nil
}
