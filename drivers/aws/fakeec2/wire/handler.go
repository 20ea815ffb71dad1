package wire

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// Options are how a Handler answers. The zero value asks for no signature.
type Options struct {
	// Keys are the secrets by access key id. If there are any, every request
	// has to be signed with one of them, or with what AssumeRole gave out.
	Keys map[string]string
	// Region is what requests have to be signed for; any if empty.
	Region string
	// PageSize is how many things one answer lists at most, whatever
	// MaxResults says: AWS promises no full pages either. 20 if 0, so that
	// who does not turn pages is found out.
	PageSize int
	// Aliases are names of keys for ListAliases, such as "alias/fish", as
	// cloud.API can resolve a name and list none.
	Aliases []string
	// Now is the clock of the journal and of the credentials of roles;
	// time.Now if nil.
	Now func() time.Time
	// MaxCalls is how many calls the journal keeps; 100,000 if 0.
	MaxCalls int
}

// The limits of one request.
const (
	maxBody = 1 << 20
	// patience is for a backend that hangs by mistake. It is not that of the
	// client: the real service ends what it began, whoever still listens.
	patience = time.Minute
)

// Handler answers for a backend. It is safe for use by many goroutines.
type Handler struct {
	backend  cloud.API
	opts     Options
	services map[string]service
	pages    pager

	journal journal
	faults  faults
	roles   roles

	life  context.Context // of the Handler: its end ends what hangs
	close context.CancelFunc
}

// service is one of AWS's services: what can be asked of it, and how its
// answers look.
type service struct {
	actions map[string]action
	render  renderer
}

// action reads what a request wants. It must not do anything yet: the request
// may still be refused as a whole.
type action func(f form) run

// run does what was asked for and returns what is to be rendered.
type run func(ctx context.Context) (reply any, err error)

// New makes the front of a backend. One that has a form without the manners of
// a client (fakeec2.Cloud.Strict) is used in that form, as the client is on the
// other side of the wire.
func New(backend cloud.API, o Options) *Handler {
	if service, ok := backend.(interface{ Strict() cloud.API }); ok {
		backend = service.Strict()
	}
	if o.PageSize <= 0 {
		o.PageSize = 20
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MaxCalls <= 0 {
		o.MaxCalls = 100_000
	}
	h := &Handler{backend: backend, opts: o, pages: newPager()}
	h.life, h.close = context.WithCancel(context.Background())
	h.services = map[string]service{
		serviceEC2:    {h.ec2Actions(), renderEC2{}},
		serviceSTS:    {h.stsActions(), renderSTS{}},
		serviceKMS:    {h.kmsActions(), renderJSON{}},
		serviceQuotas: {h.quotaActions(), renderJSON{}},
	}
	return h
}

// Close ends requests that hang, by a Fault or in the backend. It may be called
// twice.
func (h *Handler) Close() { h.close() }

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := read(http.MaxBytesReader(w, r.Body, maxBody), r)
	n := h.journal.begin(h.opts, q)
	call := h.journal.at(n)
	fault := h.faults.take(call)
	w.Header().Set("X-Amzn-Requestid", call.RequestID)
	if fault != nil && !fault.After && h.suffer(patient{w, r, q, n, answer{}}, fault) {
		return
	}
	a, err := h.answer(r.Context(), q, call.RequestID)
	if err != nil { // not of the service: nobody can word it
		h.journal.end(n, 0, "", "connection cut: "+err.Error())
		panic(http.ErrAbortHandler)
	}
	if fault != nil && fault.After && h.suffer(patient{w, r, q, n, a}, fault) {
		return
	}
	h.journal.end(n, a.status, a.code, "")
	a.write(w)
}

// answer does a request. An error is one that has no answer.
func (h *Handler) answer(ctx context.Context, q request, id string) (answer, error) {
	s := h.services[q.service]
	reply, err := h.do(ctx, s, q)
	if err == nil {
		return s.render.reply(q.action, id, reply), nil
	}
	problem, ok := errors.AsType[*cloud.Error](err)
	if !ok || problem.Err != nil { // a request that the backend never sent has no answer either
		return answer{}, err
	}
	return failure(s.render, id, problem), nil
}

func (h *Handler) do(ctx context.Context, s service, q request) (any, error) {
	if q.problem != nil {
		return nil, q.problem
	}
	who, err := h.authenticate(q, s.render.words())
	if err != nil {
		return nil, err
	}
	act, ok := s.actions[q.action]
	if !ok {
		return nil, cloud.NewError(s.render.words().unknownAction, "The action %s is not valid for this web service.", q.action)
	}
	f := newForm(q.values, s.render.words().missing)
	dryRun := q.service == serviceEC2 && f.flag("DryRun")
	todo := act(f)
	if err := f.problem(); err != nil {
		return nil, err
	}
	if dryRun {
		return nil, cloud.NewError("DryRunOperation", "Request would have succeeded, but DryRun flag is set.")
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	defer context.AfterFunc(h.life, cancel)() //nolint:contextcheck // the Handler's own end is no part of a request
	return todo(context.WithValue(ctx, callerKey{}, who))
}
