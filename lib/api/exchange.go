package api

import (
	"context"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"

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
	id      string    // of the request
	bodyKey string    // what carries the message about a malformed body
	bodyUID string    // the one field of the body that is a UID: its mistakes do not tell where they are
	pretty  *indenter // nil unless asked for
	begun   bool
	body    []byte // what takeBody has made of the request's; nil without
	// Where the answer comes from.
	peer       bool // the request was passed on by another member
	again      bool // it is served here a second time: under another path, or as what it is about has come
	changes    bool // it is not to be made twice
	elsewhere  bool // it was answered by another member, or the second time
	replicated bool // the answer is to wait for a second node to have the change
	// sight sees how another member's answer begins, before the client does.
	sight func(status int, body []byte)
	// values are the values of headers that every answer has: a slice of one
	// element is what a header takes.
	values  [3]string
	scratch [320]byte // of the encoder; the largest hot answer takes 300
}

// The content type that generated code sets, and what contract 5 has instead.
const (
	plainJSON = "application/json"
	jsonType  = "application/json; charset=UTF-8"
)

func (a *API) newExchange(w http.ResponseWriter, r *http.Request) *exchange {
	e := &exchange{ResponseWriter: w, request: r, bodyKey: keyMessage}
	e.id = a.idPrefix + strconv.FormatUint(a.idCounter.Add(1), 36)
	e.values = [...]string{e.id, "no-store", jsonType}
	h := w.Header()
	h["X-Request-Id"] = e.values[0:1:1]
	h["Cache-Control"] = e.values[1:2:2] // answers hold secrets, and some GETs act
	return e
}

// setJSON says that the answer is JSON of this length.
func (e *exchange) setJSON(length int) {
	h := e.Header()
	h["Content-Type"] = e.values[2:3:3]
	h["Content-Length"] = []string{strconv.Itoa(length)}
}

// WriteHeader begins the answer; a second one is ignored.
func (e *exchange) WriteHeader(status int) {
	if e.begun {
		return
	}
	e.begun = true
	h := e.Header()
	isJSON := false
	if ct := h["Content-Type"]; len(ct) == 1 && (ct[0] == plainJSON || ct[0] == jsonType) {
		h["Content-Type"] = e.values[2:3:3]
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
	path := r.URL.Path
	if strings.HasPrefix(path, metaRoot) {
		path = metaRoot // what follows may be an environment's secret
	}
	a.log.Error("handler panicked", keyRequestID, e.id, "method", r.Method, "path", path,
		"panic", p, "stack", string(debug.Stack()))
	if e.begun {
		panic(http.ErrAbortHandler)
	}
	e.fail(http.StatusInternalServerError, internalMessage(e.id))
}
