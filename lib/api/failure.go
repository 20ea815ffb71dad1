package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/auth"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

// Keys of an error's JSON: malformed bodies of some nouns answer with `error`
// (contract 5).
const (
	keyMessage = "message"
	keyError   = "error"
)

const keyRequestID = "request_id" // in the log

// failure is an error that is the client's: its message says what to do.
type failure struct {
	status     int
	message    string
	retryAfter time.Duration // 0: not said
}

// Error implements error.
func (f *failure) Error() string { return f.message }

func badRequest(format string, args ...any) error {
	return &failure{status: http.StatusBadRequest, message: fmt.Sprintf(format, args...)}
}

func notFound(format string, args ...any) error {
	return &failure{status: http.StatusNotFound, message: fmt.Sprintf(format, args...)}
}

// needAdmin is the permission of contract 6 that most nouns ask for; doing
// completes the sentence.
func needAdmin(ctx context.Context, doing string) error {
	if callerOf(ctx).IsAdmin() {
		return nil
	}
	return badRequest("Only 'admin' user can %s", doing)
}

// fail answers with a message and nothing else.
func (e *exchange) fail(status int, message string) { e.failUnder(keyMessage, status, message) }

func (e *exchange) failUnder(key string, status int, message string) {
	if e.begun {
		return
	}
	body, _ := json.Marshal(map[string]string{key: message}) // text always marshals
	e.setJSON(len(body) + 1)
	e.WriteHeader(status)
	_, _ = e.Write(append(body, '\n')) // a client that is gone has nobody to tell
}

// answerError turns an error of a handler into an answer: one place for all
// of them. What is not the client's is 500 with the request id; its detail is
// for the log alone.
func (a *API) answerError(w http.ResponseWriter, r *http.Request, err error) {
	e := w.(*exchange) //nolint:forcetypeassert // ServeHTTP made it
	if f, ok := errors.AsType[*failure](err); ok {
		if f.retryAfter > 0 {
			e.Header().Set("Retry-After", retryHeader(f.retryAfter))
		}
		e.fail(f.status, f.message)
		return
	}
	if errors.Is(err, auth.ErrUnauthorized) {
		e.unauthorized()
		return
	}
	log := a.log.With(keyRequestID, e.id, "method", r.Method, "path", r.URL.Path, "error", err)
	switch {
	case r.Context().Err() != nil:
		log.Debug("client left before the answer")
		e.fail(http.StatusInternalServerError, internalMessage(e.id))
	case errors.Is(err, store.ErrUnavailable):
		log.Error("database took no write")
		e.fail(http.StatusInternalServerError, "The node can not store anything now and nothing was changed, try again later; request id "+e.id)
	case errors.Is(err, store.ErrClosed):
		log.Debug("request came while the node stops")
		e.fail(http.StatusServiceUnavailable, "The node is stopping, try again later")
	default:
		log.Error("request failed")
		e.fail(http.StatusInternalServerError, internalMessage(e.id))
	}
}

func internalMessage(id string) string { return "Internal error, request id " + id }

// answerBadParameter answers for a path or query value that can not be read.
// The error's text is contract 5's.
func (a *API) answerBadParameter(w http.ResponseWriter, _ *http.Request, err error) {
	w.(*exchange).fail(http.StatusBadRequest, err.Error()) //nolint:forcetypeassert // ServeHTTP made it
}

// answerBadBody answers for a body that is JSON but not what the noun takes.
func (a *API) answerBadBody(w http.ResponseWriter, _ *http.Request, err error) {
	e := w.(*exchange) //nolint:forcetypeassert // ServeHTTP made it
	e.failUnder(e.bodyKey, http.StatusBadRequest, wrongBody(bindMistake(err, e.bodyUID)))
}

func wrongBody(reason string) string { return "Wrong request body: " + reason }

// bindMistake says in JSON's words which field holds what it can not. uid is
// the body's field that is a UID.
func bindMistake(err error, uid string) string {
	mistake, ok := errors.AsType[*json.UnmarshalTypeError](err)
	if !ok {
		for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(next) {
			err = next
		}
		if uid != "" {
			return uid + ": " + err.Error()
		}
		return err.Error()
	}
	field := mistake.Field
	if field == "" {
		field = "the body"
	}
	return fmt.Sprintf("%s can't be a JSON %s, it takes %s", field, short(mistake.Value), jsonWord(mistake.Type))
}

// short cuts what a client sent to what its own message needs of it.
func short(s string) string {
	const most = 40
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
