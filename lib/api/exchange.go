package api

import (
	"context"
	"net/http"
	"runtime/debug"
	"strconv"

	"github.com/aquarium-fish/aquarium-fish/lib/auth"
)

// exchange is one request and what is known of its answer. It stands between
// the handlers and the server's writer: it gives every JSON answer the
// contract's content type, indents where the client asked for it, and knows
// whether an answer has begun.
type exchange struct {
	http.ResponseWriter

	request *http.Request
	caller  auth.Principal
	// id is the request id; a slice of one is the header's value.
	id      [1]string
	bodyKey string    // what carries the message about a malformed body
	pretty  *indenter // nil unless asked for
	begun   bool
	scratch [320]byte // of the encoder; the largest hot answer takes 300
}

// Shared header values: nothing changes a value that is set.
var (
	jsonContentType = []string{"application/json; charset=UTF-8"} // contract 5
	noStore         = []string{"no-store"}                        // answers hold secrets, and some GETs act
)

const plainJSON = "application/json" // what generated code sets

func (a *API) newExchange(w http.ResponseWriter, r *http.Request) *exchange {
	e := &exchange{ResponseWriter: w, request: r, bodyKey: keyMessage}
	e.id[0] = a.idPrefix + strconv.FormatUint(a.idCounter.Add(1), 36)
	h := w.Header()
	h["X-Request-Id"] = e.id[:]
	h["Cache-Control"] = noStore
	return e
}

// WriteHeader begins the answer; a second one is ignored.
func (e *exchange) WriteHeader(status int) {
	if e.begun {
		return
	}
	e.begun = true
	h := e.Header()
	isJSON := false
	if ct := h["Content-Type"]; len(ct) == 1 && (ct[0] == plainJSON || ct[0] == jsonContentType[0]) {
		h["Content-Type"] = jsonContentType
		isJSON = true
	}
	if !isJSON {
		e.pretty = nil
	}
	if e.pretty != nil {
		h.Del("Content-Length")
	}
	e.ResponseWriter.WriteHeader(status)
}

// Write sends a part of the body.
func (e *exchange) Write(p []byte) (int, error) {
	if !e.begun {
		e.WriteHeader(http.StatusOK)
	}
	if e.pretty == nil {
		return e.ResponseWriter.Write(p)
	}
	if _, err := e.ResponseWriter.Write(e.pretty.indent(p)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Unwrap lets http.ResponseController reach the deadlines.
func (e *exchange) Unwrap() http.ResponseWriter { return e.ResponseWriter }

// exchangeKey finds the exchange in a request's context.
type exchangeKey struct{}

// exchangeOf returns the exchange that a handler works for. A context without
// one can not come from ServeHTTP.
func exchangeOf(ctx context.Context) *exchange {
	return ctx.Value(exchangeKey{}).(*exchange) //nolint:forcetypeassert // set by ServeHTTP for every handler
}

func callerOf(ctx context.Context) auth.Principal { return exchangeOf(ctx).caller }

// recovered ends an exchange whose handler panicked: with a 500 where the
// answer has not begun, else by cutting the connection, so that nobody takes
// half an answer for a whole one.
func (a *API) recovered(e *exchange, r *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	if p == http.ErrAbortHandler { //nolint:errorlint // net/http compares it so
		panic(p)
	}
	a.log.Error("handler panicked", keyRequestID, e.id[0], "method", r.Method, "path", r.URL.Path,
		"panic", p, "stack", string(debug.Stack()))
	if e.begun {
		panic(http.ErrAbortHandler)
	}
	e.fail(http.StatusInternalServerError, internalMessage(e.id[0]))
}
