package wire

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// algorithm is the one way to sign (Signature Version 4).
const algorithm = "AWS4-HMAC-SHA256"

// credential is what the Authorization header of a request says.
type credential struct {
	keyID, date, region, service string
	headers                      []string
	signature                    string
}

// credentialOf reads the Authorization header; it is zero if there is none.
func credentialOf(r *http.Request) credential {
	rest, ok := strings.CutPrefix(r.Header.Get("Authorization"), algorithm+" ")
	if !ok {
		return credential{}
	}
	var c credential
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "Credential":
			if scope := strings.Split(value, "/"); len(scope) == 5 && scope[4] == "aws4_request" {
				c.keyID, c.date, c.region, c.service = scope[0], scope[1], scope[2], scope[3]
			}
		case "SignedHeaders":
			c.headers = strings.Split(value, ";")
		case "Signature":
			c.signature = value
		}
	}
	return c
}

// caller is who asks, if it is not the owner of the backend's credentials.
type caller struct{ role, session string }

type callerKey struct{}

func callerOf(ctx context.Context) caller {
	c, _ := ctx.Value(callerKey{}).(caller)
	return c
}

// authenticate says who signed the request.
func (h *Handler) authenticate(q request, w words) (caller, error) {
	c := credentialOf(q.raw)
	if h.opts.Region != "" && c.region != "" && c.region != h.opts.Region {
		return caller{}, cloud.NewError(w.badSignature, "Credential should be scoped to a valid region, which is %s and not %s.", h.opts.Region, c.region)
	}
	if len(h.opts.Keys) == 0 {
		return caller{}, nil
	}
	if c.keyID == "" || c.signature == "" {
		return caller{}, cloud.NewError(w.unsigned, "Request is missing Authentication Token")
	}
	who, secret, problem := h.secretOf(c.keyID, q.raw.Header.Get("X-Amz-Security-Token"), w)
	if problem != nil {
		return caller{}, problem
	}
	if c.service != q.service {
		return caller{}, cloud.NewError(w.badSignature, "Credential should be scoped to correct service: '%s'.", q.service)
	}
	if !slices.Contains(c.headers, "host") {
		return caller{}, cloud.NewError(w.badSignature, "'Host' must be a 'SignedHeader' in the AWS Authorization.")
	}
	if !signedBy(secret, c, q) {
		return caller{}, cloud.NewError(w.badSignature, "The request signature we calculated does not match the signature you provided.")
	}
	return who, nil
}

func (h *Handler) secretOf(keyID, token string, w words) (caller, string, *cloud.Error) {
	if secret, ok := h.opts.Keys[keyID]; ok {
		return caller{}, secret, nil
	}
	s, ok := h.roles.of(keyID)
	switch {
	case !ok || subtle.ConstantTimeCompare([]byte(s.token), []byte(token)) != 1:
		return caller{}, "", cloud.NewError(w.unknownKey, "AWS was not able to validate the provided access credentials")
	case !s.expires.After(h.opts.Now()):
		return caller{}, "", cloud.NewError(w.expired, "The security token included in the request is expired")
	}
	return s.caller, s.secret, nil
}

// signedBy reports whether a request carries the signature that a secret gives,
// by AWS's description of Signature Version 4.
func signedBy(secret string, c credential, q request) bool {
	signed, err := hex.DecodeString(c.signature)
	if err != nil {
		return false
	}
	scope := strings.Join([]string{c.date, c.region, c.service, "aws4_request"}, "/")
	digest := sha256.Sum256([]byte(canonical(c, q)))
	text := strings.Join([]string{algorithm, q.raw.Header.Get("X-Amz-Date"), scope, hex.EncodeToString(digest[:])}, "\n")
	key := []byte("AWS4" + secret)
	for _, part := range []string{c.date, c.region, c.service, "aws4_request", text} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	return hmac.Equal(key, signed)
}

// canonical is the text of a request that is signed.
func canonical(c credential, q request) string {
	var headers strings.Builder
	for _, name := range c.headers {
		value := strings.Join(q.raw.Header.Values(name), ",")
		if name == "host" {
			value = q.raw.Host
		}
		if name == "content-length" {
			value = q.raw.Header.Get("Content-Length")
		}
		headers.WriteString(name + ":" + strings.Join(strings.Fields(value), " ") + "\n")
	}
	body := sha256.Sum256(q.body)
	return strings.Join([]string{
		q.raw.Method, "/", "", headers.String(), strings.Join(c.headers, ";"), hex.EncodeToString(body[:]),
	}, "\n")
}

// roles are the credentials that AssumeRole gave out.
type roles struct {
	mu       sync.Mutex
	sessions map[string]session // by access key id
}

type session struct {
	caller
	secret, token string
	expires       time.Time
}

func (r *roles) of(keyID string) (session, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, ok := r.sessions[keyID]
	return s, ok
}

// assume gives out new credentials.
func (r *roles) assume(who caller, expires time.Time) (keyID string, s session) {
	keyID = "ASIA" + rand.Text()[:16]
	s = session{who, rand.Text() + rand.Text(), rand.Text() + rand.Text(), expires}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sessions == nil {
		r.sessions = map[string]session{}
	}
	r.sessions[keyID] = s
	return keyID, s
}
