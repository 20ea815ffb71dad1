package api

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/aquarium-fish/aquarium-fish/lib/auth"
	"github.com/aquarium-fish/aquarium-fish/lib/overlay"
)

// Peer answers the requests that other members pass on: the same routes with
// the same rules, but for the user that the member vouches for, and never
// passed on again. It is for an overlay.Server alone.
func (a *API) Peer() http.Handler { return http.HandlerFunc(a.servePeer) }

func (a *API) servePeer(w http.ResponseWriter, r *http.Request) {
	e := a.newExchange(w, r)
	defer a.recovered(e, r)
	envelope, ok := overlay.EnvelopeOf(r.Context())
	if !ok || !strings.HasPrefix(r.URL.Path, root+"/") {
		e.fail(http.StatusNotFound, "Not Found")
		return
	}
	if !a.known(envelope.User) {
		// Deleted, or not replicated yet: the member that asks knows better.
		e.fail(http.StatusForbidden, "This member does not know the user")
		return
	}
	if id := envelope.RequestID; isRequestID(id) {
		e.id, e.values[0] = id, id // the logs of both tell of one request
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err == nil {
		e.replicated, err = wantsReplica(query)
	}
	if err != nil {
		e.fail(http.StatusBadRequest, "Invalid format for the query: "+err.Error())
		return
	}
	e.peer, e.caller = true, auth.Principal{Name: envelope.User}
	if log, ok := w.(userNoter); ok {
		log.NoteUser(envelope.User)
	}
	r = r.WithContext(context.WithValue(r.Context(), exchangeKey{}, e))
	r.RemoteAddr = envelope.Remote // what the audit is to tell
	e.request = r
	a.router.ServeHTTP(e, r)
}

// isRequestID says whether a text can be the id of a request: nothing that
// would change a log.
func isRequestID(id string) bool {
	const most = 64
	if id == "" || len(id) > most {
		return false
	}
	return strings.IndexFunc(id, func(r rune) bool {
		return r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) < 0
}
