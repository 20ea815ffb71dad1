package overlay

import (
	"context"
	"net/http"
	"net/url"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// Envelope is what travels beside a request.
type Envelope struct {
	// User is for whom the request is; empty: the member asks for itself, which
	// the API refuses, and other handlers may take.
	User string
	// RequestID is that of the request at the member which took it, for the
	// logs of both.
	RequestID string
	// Remote is the address of the client there.
	Remote string
	// From is the member which took it. The receiving side sets it: it knows
	// who is at the other end of the connection.
	From model.UID
}

// The headers that carry an Envelope. Values are escaped, as names of users
// may hold anything.
const (
	headerUser    = "Aquarium-User"
	headerRequest = "Aquarium-Request"
	headerRemote  = "Aquarium-Remote"
)

// maxField bounds a field of an Envelope, escaped: names of users are bounded
// by what HTTP Basic takes, the others are short.
const maxField = 4 << 10

// put writes the envelope to the headers of a request.
func (e Envelope) put(h http.Header) {
	h.Set(headerUser, url.QueryEscape(e.User))
	h.Set(headerRequest, url.QueryEscape(e.RequestID))
	h.Set(headerRemote, url.QueryEscape(e.Remote))
}

// take reads the envelope from the headers and removes it from them. ok is
// false for one that nobody of ours has written.
func take(h http.Header) (e Envelope, ok bool) {
	for _, field := range []struct {
		name string
		to   *string
	}{{headerUser, &e.User}, {headerRequest, &e.RequestID}, {headerRemote, &e.Remote}} {
		values := h[field.name]
		if len(values) != 1 || len(values[0]) > maxField {
			return Envelope{}, false
		}
		text, err := url.QueryUnescape(values[0])
		if err != nil {
			return Envelope{}, false
		}
		*field.to = text
		h.Del(field.name)
	}
	return e, true
}

// envelopeKey finds the Envelope in the context of a request.
type envelopeKey struct{}

// EnvelopeOf returns the envelope of a request that came in over a Listener;
// no other has one, whatever its headers say.
func EnvelopeOf(ctx context.Context) (Envelope, bool) {
	e, ok := ctx.Value(envelopeKey{}).(Envelope)
	return e, ok
}
