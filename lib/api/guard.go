package api

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/api/body"
	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

// guard stands before the generated handlers of the routes that need more than
// binding: those with a body, and the GETs that change something.
type guard struct {
	apiv1.ServerInterface
	bodyTimeout   time.Duration
	answerTimeout time.Duration // for the answer to a request with a body
}

// LabelCreate checks the body.
func (g guard) LabelCreate(w http.ResponseWriter, r *http.Request) {
	if g.takeBody(w, r, keyMessage) {
		g.ServerInterface.LabelCreate(w, r)
	}
}

// LabelCheck checks the body.
func (g guard) LabelCheck(w http.ResponseWriter, r *http.Request) {
	if g.takeBody(w, r, keyMessage) {
		g.ServerInterface.LabelCheck(w, r)
	}
}

// UserCreate checks the body.
func (g guard) UserCreate(w http.ResponseWriter, r *http.Request) {
	if g.takeBody(w, r, keyMessage) {
		g.ServerInterface.UserCreate(w, r)
	}
}

// ApplicationCreate checks the body.
func (g guard) ApplicationCreate(w http.ResponseWriter, r *http.Request) {
	if g.takeBody(w, r, keyError) {
		w.(*exchange).bodyUID = "label_UID" //nolint:forcetypeassert // ServeHTTP made it
		g.ServerInterface.ApplicationCreate(w, r)
	}
}

// ApplicationTaskCreate checks the body.
func (g guard) ApplicationTaskCreate(w http.ResponseWriter, r *http.Request, uid apiv1.UID) {
	if g.takeBody(w, r, keyError) {
		g.ServerInterface.ApplicationTaskCreate(w, r, uid)
	}
}

// LocationCreate checks the body.
func (g guard) LocationCreate(w http.ResponseWriter, r *http.Request) {
	if g.takeBody(w, r, keyError) {
		g.ServerInterface.LocationCreate(w, r)
	}
}

// ServiceMappingCreate checks the body.
func (g guard) ServiceMappingCreate(w http.ResponseWriter, r *http.Request) {
	if g.takeBody(w, r, keyError) {
		w.(*exchange).bodyUID = "application_UID" //nolint:forcetypeassert // ServeHTTP made it
		g.ServerInterface.ServiceMappingCreate(w, r)
	}
}

// ApplicationDeallocate checks where the request comes from.
func (g guard) ApplicationDeallocate(w http.ResponseWriter, r *http.Request, uid apiv1.UID) {
	if g.sameSite(w, r) {
		g.ServerInterface.ApplicationDeallocate(w, r, uid)
	}
}

// ResourceAccessGet checks where the request comes from.
func (g guard) ResourceAccessGet(w http.ResponseWriter, r *http.Request, uid apiv1.UID) {
	if g.sameSite(w, r) {
		g.ServerInterface.ResourceAccessGet(w, r, uid)
	}
}

// NodeThisMaintenance checks where the request comes from.
func (g guard) NodeThisMaintenance(w http.ResponseWriter, r *http.Request, params apiv1.NodeThisMaintenanceParams) {
	if g.sameSite(w, r) {
		g.ServerInterface.NodeThisMaintenance(w, r, params)
	}
}

// sameSite refuses what a page of another site makes a browser send: the
// browser would add the user's credentials (contract 32).
func (g guard) sameSite(w http.ResponseWriter, r *http.Request) bool {
	if !foreign(r.Header, r.Host) {
		return true
	}
	w.(*exchange).fail(http.StatusBadRequest, //nolint:forcetypeassert // ServeHTTP made it
		"This request changes something and came from a page of another site: send it from a client of your own")
	return false
}

// foreign reports whether a browser says that a page of another site made it
// send the request. Other clients send neither header.
func foreign(h http.Header, host string) bool {
	switch strings.ToLower(h.Get("Sec-Fetch-Site")) {
	case "cross-site", "same-site": // a neighbour in the same domain may serve what builds have made
		return true
	}
	origin := h.Get("Origin")
	if origin == "" {
		return false
	}
	u, err := url.Parse(origin)
	return err != nil || !strings.EqualFold(u.Host, host) // "null" has no host
}

// takeBody replaces the request's body by what package body makes of it. After
// false the answer is given.
func (g guard) takeBody(w http.ResponseWriter, r *http.Request, key string) bool {
	e := w.(*exchange) //nolint:forcetypeassert // ServeHTTP made it
	e.bodyKey = key
	raw, err := g.readBody(e, r)
	// The server's own deadline counts from the headers: after a slow body
	// nothing of it would be left for the answer.
	_ = http.NewResponseController(e).SetWriteDeadline(time.Now().Add(g.answerTimeout)) // as in readBody
	if err != nil {
		// What the client may still send is not waited for.
		e.Header()["Connection"] = []string{"close"}
		switch {
		case errors.Is(err, errTooLarge):
			e.fail(http.StatusRequestEntityTooLarge, http.StatusText(http.StatusRequestEntityTooLarge))
		case errors.Is(err, os.ErrDeadlineExceeded):
			e.fail(http.StatusRequestTimeout, fmt.Sprintf("The body did not arrive within %v", g.bodyTimeout))
		default:
			e.failUnder(key, http.StatusBadRequest, wrongBody("it could not be read to its end"))
		}
		return false
	}
	object, err := body.Normalize(r.Header.Get("Content-Type"), raw)
	if err != nil {
		e.failUnder(key, http.StatusBadRequest, wrongBody(err.Error()))
		return false
	}
	e.body = object
	r.Body = io.NopCloser(bytes.NewReader(object))
	return true
}

var errTooLarge = errors.New("body is too large")

// readBody reads a body of bounded size in bounded time. The deadline stays
// only where the rest of the body will not be read.
func (g guard) readBody(e *exchange, r *http.Request) ([]byte, error) {
	rc := http.NewResponseController(e)
	// A writer without deadlines (tests) has no slow clients either.
	_ = rc.SetReadDeadline(time.Now().Add(g.bodyTimeout))
	if r.ContentLength > body.MaxSize {
		return nil, errTooLarge
	}
	raw, err := io.ReadAll(io.LimitReader(r.Body, body.MaxSize+1))
	switch {
	case err != nil:
		return nil, err
	case len(raw) > body.MaxSize:
		return nil, errTooLarge
	}
	_ = rc.SetReadDeadline(time.Time{})
	return raw, nil
}
