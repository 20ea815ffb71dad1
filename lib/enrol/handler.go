package enrol

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/aquarium-fish/aquarium-fish/lib/crypt"
)

// maxAtOnce is how many redemptions are answered at once: each has a body in memory.
const maxAtOnce = 8

// burst is how often in a row somebody may try what is no open invitation: nobody mistypes a token so often. guestEvery
// is how often after that with a secret that this node does not know, endedEvery with that of an invitation that ended,
// which leaves a line in log and audit, and how often the log tells of unknown ones.
const (
	burst      = 20
	guestEvery = 200 * time.Millisecond
	endedEvery = 6 * time.Second
)

// throttle is a token bucket over all strangers together: a limit for each would have to remember each.
type throttle struct {
	every time.Duration

	mu    sync.Mutex
	clean time.Time // when the bucket is full again
}

func newThrottle(every time.Duration) *throttle { return &throttle{every: every} }

// take reports whether one more attempt is within the bounds.
func (t *throttle) take(now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.clean.Before(now) {
		t.clean = now
	}
	if t.clean.Sub(now) > burst*t.every {
		return false
	}
	t.clean = t.clean.Add(t.every)
	return true
}

// Wrap answers JoinPath and leaves everything else to next.
func (s *Service) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == JoinPath {
			s.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// ServeHTTP redeems a token.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer, err := s.serve(r)
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	if err == nil {
		_ = json.NewEncoder(w).Encode(answer) // a client that is gone comes again
		return
	}
	refused, ok := errors.AsType[*Refusal](err)
	if !ok {
		s.Log.Error("token not redeemed", "remote", r.RemoteAddr, "error", err)
		refused = &Refusal{CodeFailed, "The node failed, and its log has the reason: try again with the same token"}
	}
	if refused.Code == CodeBusy {
		h.Set("Retry-After", "1")
	}
	h.Set("Connection", "close") // what the client still sends is not waited for
	w.WriteHeader(refused.Code.status())
	_ = json.NewEncoder(w).Encode(refused) // as above
}

// serve does all that needs no knowledge of a right secret first, and costs a stranger's request little: its body is not
// even read.
func (s *Service) serve(r *http.Request) (JoinAnswer, error) {
	if r.Method != http.MethodPost {
		return JoinAnswer{}, &Refusal{CodeRequest, "Want POST: this is for 'aquarium-fish cluster join'"}
	}
	secret, err := secretOf(r.Header.Get("Authorization"))
	if err != nil {
		return JoinAnswer{}, err
	}
	if err := s.hear(r, secret); err != nil {
		return JoinAnswer{}, err
	}
	select {
	case s.places <- struct{}{}:
		defer func() { <-s.places }()
	default:
		return JoinAnswer{}, &Refusal{CodeBusy, "Too many nodes join at this moment: try again"}
	}
	var j JoinRequest
	body, err := io.ReadAll(io.LimitReader(r.Body, maxRequestBody+1))
	if err == nil && len(body) > maxRequestBody {
		err = fmt.Errorf("more than %d bytes", maxRequestBody)
	}
	if err == nil {
		err = json.Unmarshal(body, &j)
	}
	if err == nil && len(j.Users)+len(j.Labels) > maxNames {
		err = fmt.Errorf("more than %d names", maxNames)
	}
	if err != nil {
		return JoinAnswer{}, &Refusal{CodeRequest, "The request can not be read: " + err.Error()}
	}
	return s.join(r.Context(), secret, j, r.RemoteAddr)
}

// hear bounds attempts with what is no open invitation.
func (s *Service) hear(r *http.Request, secret Secret) error {
	now, all := time.Now(), s.Invitations()
	switch at := find(all, secret); {
	case at < 0 && !s.guests.take(now):
		return &Refusal{CodeBusy, "Too many attempts with unknown tokens: try again in a moment"}
	case at < 0:
		if s.told.take(now) {
			s.Log.Warn("a token that this node does not know was to be redeemed", "remote", r.RemoteAddr)
		}
		return s.unknown(r)
	case all[at].Status(now) != StatusOpen && !s.ended.take(now):
		return &Refusal{CodeBusy, "Too many attempts with tokens whose time is over: try again in a minute"}
	}
	return nil
}

// secretOf reads the header.
func secretOf(header string) (s Secret, err error) {
	text, ok := strings.CutPrefix(header, scheme)
	data, decodeErr := base64.RawURLEncoding.DecodeString(text)
	if !ok || decodeErr != nil || len(data) != len(s) {
		return s, &Refusal{CodeRequest, "Want a token's secret in Authorization: this is for 'aquarium-fish cluster join'"}
	}
	return Secret(data), nil
}

// unknown says whose token it is, as far as that is known.
func (s *Service) unknown(r *http.Request) error {
	issuer, err := uuid.Parse(r.Header.Get(issuerHeader))
	if err != nil || issuer == s.Node {
		return errUnknown()
	}
	members, err := s.Cluster.Members(r.Context())
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(members, func(m Member) bool { return m.UID == issuer }); i >= 0 {
		return &Refusal{CodeElsewhere, fmt.Sprintf("The token was given out by node %s at %s, and is redeemed there alone", members[i].Name, members[i].Address)}
	}
	return &Refusal{CodeElsewhere, fmt.Sprintf("The token was given out by the node with the UID %s, and is redeemed there alone", issuer)}
}

// join decides about a request whose secret is known.
func (s *Service) join(ctx context.Context, secret Secret, j JoinRequest, remote string) (answer JoinAnswer, err error) {
	e := Event{Remote: remote}
	defer func() {
		if !j.DryRun {
			e.Err = err
			s.Joined(e)
		}
	}()
	request, err := crypt.ParseRequest(j.Request)
	if err != nil {
		return answer, &Refusal{CodeRequest, "Bad request: " + err.Error()}
	}
	e.Name = request.Name
	if _, _, err := net.SplitHostPort(j.Address); err != nil || len(j.Address) > maxField {
		return answer, &Refusal{CodeRequest, "Bad request: the address is not host:port"}
	}
	c := claim{secret: secret, name: request.Name, address: j.Address, key: sha256.Sum256(request.PublicKey)}
	if err := s.ledger.check(c, time.Now()); err != nil {
		return answer, err
	}
	members, err := s.admit(ctx, request)
	if err != nil {
		return answer, err
	}
	answer = s.answer(members, j)
	if j.DryRun {
		return answer, nil
	}
	inv, again, err := s.ledger.redeem(c, time.Now())
	if err != nil {
		return answer, err
	}
	chain, err := s.Identity.Issue(request)
	if err != nil {
		return answer, fmt.Errorf("sign certificate of %s: %w", request.Name, err)
	}
	answer.Certificate = string(chain)
	if admin, ok := s.Cluster.Admin(); ok {
		answer.Admin = &admin.Hash
	}
	e.By, e.Again = inv.By, again
	return answer, nil
}

// admit checks a request against what the cluster is.
func (s *Service) admit(ctx context.Context, r crypt.Request) ([]Member, error) {
	if err := s.Identity.CanSign(); err != nil {
		return nil, &Refusal{CodeNoSigner, "Unable to sign: " + s.whoSigns(err)}
	}
	members, err := s.Cluster.Members(ctx)
	if err != nil {
		return nil, fmt.Errorf("look for members: %w", err)
	}
	return members, admit(members, r)
}

// admit is the rule: a retired key does not come back, a name has one key, and nobody gets a certificate with the name
// of another node.
func admit(members []Member, r crypt.Request) error {
	uid := r.UID()
	wildcards := x509.Certificate{DNSNames: r.Names}
	for _, m := range members {
		switch {
		case m.Retired && m.UID == uid:
			return &Refusal{CodeRetired, "This machine's key was retired: remove the node's key and certificate there, and join again, which makes another"}
		case m.Retired || m.UID == uid:
		case strings.EqualFold(m.Name, r.Name):
			return &Refusal{CodeNameTaken, fmt.Sprintf("The name %s belongs to another key, of a member at %s: choose another name, or retire that node first", m.Name, m.Address)}
		case slices.ContainsFunc(r.Names, func(n string) bool { return strings.EqualFold(n, m.Name) }), wildcards.VerifyHostname(m.Name) == nil:
			return &Refusal{CodeRequest, fmt.Sprintf("The certificate would stand for the name %s, which is another node's: take it out of tls_names", m.Name)}
		}
	}
	return nil
}

// maxMembersTold bounds the addresses in an answer: one is enough to find the others.
const maxMembersTold = 16

// answer is all of an answer but the certificate.
func (s *Service) answer(members []Member, j JoinRequest) JoinAnswer {
	uid := s.Identity.ClusterUID()
	a := JoinAnswer{CAs: string(crypt.EncodeBundle(s.Identity.CAs())), Cluster: hex.EncodeToString(uid[:]), Addresses: slices.Clone(s.Addresses)}
	for _, m := range members {
		if !m.Retired && m.Address != j.Address && len(a.Addresses) < maxMembersTold && !slices.Contains(a.Addresses, m.Address) {
			a.Addresses = append(a.Addresses, m.Address)
		}
	}
	for _, name := range j.Users {
		if s.Cluster.HasUser(name) {
			a.TakenUsers = append(a.TakenUsers, name)
		}
	}
	for _, name := range j.Labels {
		if s.Cluster.HasLabel(name) {
			a.TakenLabels = append(a.TakenLabels, name)
		}
	}
	return a
}
