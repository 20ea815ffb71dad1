package sshproxy

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/aquarium-fish/aquarium-fish/lib/audit"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

const (
	// helloTime is how long a client may take for the first messages, of its
	// program alone; loginTime for all, as a person may have to find a password.
	helloTime = 20 * time.Second
	loginTime = 2 * time.Minute
	// enterTime bounds the way into the environment, over slow links and to a
	// slow machine; less than what useTime leaves.
	enterTime = 40 * time.Second
	// arriveTime is how long credentials that nobody knows here are waited for,
	// once in a connection: another node may have made them a moment ago.
	arriveTime = 2 * time.Second
	// maxTries is how many credentials one connection may try. An agent offers
	// all keys that it holds; OpenSSH's six are too few for some.
	maxTries = 20
	// passwordLength is that of every password that is given out.
	passwordLength = 64
)

var (
	errWrong     = errors.New("wrong credentials")
	errThrottled = errors.New("too many wrong credentials from this address")
)

// config is how one client logs in.
func (s *session) config(ctx context.Context) *ssh.ServerConfig {
	c := &ssh.ServerConfig{
		ServerVersion: ServerVersion, MaxAuthTries: maxTries,
		PreAuthConnCallback: func(ssh.ServerPreAuthConn) { s.patience(loginTime) },
		PasswordCallback: func(meta ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
			defer s.wire.Hold()()
			digest := sha256.Sum256(password)
			find := func() (store.AccessView, bool) { return s.server.Store.AccessByDigest(digest[:]) }
			view, err := s.find(ctx, meta.User(), len(password) == passwordLength, find)
			if err == nil && subtle.ConstantTimeCompare(view.Digest, digest[:]) != 1 {
				err = errWrong
			}
			if err != nil {
				return nil, s.wrong(meta.User(), err)
			}
			return nil, s.login(ctx, view)
		},
		PublicKeyCallback: func(meta ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			defer s.wire.Hold()()
			wire := key.Marshal()
			find := func() (store.AccessView, bool) { return s.server.Store.AccessByKey(wire) }
			view, err := s.find(ctx, meta.User(), key.Type() == ssh.KeyAlgoECDSA256, find)
			if err != nil {
				return nil, err // no failure: agents offer all keys that they hold, and nobody guesses a private one
			}
			return &ssh.Permissions{ExtraData: map[any]any{viewKey{}: view}}, nil
		},
		VerifiedPublicKeyCallback: func(_ ssh.ConnMetadata, _ ssh.PublicKey, p *ssh.Permissions, _ string) (*ssh.Permissions, error) {
			defer s.wire.Hold()()
			view, ok := p.ExtraData[viewKey{}].(store.AccessView)
			if !ok {
				return nil, errWrong // can not be: the other callback has set it
			}
			return nil, s.login(ctx, view)
		},
	}
	c.AddHostKey(s.server.HostKey)
	return c
}

// viewKey finds the credentials that a key stands for.
type viewKey struct{}

// find looks credentials up. ours says that they look like some that a node
// gives out, so that they are worth waiting for.
func (s *session) find(ctx context.Context, user string, ours bool, find func() (store.AccessView, bool)) (store.AccessView, error) {
	view, ok := find()
	if !ok && ours && !s.waited && s.server.Limits.Throttled(s.remote, user) == 0 {
		s.waited = true
		ok = s.server.await(ctx, arriveTime, func() (come bool) {
			view, come = find()
			return come
		})
	}
	if !ok || view.UserName != user {
		return store.AccessView{}, errWrong
	}
	if _, exists := s.server.Store.UserByName(user); !exists {
		return store.AccessView{}, errWrong
	}
	return view, nil
}

// wrong counts a failure. Who had too many is sent away: right credentials were
// let in before this is asked.
func (s *session) wrong(user string, err error) error {
	throttled := s.server.Limits.Throttled(s.remote, user) > 0
	s.server.Limits.Failed(s.remote, user)
	known := user
	if _, ok := s.server.Store.UserByName(user); !ok {
		known = ""
	}
	if throttled {
		s.server.Audit.Login(known, s.remote, "", audit.ResultLimited)
		_ = s.wire.Close() // ends the handshake
		return errThrottled
	}
	s.server.Audit.Login(known, s.remote, "", audit.ResultRefused)
	return err
}

// tryEnter does what login has to, if the credentials can still be good.
func (s *session) tryEnter(ctx context.Context, view store.AccessView) error {
	switch {
	case view.Used:
		return &Refusal{Reason: ReasonUsed}
	case view.Expired(time.Now()):
		return &Refusal{Reason: ReasonExpired}
	}
	if err := s.server.admit(s, view.UID); err != nil {
		return err
	}
	s.patience(enterTime + loginTime)
	err := s.enter(ctx)
	if err != nil {
		s.server.dismiss(ctx, s)
	}
	return err
}

// login lets in who has shown credentials that are right. What stands in the
// way is told to the client.
func (s *session) login(ctx context.Context, view store.AccessView) error {
	s.access = view.ResourceAccess
	err := s.tryEnter(ctx, view)
	if err == nil {
		return nil
	}
	s.refused(err)
	text := "the node that runs the environment can not be reached now; the credentials were not used, try again"
	if refusal, ok := errors.AsType[*Refusal](err); ok {
		text = refusal.Error()
	}
	return &ssh.BannerError{Err: err, Message: fmt.Sprintf("Aquarium Fish %s: %s\n", s.server.NodeName, text)}
}
