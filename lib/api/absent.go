package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/status"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

// absence is the error of a handler that does not find something. Absence is
// never guessed: what is not known here may only not have come yet, so
// something that another member made is asked of that one.
type absence struct {
	// of is a UID with the prefix of the member that would know; NilUID where
	// no member knows more than the others.
	of model.UID
	// here looks once more whether it has come.
	here func(ctx context.Context) bool
	// answer is for the client if it is nowhere.
	answer error
	// state is the application whose state is asked for; NilUID: something
	// else is.
	state model.UID
}

// Error implements error.
func (a *absence) Error() string { return a.answer.Error() }

// Unwrap makes an absence that nobody resolves what it says to the client.
func (a *absence) Unwrap() error { return a.answer }

// behindRetry is when a node that catches up is worth another question.
const behindRetry = 2 * time.Second

// errBehind is the answer of a node that can not know yet.
func errBehind() error {
	return &failure{
		status: http.StatusServiceUnavailable, retryAfter: behindRetry,
		message: "This node has not caught up with the cluster yet: try again, or ask another node",
	}
}

// complete are the operations whose answer is a list of all that there is of
// something. Not so the list of nodes: it shows who is known, and an operator
// wants to see that at any time.
func complete(operation string) bool {
	switch operation {
	case "UserList", "LabelList", "ResourceList", "ApplicationList", "ApplicationActiveList", "ApplicationTaskList",
		"LocationList", "ServiceMappingList", "VoteList":
		return true
	}
	return false
}

// located stands around every handler: it looks elsewhere for what is not
// here, and sends what is for another member there.
func (h *handlers) located(next apiv1.StrictHandlerFunc, operation string) apiv1.StrictHandlerFunc {
	all := complete(operation)
	return func(ctx context.Context, w http.ResponseWriter, r *http.Request, request any) (any, error) {
		if all && !h.Cluster.Ready() {
			return nil, errBehind()
		}
		response, err := next(ctx, w, r, request)
		if err == nil {
			return response, nil
		}
		if missing, ok := errors.AsType[*absence](err); ok {
			exchangeOf(ctx).changes = changes(request)
			return nil, h.locate(ctx, missing)
		}
		if wanted, ok := errors.AsType[*memberWanted](err); ok {
			exchangeOf(ctx).changes = changes(request)
			return nil, h.reach(ctx, wanted)
		}
		return nil, err
	}
}

// changes reports whether a request changes something, so that it is not to be
// made twice.
func changes(request any) bool {
	switch request.(type) {
	case apiv1.MemberDrainSetRequestObject, apiv1.MemberMaintenanceRequestObject,
		apiv1.MemberImagePullRequestObject, apiv1.MemberImageRemoveRequestObject, apiv1.MemberDriverCommandRunRequestObject:
		return true
	}
	_, ok := deedOf(request, nil)
	return ok
}

// locate answers for what is not here, or returns the error to answer with.
func (h *handlers) locate(ctx context.Context, missing *absence) error {
	e := exchangeOf(ctx)
	if !h.Cluster.Ready() {
		return errBehind()
	}
	maker, ok := h.otherMaker(missing.of)
	if !ok || e.peer || e.again { // a request is passed on once
		return missing.answer
	}
	path := e.request.URL.EscapedPath()
	if e.changes {
		return h.order(ctx, maker, path, orderBudget)
	}
	if missing.state != model.NilUID {
		e.sight = func(status int, body []byte) { h.sight(missing.state, maker.UID, status, body) }
	}
	wait, cancel := context.WithTimeoutCause(ctx, askBudget, errLate)
	defer cancel()
	wait, come := context.WithCancelCause(wait)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		if h.comes(wait, missing.here) {
			come(errCame)
		}
	}()
	err := h.passOn(ctx, wait, maker, path)
	come(nil)
	<-watched
	if errors.Is(err, errCame) {
		h.again(e, path) //nolint:contextcheck // it is served as it was before it was routed
		return nil
	}
	return err
}

// errCame ends the asking for what has come here meanwhile.
var errCame = errors.New("it has come")

// otherMaker returns the member that made the UID, if it is another one.
func (h *handlers) otherMaker(uid model.UID) (status.Member, bool) {
	if uid == model.NilUID || model.SamePrefix(uid, h.Node) {
		return status.Member{}, false
	}
	return status.MakerOf(h.Cluster.Members(), uid)
}

// lookPause is how often at most it is looked whether something has come: a
// busy node takes in rows without a pause.
const lookPause = 20 * time.Millisecond

// comes waits until here is true, or ctx ends.
func (h *handlers) comes(ctx context.Context, here func(context.Context) bool) bool {
	changed := h.Store.Subscribe(store.KindApplication, store.KindLabel, store.KindServiceMapping)
	defer changed.Close()
	for !here(ctx) {
		select {
		case <-changed.C():
			changed.Take()
		case <-ctx.Done():
			return false
		}
		select {
		case <-time.After(lookPause):
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// again serves the request of the exchange here, under the given escaped path.
func (h *handlers) again(e *exchange, path string) {
	e.again = true
	r := e.request.Clone(e.request.Context()) // of before it was routed
	plain, err := url.PathUnescape(path)
	if err != nil {
		plain = path // can not be: it was parsed from this
	}
	r.URL.Path, r.URL.RawPath = plain, path
	r.Body, r.ContentLength = http.NoBody, 0
	if e.body != nil {
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(e.body)), int64(len(e.body))
		r.Header.Set("Content-Type", plainJSON) // takeBody has made it that
	}
	e.request = r
	h.router.ServeHTTP(e, r)
	e.elsewhere = true // the audit has it from there
}

// unknown says whether what could not be removed, because it is not here, may
// be elsewhere.
func (h *handlers) unknown(ctx context.Context, uid model.UID) error {
	if _, other := h.otherMaker(uid); h.Cluster.Ready() && (!other || exchangeOf(ctx).peer) {
		return nil
	}
	return &absence{of: uid, answer: errBehind()}
}

// memberWanted is the error of a handler whose request is for the named member
// to answer.
type memberWanted struct {
	ref    string
	budget time.Duration
}

// Error implements error.
func (m *memberWanted) Error() string { return "it is for member " + m.ref }

// reach sends a request to the member that it names.
func (h *handlers) reach(ctx context.Context, wanted *memberWanted) error {
	e := exchangeOf(ctx)
	members := h.Cluster.Members()
	to, ok := status.Find(members, wanted.ref)
	path := memberPath(e.request.URL)
	switch {
	case !ok && !h.Cluster.Ready():
		return errBehind()
	case !ok:
		return notFound("There is no member %q in the cluster, there are: %s", short(wanted.ref), memberNames(members))
	case to.UID == h.Node:
		h.again(e, path) //nolint:contextcheck // it is served as it was before it was routed
		return nil
	case to.State == status.StateRetired:
		return notFound("The member %s was retired", to.Name)
	case e.peer:
		return badRequest("The request was passed on by another member, and is for neither")
	}
	return h.order(ctx, to, path, wanted.budget)
}

// memberNames are the names of those that can be asked.
func memberNames(members []status.Member) string {
	list := append([]status.Member{}, members...)
	status.Sort(list)
	var names []string
	for _, m := range list {
		if m.State != status.StateRetired {
			names = append(names, m.Name)
		}
	}
	return strings.Join(names, ", ")
}

// memberPath is where a request for a member's own things is on that member.
func memberPath(u *url.URL) string {
	const nodes = root + "/node/"
	_, rest, _ := strings.Cut(strings.TrimPrefix(u.EscapedPath(), nodes), "/")
	return nodes + "this/" + rest
}
