package api

import (
	"context"
	"encoding/base64"
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/auth"
)

// Authenticator checks names and passwords, and owns the memory that their
// hashes take.
type Authenticator interface {
	passwordHasher
	// Check returns who has these credentials, or one of lib/auth's errors.
	// remote is the address of the socket.
	Check(ctx context.Context, name, password, remote string) (auth.Principal, error)
}

// challenge is what a 401 asks for (contract 5).
const challenge = "basic realm=Restricted"

// busyRetry is when a node that is busy hashing is worth asking again: it
// works off some 150 logins in that time.
const busyRetry = 5 * time.Second

var (
	errNoCredentials  = errors.New("no basic credentials")
	errBadCredentials = errors.New("credentials can not be decoded")
)

// authenticate says who sends the request.
func (a *API) authenticate(e *exchange, r *http.Request) (auth.Principal, error) {
	name, password, err := basicCredentials(e.scratch[:0], r.Header.Get("Authorization"))
	if err != nil {
		return auth.Principal{}, err
	}
	caller, err := a.auth.Check(r.Context(), name, password, r.RemoteAddr)
	a.noteLogin(e, r, name, err)
	if err != nil {
		return auth.Principal{}, err
	}
	if log, ok := e.ResponseWriter.(userNoter); ok {
		log.NoteUser(caller.Name)
	}
	return caller, nil
}

// userNoter is a writer that wants to know who was authenticated: that of the
// access log.
type userNoter interface{ NoteUser(name string) }

// basicCredentials reads an Authorization header. scratch is overwritten.
func basicCredentials(scratch []byte, header string) (name, password string, err error) {
	const scheme = "basic "
	if len(header) < len(scheme) || !strings.EqualFold(header[:len(scheme)], scheme) {
		return "", "", errNoCredentials
	}
	decoded, err := base64.StdEncoding.AppendDecode(scratch, []byte(header[len(scheme):]))
	if err != nil {
		return "", "", errBadCredentials
	}
	name, password, ok := strings.Cut(string(decoded), ":")
	if !ok {
		return "", "", errNoCredentials
	}
	return name, password, nil
}

// refuse answers a request that was not authenticated.
func (a *API) refuse(e *exchange, r *http.Request, err error) {
	switch {
	case errors.Is(err, errBadCredentials):
		e.fail(http.StatusBadRequest, "Bad Request") // contract 5
	case errors.Is(err, errNoCredentials):
		e.unauthorized()
	case errors.Is(err, auth.ErrUnauthorized) && !a.ready():
		a.answerError(e, r, errBehind()) // the user, or the password, may not have come yet
	default:
		a.answerError(e, r, authFailure(err))
	}
}

func (e *exchange) unauthorized() {
	e.Header().Set("WWW-Authenticate", challenge)
	e.fail(http.StatusUnauthorized, "Unauthorized")
}

// authFailure makes errors of lib/auth that tell a client to come back later
// answers; others stay what they are.
func authFailure(err error) error {
	if limited, ok := errors.AsType[*auth.LimitedError](err); ok {
		return &failure{status: http.StatusTooManyRequests, message: capital(limited.Error()), retryAfter: limited.RetryAfter}
	}
	if errors.Is(err, auth.ErrBusy) {
		return &failure{status: http.StatusServiceUnavailable, message: capital(auth.ErrBusy.Error()), retryAfter: busyRetry}
	}
	return err
}

// capital starts an error's text like all messages of the API.
func capital(text string) string { return strings.ToUpper(text[:1]) + text[1:] }

// retryHeader is a duration in the whole seconds of Retry-After, at least one.
func retryHeader(after time.Duration) string {
	return strconv.FormatInt(max(1, int64(math.Ceil(after.Seconds()))), 10)
}
