package sshproxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"golang.org/x/crypto/ssh"

	"github.com/aquarium-fish/aquarium-fish/lib/crypt"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/proxy/ssh/relay"
)

// target is our connection to the SSH server of an environment.
type target struct {
	side    relay.Side
	hostKey []byte // in the wire form of SSH
}

// errHostKey says that the server shows another key than it has to.
var errHostKey = &Refusal{Reason: ReasonHostKey}

// connectTarget logs in to the environment. The connection is closed after an
// error. Until it returns ctx ends it.
func connectTarget(ctx context.Context, o *Opened, login model.Authentication) (*target, error) {
	auth, err := authMethods(login)
	if err != nil {
		_ = o.Close() // nothing was said yet
		return nil, err
	}
	t := &target{}
	var wrongKey, keyShown atomic.Bool
	config := &ssh.ClientConfig{
		User: login.Username, Auth: auth, ClientVersion: ServerVersion,
		HostKeyAlgorithms: hostKeyAlgorithms(o.HostKey),
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			expected := o.HostKey
			if t.hostKey != nil { // another key exchange of the same connection
				expected = t.hostKey
			}
			wire := key.Marshal()
			if len(expected) > 0 && !bytes.Equal(wire, expected) {
				wrongKey.Store(true)
				return errHostKey
			}
			if t.hostKey == nil {
				t.hostKey = wire
			}
			keyShown.Store(true)
			return nil
		},
	}
	stop := context.AfterFunc(ctx, func() { _ = o.Close() }) // ends what waits for it
	t.side.Wire = relay.NewWire(o)
	t.side.Conn, t.side.Channels, t.side.Requests, err = ssh.NewClientConn(t.side.Wire, "", config)
	switch {
	case err == nil && stop():
		return t, nil
	case err == nil || ctx.Err() != nil:
		err = errors.New("the SSH server of the environment takes too long")
	case wrongKey.Load():
		err = errHostKey
	}
	_ = o.Close()
	if refusal, ok := errors.AsType[*Refusal](err); ok {
		return nil, refusal
	}
	return nil, notLetIn(err, keyShown.Load(), login)
}

// maxSaid is how much is passed on of what an environment says.
const maxSaid = 200

// plain is what may be shown of a text that an environment may have written: it
// goes to logs and to terminals.
func plain(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, text)
	if len(text) > maxSaid {
		text = strings.ToValidUTF8(text[:maxSaid], "") + "..."
	}
	return text
}

// useFailed tells a refusal, by which nothing was used, from an answer that did
// not come.
func useFailed(err error) error {
	if _, refused := errors.AsType[*Refusal](err); refused {
		return err
	}
	return fmt.Errorf("use credentials: %w: %w", &Refusal{
		Reason: ReasonOther,
		Text:   "the node that runs the environment did not answer in the end: the credentials may be used up, ask for new ones",
	}, err)
}

// hostKeyAlgorithms are those that make a server show the key that is expected
// of it, and not another one that it has as well; nil if none is expected.
func hostKeyAlgorithms(expected []byte) []string {
	key, err := ssh.ParsePublicKey(expected)
	switch {
	case err != nil:
		return nil
	case key.Type() == ssh.KeyAlgoRSA:
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSA}
	}
	return []string{key.Type()}
}

// authMethods are the ways to log in that the label gives.
func authMethods(a model.Authentication) ([]ssh.AuthMethod, error) {
	var methods []ssh.AuthMethod
	if a.Key != "" {
		signer, err := crypt.ReadSSHLogin(a.Key)
		if err != nil {
			return nil, &Refusal{Reason: ReasonNoLogin, Text: "the key in the authentication of the label can not be used: " + err.Error()}
		}
		methods = append(methods, ssh.PublicKeys(signer))
	}
	if a.Password != "" {
		methods = append(methods, ssh.Password(a.Password), ssh.KeyboardInteractive(
			func(_, _ string, questions []string, echos []bool) ([]string, error) {
				answers := make([]string, len(questions))
				for i := range questions {
					if !echos[i] {
						answers[i] = a.Password // servers that ask for it this way, by PAM, ask for nothing else
					}
				}
				return answers, nil
			}))
	}
	return methods, nil
}

// enter does what has to succeed before a client is told that it is logged in:
// the environment is reached and lets the node in, and then, not before, the
// credentials are used up.
func (s *session) enter(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, enterTime)
	defer cancel()
	resource, _, ok := s.server.Store.Resource(s.access.ResourceUID)
	if !ok || resource.Authentication == nil {
		reason := ReasonGone
		if ok {
			reason = ReasonNoLogin
		}
		return &Refusal{Reason: reason}
	}
	s.resource = resource
	opened, err := s.server.Executor.Open(ctx, resource.NodeUID, Opening{
		AccessUID: s.access.UID, ResourceUID: resource.UID, SessionUID: s.uid,
	})
	if err != nil {
		return err
	}
	if s.record = opened.Record; s.record && s.server.Recorder == nil {
		_ = opened.Close()
		return &Refusal{Reason: ReasonOther, Text: "sessions of the environment are to be recorded, and this node can not"}
	}
	t, err := connectTarget(ctx, opened, *resource.Authentication)
	if err != nil {
		return err
	}
	if s.wire.Ended() {
		_ = t.side.Conn.Close()
		return errors.New("the client went before it was let in")
	}
	err = s.server.Executor.Use(ctx, resource.NodeUID, model.AccessUse{
		AccessUID: s.access.UID, ResourceUID: resource.UID, ApplicationUID: resource.ApplicationUID,
		SessionUID: s.uid, EntryUID: s.server.Node, UserName: s.access.UserName, Client: s.remote, HostKey: t.hostKey,
		UsedAt: time.Now(),
	})
	if err != nil {
		_ = t.side.Conn.Close()
		return useFailed(err)
	}
	s.mu.Lock()
	s.target = t
	s.mu.Unlock()
	return nil
}
