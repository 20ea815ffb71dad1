package api

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/overlay"
	"github.com/aquarium-fish/aquarium-fish/openapi"
	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

// The prefixes and paths that are not routed by the generated server.
const (
	root     = "/api/v1"
	metaRoot = "/meta/v1/"
	pagePath = "/api/"
	specPath = "/api/v1/openapi.yaml"
)

// Defaults of Options.
const (
	// DefaultBodyTimeout is enough for 64 KB over the worst line that a CI
	// runs on, and short enough that slow clients can not pile up.
	DefaultBodyTimeout = 20 * time.Second
	// DefaultChunkTimeout is how long a client of a long list may take for
	// 32 KB of it.
	DefaultChunkTimeout = 30 * time.Second
	// DefaultStreamTimeout is how long another member may be silent within an
	// answer: streams say that they are alive more often.
	DefaultStreamTimeout = time.Minute
)

// Options is what an API needs. All without a default are required.
type Options struct {
	// Node is the UID of this node.
	Node model.UID
	// LastSeen is when this node last gave a sign of life: what it shows as
	// its own updated_at.
	LastSeen    func() time.Time
	Auth        Authenticator
	Store       Store
	Election    Election
	Lifecycle   Lifecycle
	Drivers     Drivers
	Images      Images
	Commands    Commands
	Ledger      Ledger
	Maintenance Maintenance
	Audit       Audit
	Cluster     Cluster
	// Meta answers everything below /meta/v1/. nil: that is served elsewhere,
	// and 404 here.
	Meta http.Handler
	// Enrolment gives out invitations. nil: this node does not.
	Enrolment Enrolment
	// SSH is the proxy that credentials are for. nil: this node has none.
	SSH SSH
	// AccessLifetime is how long credentials for it wait for their one use;
	// required with SSH.
	AccessLifetime time.Duration
	Logger         *slog.Logger
	// AllocateTimeout is how long ELECTED may last once the images are there.
	AllocateTimeout time.Duration

	// BodyTimeout bounds the time in which a request's body has to arrive.
	BodyTimeout time.Duration
	// ChunkTimeout bounds the time that a client takes for a part of a list.
	ChunkTimeout time.Duration
	// StreamTimeout bounds the time for which another member may be silent
	// within an answer.
	StreamTimeout time.Duration
}

func (o *Options) validate() error {
	switch {
	case o.Node == model.NilUID:
		return errors.New("node UID is not set")
	case o.LastSeen == nil, o.Auth == nil, o.Store == nil, o.Election == nil, o.Lifecycle == nil,
		o.Drivers == nil, o.Images == nil, o.Commands == nil, o.Ledger == nil, o.Maintenance == nil, o.Audit == nil, o.Cluster == nil, o.Logger == nil, o.AllocateTimeout <= 0:
		return errors.New("a required option is not set")
	case o.SSH != nil && o.AccessLifetime <= 0:
		return errors.New("credentials for the SSH proxy have no lifetime")
	case o.BodyTimeout < 0, o.ChunkTimeout < 0, o.StreamTimeout < 0:
		return errors.New("a timeout is negative")
	}
	o.BodyTimeout = cmp.Or(o.BodyTimeout, DefaultBodyTimeout)
	o.ChunkTimeout = cmp.Or(o.ChunkTimeout, DefaultChunkTimeout)
	o.StreamTimeout = cmp.Or(o.StreamTimeout, DefaultStreamTimeout)
	if o.Meta == nil {
		o.Meta = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.(*exchange).fail(http.StatusNotFound, "Not Found") //nolint:forcetypeassert // ServeHTTP made it
		})
	}
	return nil
}

// API is the http.Handler of a node's API port. It relies on the server's
// WriteTimeout to bound short answers; bodies, long lists and profiles set
// deadlines of their own.
type API struct {
	auth     Authenticator
	audit    Audit
	known    func(user string) bool
	ready    func() bool
	meta     http.Handler
	router   http.Handler
	handlers *handlers
	log      *slog.Logger
	page     []byte // of pagePath
	spec     []byte

	idPrefix  string // of this process
	idCounter atomic.Uint64
}

// handlers implements the generated server.
type handlers struct {
	Options
	uids    *model.UIDSource
	members *overlay.Client
	asked   chan struct{} // holds one for each request that waits for a member
	// sightings are what clients were told by other members.
	sightings sightings
	router    http.Handler
}

var _ apiv1.StrictServerInterface = (*handlers)(nil)

// New makes the API. It starts nothing.
func New(o Options) (*API, error) {
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("check api options: %w", err)
	}
	spec := openapi.Spec()
	page, err := renderPage(spec)
	if err != nil {
		return nil, fmt.Errorf("render api page: %w", err)
	}
	var seed [4]byte
	_, _ = rand.Read(seed[:]) // never fails (crypto/rand documents a crash instead)
	a := &API{
		auth: o.Auth, audit: o.Audit, known: func(name string) bool { _, ok := o.Store.UserByName(name); return ok },
		ready: o.Cluster.Ready, meta: o.Meta, log: o.Logger.With("component", "api"), page: page, spec: spec,
		idPrefix: hex.EncodeToString(seed[:]) + "-",
	}
	h := &handlers{
		Options: o, uids: model.NewUIDSource(o.Node), members: overlay.NewClient(o.Cluster), asked: make(chan struct{}, maxAsked),
	}
	a.router = a.newRouter(h)
	h.router, a.handlers = a.router, h
	return a, nil
}

func (a *API) newRouter(h *handlers) http.Handler {
	strict := apiv1.NewStrictHandlerWithOptions(h, []apiv1.StrictMiddlewareFunc{h.replicas, h.located, h.audited}, apiv1.StrictHTTPServerOptions{
		RequestErrorHandlerFunc:  a.answerBadBody,
		ResponseErrorHandlerFunc: a.answerError,
	})
	mux := chi.NewRouter()
	mux.NotFound(answerNotFound)
	mux.MethodNotAllowed(answerNotFound) // contract 5: never 405
	return apiv1.HandlerWithOptions(guard{strict, h.BodyTimeout, h.ChunkTimeout}, apiv1.ChiServerOptions{
		BaseRouter: mux, ErrorHandlerFunc: a.answerBadParameter,
	})
}

// Close closes the connections to other members that are not in use.
func (a *API) Close() { a.handlers.members.Close() }

func answerNotFound(w http.ResponseWriter, _ *http.Request) {
	w.(*exchange).fail(http.StatusNotFound, "Not Found") //nolint:forcetypeassert // ServeHTTP made it
}

// ServeHTTP answers one request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e := a.newExchange(w, r)
	defer a.recovered(e, r)
	path := r.URL.Path
	switch {
	case strings.HasPrefix(path, metaRoot):
		a.meta.ServeHTTP(e, r)
	case path == specPath && r.Method == http.MethodGet:
		e.serveBytes("application/yaml; charset=utf-8", a.spec)
	case path == pagePath && r.Method == http.MethodGet:
		e.Header().Set("Content-Security-Policy", pagePolicy)
		e.serveBytes("text/html; charset=utf-8", a.page)
	case path == root || strings.HasPrefix(path, root+"/"):
		a.serveRoute(e, r)
	default:
		e.fail(http.StatusNotFound, "Not Found")
	}
}

// serveRoute asks for credentials before it looks where the path leads: who
// has none does not learn which paths exist (contract 5).
func (a *API) serveRoute(e *exchange, r *http.Request) {
	rawQuery := keepSemicolons(r.URL.RawQuery)
	query, badQuery := parseQuery(rawQuery)
	if query.Has("pretty") {
		e.pretty = &indenter{}
	}
	replicated, badReplica := wantsReplica(query)
	caller, err := a.authenticate(e, r)
	if err != nil {
		a.refuse(e, r, err)
		return
	}
	if badQuery = errors.Join(badQuery, badReplica); badQuery != nil {
		e.fail(http.StatusBadRequest, "Invalid format for the query: "+badQuery.Error())
		return
	}
	e.caller, e.replicated = caller, replicated
	r = r.WithContext(context.WithValue(r.Context(), exchangeKey{}, e))
	if rawQuery != r.URL.RawQuery {
		address := *r.URL
		address.RawQuery = rawQuery
		r.URL = &address
	}
	e.request = r
	a.router.ServeHTTP(e, r)
}

// keepSemicolons escapes the semicolons that scripts leave as they are: they
// belong to the filter (contract 9 drops what follows one there), while
// net/url would drop the whole pair, and so the filter.
func keepSemicolons(raw string) string {
	return strings.ReplaceAll(raw, ";", "%3B")
}

// parseQuery parses strictly: what net/http would silently drop, a filter
// among it, is an error.
func parseQuery(raw string) (url.Values, error) {
	if raw == "" {
		return nil, nil
	}
	return url.ParseQuery(raw)
}

func (e *exchange) serveBytes(contentType string, body []byte) {
	h := e.Header()
	h.Set("Content-Type", contentType)
	h.Set("X-Content-Type-Options", "nosniff")
	_, _ = e.Write(body) // a client that is gone has nobody to tell
}

func (h *handlers) newUID() model.UID { return h.uids.New(time.Now()) }

// MetaDataGet is never routed here: everything below /meta/v1/ is Meta's.
func (h *handlers) MetaDataGet(context.Context, apiv1.MetaDataGetRequestObject) (apiv1.MetaDataGetResponseObject, error) {
	return nil, notFound("Not Found")
}

// MetaDataKeyGet is never routed here: everything below /meta/v1/ is Meta's.
func (h *handlers) MetaDataKeyGet(context.Context, apiv1.MetaDataKeyGetRequestObject) (apiv1.MetaDataKeyGetResponseObject, error) {
	return nil, notFound("Not Found")
}

// newList makes the answer of a collection.
func newList[M, V any](h *handlers, noun string, elements iter.Seq2[M, error], convert func(M) V) list[M] {
	return list[M]{noun, elements, func(m M) any { return convert(m) }, h.ChunkTimeout}
}
