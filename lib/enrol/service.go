package enrol

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/crypt"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// Identity is what the node proves itself with, and signs with.
type Identity interface {
	CanSign() error
	Issue(r crypt.Request) (chain []byte, err error)
	Issuer() *x509.Certificate
	CAs() []*x509.Certificate
	ClusterUID() [32]byte
}

// Member is a node of the cluster.
type Member struct {
	UID           model.UID
	Name, Address string
	// Retired says that its key is refused and its name is free.
	Retired bool
}

// Cluster is what the node knows of the others.
type Cluster interface {
	// Members are the nodes that the cluster has, this one among them.
	Members(ctx context.Context) ([]Member, error)
	// Admin is the user admin, if there is one.
	Admin() (model.User, bool)
	// HasUser and HasLabel report whether a name is taken.
	HasUser(name string) bool
	HasLabel(name string) bool
}

// Options is what a Service needs. All but Holders are required.
type Options struct {
	Node     model.UID
	File     string // of the invitations
	Identity Identity
	Cluster  Cluster
	// Addresses are where this node is reached, the likeliest first.
	Addresses []string
	// Holders names the nodes that hold the CA's key, as far as is known; nil: nobody knows.
	Holders func() []string
	// Joined is told of every redemption, and of every refused one by who had a right token.
	Joined func(e Event)
	Log    *slog.Logger
}

// Event is that a token was redeemed, or not.
type Event struct {
	Name   string // of the node that joins
	Remote string // where the request came from
	By     string // who had invited it
	Err    error  // why not
	// Again says that it had been answered before, to the same key.
	Again bool
}

func (o Options) validate() error {
	if o.Node == model.NilUID || o.File == "" || o.Identity == nil || o.Cluster == nil || len(o.Addresses) == 0 || o.Joined == nil || o.Log == nil {
		return errors.New("make enrolment: a required option is not set")
	}
	return nil
}

// Service gives out invitations and redeems them. It is safe for concurrent use.
type Service struct {
	Options
	ledger *ledger
	guests *throttle     // of attempts with unknown secrets
	told   *throttle     // of lines about them
	ended  *throttle     // of attempts with secrets whose time is over
	places chan struct{} // one taken for each request that is being answered
}

// New reads what was given out before.
func New(o Options) (*Service, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	l, err := openLedger(o.File)
	if err != nil {
		return nil, err
	}
	return &Service{
		Options: o, ledger: l, places: make(chan struct{}, maxAtOnce),
		guests: newThrottle(guestEvery), told: newThrottle(endedEvery), ended: newThrottle(endedEvery),
	}, nil
}

// Invite asks for an invitation.
type Invite struct {
	Name string
	// Valid is how long it can be redeemed; DefaultValid if 0.
	Valid time.Duration
	By    string // the user who invites
	// Renew says that Name is a member's, who gets another certificate for the same key.
	Renew bool
	// Addresses are used instead of the node's own ones: where the new machine comes by a gateway.
	Addresses []string
}

// Invited is a new invitation, with its token: the only time that anybody sees it.
type Invited struct {
	Invitation
	Token string
}

// Invite makes an invitation. A Refusal is the caller's mistake, or says that another node has to be asked.
func (s *Service) Invite(ctx context.Context, in Invite) (Invited, error) {
	if in.Valid == 0 {
		in.Valid = DefaultValid
	}
	if len(in.Addresses) == 0 {
		in.Addresses = s.Addresses
	}
	if err := s.mayInvite(ctx, in); err != nil {
		return Invited{}, err
	}
	token := Token{
		Secret: NewSecret(), Issuer: s.Node, CA: crypt.KeyHash(s.Identity.Issuer()), Name: in.Name,
		Addresses: in.Addresses[:min(len(in.Addresses), maxAddresses)],
	}
	text, err := token.Encode()
	if err != nil {
		return Invited{}, err
	}
	hash, now := token.Secret.Hash(), time.Now()
	i := Invitation{
		ID: idOf(token.Secret), Name: in.Name, Hash: hash[:], By: in.By, CreatedAt: now.UTC().Round(0), ExpiresAt: now.Add(in.Valid).UTC().Round(0),
	}
	if err := s.ledger.add(i, now); err != nil {
		if errors.Is(err, errTooMany) {
			return Invited{}, &Refusal{CodeRequest, "Unable to invite: " + err.Error()}
		}
		return Invited{}, err
	}
	s.Log.Info("node invited", "invited", in.Name, "invitation", i.ID, "user", in.By, "expires_at", i.ExpiresAt)
	return Invited{i, text}, nil
}

// cannot is a refusal to invite.
func cannot(code Code, format string, args ...any) error {
	return &Refusal{code, "Unable to invite: " + fmt.Sprintf(format, args...)}
}

// check finds what nobody could be invited by.
func (in Invite) check() error {
	if err := model.CheckNodeName(in.Name); err != nil {
		return cannot(CodeRequest, "bad name: %v", err)
	}
	if in.Valid < MinValid || in.Valid > MaxValid {
		return cannot(CodeRequest, "an invitation is valid for %v to %v", MinValid, MaxValid)
	}
	for _, a := range in.Addresses {
		if host, port, err := net.SplitHostPort(a); err != nil || host == "" || port == "" || len(a) > maxField {
			return cannot(CodeRequest, "bad address %q: want host:port where the new node reaches this one", a)
		}
	}
	return nil
}

// mayInvite finds what would keep the token from being redeemed.
func (s *Service) mayInvite(ctx context.Context, in Invite) error {
	if err := in.check(); err != nil {
		return err
	}
	if err := s.Identity.CanSign(); err != nil {
		return cannot(CodeNoSigner, "%s", s.whoSigns(err))
	}
	if s.Identity.Issuer() == nil {
		return cannot(CodeNoSigner, "this node's own certificate was not signed by its CA: put that right, and restart it")
	}
	members, err := s.Cluster.Members(ctx)
	if err != nil {
		return fmt.Errorf("look for members: %w", err)
	}
	m, taken := named(members, in.Name)
	switch {
	case in.Renew && !taken:
		return cannot(CodeName, "no member is named %s: without --renew a new one is invited", in.Name)
	case !in.Renew && taken:
		return cannot(CodeNameTaken, "a node named %s is a member already (%s): choose another name, or retire that node first; if it is the same "+
			"machine, with its key, and wants another certificate: --renew", m.Name, m.UID)
	}
	return nil
}

// whoSigns says whom to ask where the CA's key is not here.
func (s *Service) whoSigns(reason error) string {
	text := "this node has not the key of the cluster's CA, which never travels: ask a node that has it"
	if s.Holders != nil {
		if holders := s.Holders(); len(holders) > 0 {
			return text + ": " + strings.Join(holders, ", ")
		}
	}
	return text + " (the one that was the first of the cluster); " + reason.Error()
}

// named finds the member that has a name.
func named(members []Member, name string) (Member, bool) {
	i := slices.IndexFunc(members, func(m Member) bool { return !m.Retired && strings.EqualFold(m.Name, name) })
	if i < 0 {
		return Member{}, false
	}
	return members[i], true
}

// Invitations are those that were not forgotten yet, the oldest first.
func (s *Service) Invitations() []Invitation { return s.ledger.list(time.Now()) }

// Revoke ends an open invitation by its ID, or those of a name. The error is a Refusal if there is none.
func (s *Service) Revoke(ref, by string) ([]Invitation, error) {
	ended, err := s.ledger.revoke(ref, time.Now())
	if errors.Is(err, errNotOpen) {
		return nil, &Refusal{CodeRequest, fmt.Sprintf("Unable to find an open invitation %q: one that was redeemed made a member, which is "+
			"retired if it should be none", ref)}
	}
	for _, i := range ended {
		s.Log.Info("invitation revoked", "invited", i.Name, "invitation", i.ID, "user", by)
	}
	return ended, err
}
