package sshproxy

import (
	"errors"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

func TestNotLetIn(t *testing.T) {
	for _, tt := range []struct {
		name, said string
		keyShown   bool
		login      model.Authentication
		want, not  string
	}{
		{"no SSH server", "ssh: handshake failed: EOF", false, model.Authentication{Username: "ci", Password: "p4ss"}, "the port that the authentication of the label names", "let the node in"},
		{"wrong password", "ssh: unable to authenticate, attempted methods [none password]", true, model.Authentication{Username: "ci", Password: "p4ss"},
			`as "ci" with the authentication of its label, which has a password`, "p4ss"},
		{"asks nothing", "ssh: handshake failed: ssh: " + noQuestions, true, model.Authentication{Username: "ci", Key: "k", Password: "p4ss"}, "a key and a password", "message type"},
		{"wrong key", "ssh: unable to authenticate", true, model.Authentication{Username: "ci", Key: "secret-key"}, "which has a key: ", "secret-key"},
		{"nothing", "ssh: unable to authenticate", true, model.Authentication{}, "neither password nor key", "p4ss"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := notLetIn(errors.New(tt.said), tt.keyShown, tt.login).Error()
			if !strings.Contains(got, tt.want) || strings.Contains(got, tt.not) {
				t.Errorf("notLetIn() = %q, want %q in it and not %q", got, tt.want, tt.not)
			}
		})
	}
}

// A label's key that can not be used is told of, and not passed over for the password.
func TestUselessKeyOfLabel(t *testing.T) {
	_, err := authMethods(model.Authentication{Username: "ci", Key: "secret-key", Password: "p4ss"})
	refusal, ok := errors.AsType[*Refusal](err)
	if !ok || refusal.Reason != ReasonNoLogin {
		t.Fatalf("authMethods() = %v, want a refusal", err)
	}
	if got := err.Error(); !strings.Contains(got, "can not be used: want a private key in PEM") || strings.Contains(got, "secret-key") || strings.Contains(got, "p4ss") {
		t.Errorf("authMethods() = %q, want what to write and nothing of the login", got)
	}
}

// A port where something else listens is not taken for a wrong password.
func TestEnvironmentWithoutSSH(t *testing.T) {
	n := newNode(t, nil)
	addr := n.env.listener.Addr().String()
	_ = n.env.listener.Close()
	other := listenAgain(t, addr)
	go func() {
		for {
			conn, err := other.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
			_ = conn.Close()
		}
	}()
	l := n.access(time.Hour)
	if _, banner, err := n.dial(user, ssh.Password(l.password)); err == nil || !strings.Contains(banner, "does not speak SSH") {
		t.Errorf("login = %v, told %q", err, banner)
	}
	if n.used(l) {
		t.Error("the credentials were used up")
	}
}
