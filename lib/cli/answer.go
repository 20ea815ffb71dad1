package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"unicode"

	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

// answer is what every response of the generated client tells.
type answer[T any] interface {
	GetJSON200() *T
	GetJSONDefault() *apiv1.Failure
	GetBody() []byte
	StatusCode() int
}

// result turns the two values of a call of the generated client into the object that it asked for, or an error that
// says what to do:
//
//	labels, err := result(api.LabelListWithResponse(ctx, nil))
func result[T any](r answer[T], err error) (*T, error) {
	if err != nil {
		return nil, unreachable(err)
	}
	if v := r.GetJSON200(); v != nil && r.StatusCode() == http.StatusOK {
		return v, nil
	}
	refused := &statusError{status: r.StatusCode()}
	if f := r.GetJSONDefault(); f != nil {
		refused.message = f.Message + f.Error
	} else if r.StatusCode() == http.StatusOK {
		refused.message = "the answer is not the JSON of a node: is this the address of one?"
	} else {
		refused.message = firstLine(string(r.GetBody()))
	}
	if refused.status == http.StatusNotFound || refused.status == http.StatusBadRequest && strings.HasPrefix(refused.message, absent) {
		return nil, &Failure{CodeNotFound, refused}
	}
	return nil, refused
}

// absent begins the message about what is not there, on the routes too that answer 400 to it (contract 6).
const absent = "Unable to find "

// statusError is an answer other than success.
type statusError struct {
	status  int
	message string
}

// Error is what the node said and what to do about it.
func (e *statusError) Error() string {
	text := printable(e.message)
	if text == "" {
		text = http.StatusText(e.status)
	}
	switch {
	case e.status == http.StatusUnauthorized:
		return "the node does not know this user and password (" + text + "): run 'aquarium-fish login', or set " +
			envUser + " and " + envPassword
	case e.status == http.StatusServiceUnavailable: // not now: the message says why
		return text
	case e.status >= http.StatusInternalServerError:
		return fmt.Sprintf("the node failed with status %d: %s; its log has the reason", e.status, text)
	}
	return text
}

// isStatus reports whether the node answered with the status.
func isStatus(err error, status int) bool {
	var e *statusError
	return errors.As(err, &e) && e.status == status
}

// passing reports whether the same request may be answered in a moment: the node restarts, or is busy.
func passing(err error) bool {
	var refused *statusError
	if errors.As(err, &refused) {
		return refused.status == http.StatusTooManyRequests || refused.status >= http.StatusInternalServerError
	}
	var dial *unreachableError
	return errors.As(err, &dial) && dial.passing
}

// unreachableError says why there was no answer.
type unreachableError struct {
	err     error
	advice  string
	passing bool // it may be better in a moment
	unsent  bool // the request did not reach the node
}

// Error is the reason and what to do.
func (e *unreachableError) Error() string { return e.err.Error() + ": " + e.advice }

// Unwrap returns the reason.
func (e *unreachableError) Unwrap() error { return e.err }

// unreachable adds to the error of a request what the user can do.
func unreachable(err error) error {
	var failed *Failure
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var plain tls.RecordHeaderError
	var dial *net.OpError
	var request *url.Error
	var syntax *json.SyntaxError
	var shape *json.UnmarshalTypeError
	if errors.As(err, &request) {
		err = request.Err // the path tells a user nothing
	}
	switch {
	case errors.As(err, &failed), errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &syntax), errors.As(err, &shape):
		return fmt.Errorf("unexpected answer: %w: is this the address of a node, and of this version?", err)
	case errors.As(err, &unknown):
		return &unreachableError{err: err, unsent: true,
			advice: "give the ca.crt of the node's folder (fish_data) by --ca or " + envCA + ", or pin it with 'aquarium-fish context add'"}
	case errors.As(err, &name):
		return &unreachableError{err: err, unsent: true, advice: "use an address that the node's certificate names"}
	case errors.As(err, &invalid):
		return &unreachableError{err: err, unsent: true, advice: "compare the clocks of this machine and the node"}
	case errors.As(err, &plain), strings.Contains(err.Error(), "server gave HTTP response"):
		return &unreachableError{err: err, unsent: true, advice: "this is no node's API, which speaks HTTPS: check the address"}
	case errors.As(err, &dial) && dial.Op == "dial":
		return &unreachableError{err: err, passing: true, unsent: true,
			advice: "does a node run there? set the address by --address, " + envAddress + " or a context"}
	}
	return &unreachableError{err: err, passing: true, advice: "the node took the request and did not answer; look what became of it before you try again"}
}

// firstLine is the beginning of a text, for a message.
func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	const enough = 200
	if r := []rune(line); len(r) > enough {
		line = string(r[:enough]) + "..."
	}
	return line
}

// printable replaces what would change the terminal rather than be seen on it: names and messages come from others.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		if unicode.IsSpace(r) {
			return ' '
		}
		return '?'
	}, text)
}
