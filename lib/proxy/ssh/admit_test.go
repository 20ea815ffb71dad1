package sshproxy

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// slowExecutor opens nothing before it may.
type slowExecutor struct {
	Executor

	asked, may chan struct{}
}

func newSlow(o *Options) *slowExecutor {
	slow := &slowExecutor{Executor: o.Executor, asked: make(chan struct{}, 1), may: make(chan struct{})}
	o.Executor = slow
	return slow
}

func (s *slowExecutor) Open(ctx context.Context, node model.UID, o Opening) (*Opened, error) {
	s.asked <- struct{}{}
	<-s.may
	return s.Executor.Open(ctx, node, o)
}

// Who has credentials that let nobody in any more keeps no others out with them.
func TestRefusedTakesNoSession(t *testing.T) {
	for name, spoil := range map[string]func(n *node, l login){
		"used": func(n *node, l login) {
			c, _, err := n.dial(user, ssh.Password(l.password))
			if err != nil {
				n.t.Fatal(err)
			}
			_ = c.Close()
			until(n.t, "the end of the first session", func() bool { return len(n.server.all()) == 0 })
		},
		"not let in": func(n *node, _ login) {
			c, _, err := n.dial(user, ssh.Password(n.access(time.Hour).password)) // leaves the host key
			if err != nil {
				n.t.Fatal(err)
			}
			_ = c.Close()
			until(n.t, "the end of the first session", func() bool { return len(n.server.all()) == 0 })
			n.env.change(newKey(n.t))
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, func(o *Options) { o.MaxSessions = 1 })
			l := n.access(time.Hour)
			right := n.env.hostKey()
			spoil(n, l)
			refused, done := make(chan struct{}), make(chan struct{})
			tries := 0
			stays := ssh.RetryableAuthMethod(ssh.PasswordCallback(func() (string, error) {
				if tries++; tries == 1 {
					return l.password, nil
				}
				close(refused)
				<-done
				return "", errors.New("enough")
			}), 2)
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				_, _, _ = n.dial(user, stays)
			}()
			<-refused
			n.env.change(right)
			if _, banner, err := n.dial(user, ssh.Password(n.access(time.Hour).password)); err != nil {
				t.Errorf("another login = %v, told %q", err, banner)
			}
			close(done)
			<-ended
			until(t, "nobody pending", func() bool { return len(n.server.pending.all()) == 0 })
		})
	}
}

// Credentials are good for one session, so they take the room of one.
func TestCredentialsTakeOneSession(t *testing.T) {
	var slow *slowExecutor
	n := newNode(t, func(o *Options) { slow = newSlow(o) })
	l := n.access(time.Hour)
	first := make(chan error, 1)
	go func() {
		_, _, err := n.dial(user, ssh.Password(l.password))
		first <- err
	}()
	<-slow.asked
	if _, banner, err := n.dial(user, ssh.PublicKeys(l.key)); err == nil || !strings.Contains(banner, "another connection is logging in") {
		t.Errorf("second login = %v, told %q", err, banner)
	}
	close(slow.may)
	if err := <-first; err != nil {
		t.Errorf("first login = %v", err)
	}
}

// A client that goes while the environment is reached keeps its credentials.
func TestClientThatGoesUsesNothingUp(t *testing.T) {
	var slow *slowExecutor
	n := newNode(t, func(o *Options) { slow = newSlow(o) })
	l := n.access(time.Hour)
	conn, err := net.Dial("tcp", n.server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		_, _, _, _ = ssh.NewClientConn(conn, "", &ssh.ClientConfig{
			User: user, Auth: []ssh.AuthMethod{ssh.Password(l.password)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(), //nolint:gosec // a test's own
		})
	}()
	<-slow.asked
	one := n.server.all()[0]
	_ = conn.Close()
	until(t, "the end to be seen", one.wire.Ended)
	close(slow.may)
	until(t, "the session to end", func() bool { return len(n.server.all()) == 0 && len(n.server.pending.all()) == 0 })
	if n.used(l) {
		t.Error("the credentials were used up")
	}
	if opened := n.trail.details(ActionOpen); !has(opened, "refused: resource") || !has(opened, "the client went") {
		t.Errorf("audit has %q", opened)
	}
}

// A session that tries again has one connection to the environment, and that is
// the one that its use keeps.
func TestSecondTryOfASession(t *testing.T) {
	n := newNode(t, nil)
	l, session := n.access(time.Hour), model.UID{7}
	o := Opening{AccessUID: l.uid, ResourceUID: n.resource().UID, SessionUID: session}
	first, err := n.local.Open(t.Context(), model.NilUID, o)
	if err != nil {
		t.Fatal(err)
	}
	second, err := n.local.Open(t.Context(), model.NilUID, o)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if _, err := first.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the first connection: %v, want it closed", err)
	}
	use := model.AccessUse{AccessUID: n.access(time.Hour).uid, SessionUID: session, EntryUID: entryUID, HostKey: []byte("key")}
	if err := n.local.Use(t.Context(), model.NilUID, use); err == nil {
		t.Error("credentials that nothing was opened with are used")
	}
	use.AccessUID = l.uid
	if err := n.local.Use(t.Context(), model.NilUID, use); err != nil {
		t.Errorf("Use() = %v", err)
	}
}

// enter opens a connection to the environment and uses fresh credentials for it.
func (n *node) enter(local *Local, session model.UID) *Opened {
	n.t.Helper()
	l := n.access(time.Hour)
	opened, err := local.Open(n.t.Context(), model.NilUID, Opening{AccessUID: l.uid, ResourceUID: n.resource().UID, SessionUID: session})
	if err != nil {
		n.t.Fatal(err)
	}
	use := model.AccessUse{AccessUID: l.uid, SessionUID: session, EntryUID: entryUID, HostKey: []byte("key")}
	if err := local.Use(n.t.Context(), model.NilUID, use); err != nil {
		n.t.Fatal(err)
	}
	return opened
}

// Who is logged in to an environment counts until the last one has left; what
// only reaches it does not.
func TestLoggedIn(t *testing.T) {
	n := newNode(t, nil)
	var left []model.UID
	n.local.Left = func(app model.UID) { left = append(left, app) }
	reached, err := n.local.Open(t.Context(), model.NilUID, Opening{AccessUID: n.access(time.Hour).uid, ResourceUID: n.resource().UID, SessionUID: model.UID{6}})
	if err != nil {
		t.Fatal(err)
	}
	if n.local.LoggedIn(n.app) {
		t.Error("a connection that logged in nobody counts")
	}
	one, two := n.enter(n.local, model.UID{7}), n.enter(n.local, model.UID{8})
	if !n.local.LoggedIn(n.app) || n.local.LoggedIn(model.UID{9}) {
		t.Error("the sessions do not count, or for another application")
	}
	_, _ = reached.Close(), one.Close()
	if !n.local.LoggedIn(n.app) || len(left) != 0 {
		t.Errorf("told of %v while one is there", left)
	}
	_ = two.Close()
	if n.local.LoggedIn(n.app) || !slices.Equal(left, []model.UID{n.app}) {
		t.Errorf("told of %v, want the application once", left)
	}
}

// usingStore calls during when a use is stored and nobody was told yet.
type usingStore struct {
	LocalStore

	during func()
}

func (s usingStore) UseAccess(ctx context.Context, use model.AccessUse) (model.AccessUse, error) {
	used, err := s.LocalStore.UseAccess(ctx, use)
	s.during()
	return used, err
}

// A use counts from before it is stored: a release that follows it finds it.
func TestLoggedInBeforeTheAnswer(t *testing.T) {
	n := newNode(t, nil)
	counts := false
	var local *Local
	local = NewLocal(LocalOptions{
		Node: n.local.Node, Store: usingStore{n.store, func() { counts = local.LoggedIn(n.app) }}, Logger: n.local.Logger,
	})
	opened := n.enter(local, model.UID{7})
	defer func() { _ = opened.Close() }()
	if !counts {
		t.Error("it does not count before it is answered")
	}
}

// What an environment says reaches terminals and logs as text, and not much of it.
func TestPlain(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"no such user é", "no such user é"},
		{"\x1b]0;title\a\r\nAquarium Fish", "?]0;title???Aquarium Fish"},
		{strings.Repeat("é", 150), strings.Repeat("é", 100) + "..."},
		{"x" + strings.Repeat("é", 150), "x" + strings.Repeat("é", 99) + "..."},
	} {
		if got := plain(tt.text); got != tt.want {
			t.Errorf("plain(%q) = %q, want %q", tt.text, got, tt.want)
		}
	}
}

// Nobody is told that credentials are unused whose use was not answered.
func TestUseThatIsNotAnswered(t *testing.T) {
	n := newNode(t, nil)
	p, entry := newEntry(t, n)
	p.drop.Store(2)
	l := n.access(time.Hour)
	if _, banner, err := entry.dial(user, ssh.Password(l.password)); err == nil || !strings.Contains(banner, "may be used up, ask for new ones") {
		t.Errorf("login = %v, told %q", err, banner)
	}
	if !n.used(l) {
		t.Error("the use is not stored")
	}
}
