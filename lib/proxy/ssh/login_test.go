package sshproxy

import (
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

func TestBothWaysIn(t *testing.T) {
	n := newNode(t, nil)
	for name, auth := range map[string]func(login) ssh.AuthMethod{
		"password": func(l login) ssh.AuthMethod { return ssh.Password(l.password) },
		"key":      func(l login) ssh.AuthMethod { return ssh.PublicKeys(l.key) },
	} {
		t.Run(name, func(t *testing.T) {
			l := n.access(time.Hour)
			c, _, err := n.dial(user, auth(l))
			if err != nil {
				t.Fatalf("log in: %v", err)
			}
			echo(t, c, "hello")
			if string(c.ServerVersion()) != ServerVersion {
				t.Errorf("version %q, want %q", c.ServerVersion(), ServerVersion)
			}
			for _, again := range []ssh.AuthMethod{ssh.Password(l.password), ssh.PublicKeys(l.key)} {
				if _, banner, err := n.dial(user, again); err == nil || !strings.Contains(banner, "used already") {
					t.Errorf("second login = %v, told %q", err, banner)
				}
			}
			_ = c.Close()
		})
	}
	until(t, "the ends in the audit", func() bool { return len(n.trail.details(ActionClose)) == 2 })
	if opened := n.trail.details(ActionOpen); !has(opened, "ok: session") || !has(opened, "refused: resource") {
		t.Errorf("audit has %q", opened)
	}
	if closed := n.trail.details(ActionClose); !has(closed, "1 channels, 0 bytes from the client, 5 to it") {
		t.Errorf("audit has %q", closed)
	}
	key, known := n.store.HostKey(n.resource().UID)
	if !known || string(key) != string(n.env.hostKey().PublicKey().Marshal()) {
		t.Error("the host key of the environment is not kept")
	}
}

func TestWrongCredentials(t *testing.T) {
	n := newNode(t, nil)
	l := n.access(time.Hour)
	for _, tt := range []struct {
		name, user string
		auth       ssh.AuthMethod
	}{
		{"short password", user, ssh.Password("secret")},
		{"empty password", user, ssh.Password("")},
		{"another user", "admin", ssh.Password(l.password)},
		{"another user's key", "admin", ssh.PublicKeys(l.key)},
		{"a stranger's key", user, ssh.PublicKeys(newKey(t))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, _, err := n.dial(tt.user, tt.auth); err == nil {
				t.Error("let in")
			}
		})
	}
	if n.used(l) {
		t.Error("the credentials were used up")
	}
	n.limits.mu.Lock()
	failures := n.limits.failures
	n.limits.mu.Unlock()
	if failures != 3 {
		t.Errorf("%d failures counted, want those of passwords", failures)
	}
	if _, err := n.store.DeleteUser(t.Context(), user); err != nil {
		t.Fatal(err)
	}
	if _, _, err := n.dial(user, ssh.Password(l.password)); err == nil {
		t.Error("a user who is no more is let in")
	}
}

func TestExpired(t *testing.T) {
	n := newNode(t, nil)
	l := n.access(time.Millisecond)
	time.Sleep(5 * time.Millisecond)
	if _, banner, err := n.dial(user, ssh.Password(l.password)); err == nil || !strings.Contains(banner, "expired") {
		t.Errorf("login = %v, told %q", err, banner)
	}
}

// Credentials that another node has just made are waited for.
func TestCredentialsThatArriveLate(t *testing.T) {
	waits, found := make(chan struct{}), make(chan error, 1)
	late := &lateStore{asked: sync.OnceFunc(func() { close(waits) })}
	n := newNode(t, func(o *Options) { late.Store, o.Store = o.Store, late })
	l := n.access(time.Hour)
	late.hide.Store(true)
	go func() {
		_, _, err := n.dial(user, ssh.Password(l.password))
		found <- err
	}()
	<-waits
	late.hide.Store(false)
	n.access(time.Hour) // something comes
	if err := <-found; err != nil {
		t.Errorf("login = %v", err)
	}
}

// Offering a key is no proof of it.
func TestOfferedKeyUsesNothingUp(t *testing.T) {
	n := newNode(t, nil)
	l := n.access(time.Hour)
	if _, _, err := n.dial(user, ssh.PublicKeys(&liar{l.key})); err == nil {
		t.Fatal("let in without the private key")
	}
	if n.used(l) {
		t.Error("the credentials were used up")
	}
	if _, _, err := n.dial(user, ssh.PublicKeys(l.key)); err != nil {
		t.Errorf("the owner of the key: %v", err)
	}
}

// liar has a public key and not the private one.
type liar struct{ ssh.Signer }

func (l *liar) Sign(rand io.Reader, data []byte) (*ssh.Signature, error) {
	return l.Signer.Sign(rand, append([]byte("x"), data...))
}

func TestEnvironmentThatIsNotReachedUsesNothingUp(t *testing.T) {
	n := newNode(t, nil)
	l := n.access(time.Hour)
	port := n.env.listener.Addr().String()
	_ = n.env.listener.Close()
	if _, banner, err := n.dial(user, ssh.Password(l.password)); err == nil || !strings.Contains(banner, "does not answer") {
		t.Errorf("login = %v, told %q", err, banner)
	}
	if n.used(l) {
		t.Fatal("the credentials were used up")
	}
	again := listenAgain(t, port)
	go func() {
		if conn, err := again.Accept(); err == nil {
			n.env.serve(conn)
		}
	}()
	if _, _, err := n.dial(user, ssh.Password(l.password)); err != nil {
		t.Errorf("second login: %v", err)
	}
}

// listenAgain takes a port that was closed a moment ago.
func listenAgain(t *testing.T, addr string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Skipf("the port is taken meanwhile: %v", err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func TestOtherHostKeyIsRefused(t *testing.T) {
	n := newNode(t, nil)
	if _, _, err := n.dial(user, ssh.Password(n.access(time.Hour).password)); err != nil {
		t.Fatal(err)
	}
	n.env.change(newKey(t))
	l := n.access(time.Hour)
	if _, banner, err := n.dial(user, ssh.Password(l.password)); err == nil || !strings.Contains(banner, "another host key") {
		t.Errorf("login = %v, told %q", err, banner)
	}
	if n.used(l) {
		t.Error("the credentials were used up")
	}
}

// However many come with the same credentials, one gets in.
func TestOneOfManyGetsIn(t *testing.T) {
	n := newNode(t, nil)
	l := n.access(time.Hour)
	var work sync.WaitGroup
	var in atomic.Int32
	for i := range 16 {
		work.Go(func() {
			auth := ssh.Password(l.password)
			if i%2 == 0 {
				auth = ssh.PublicKeys(l.key)
			}
			if _, _, err := n.dial(user, auth); err == nil {
				in.Add(1)
			}
		})
	}
	work.Wait()
	if in.Load() != 1 {
		t.Errorf("%d got in, want one", in.Load())
	}
}

func TestThrottledConnectionIsClosed(t *testing.T) {
	n := newNode(t, nil)
	l := n.access(time.Hour)
	n.limits.mu.Lock()
	n.limits.full = true
	n.limits.mu.Unlock()
	tries := 0
	_, _, err := n.dial(user, ssh.RetryableAuthMethod(ssh.PasswordCallback(func() (string, error) { tries++; return "wrong", nil }), 5))
	if err == nil || tries != 1 {
		t.Errorf("login = %v after %d tries, want the end after one", err, tries)
	}
	if _, _, err := n.dial(user, ssh.Password(l.password)); err != nil {
		t.Errorf("who has the right ones is not let in: %v", err)
	}
}

func TestTooManySessions(t *testing.T) {
	n := newNode(t, func(o *Options) { o.MaxSessions = 1 })
	first, _, err := n.dial(user, ssh.Password(n.access(time.Hour).password))
	if err != nil {
		t.Fatal(err)
	}
	l := n.access(time.Hour)
	if _, banner, err := n.dial(user, ssh.Password(l.password)); err == nil || !strings.Contains(banner, "too many sessions") {
		t.Errorf("login = %v, told %q", err, banner)
	}
	if n.used(l) {
		t.Error("the credentials were used up")
	}
	_ = first.Close()
	until(t, "another session", func() bool {
		_, _, err := n.dial(user, ssh.Password(l.password))
		return err == nil
	})
}

func TestOneUserTakesHalf(t *testing.T) {
	n := newNode(t, func(o *Options) { o.MaxSessions = 3 })
	for range 2 {
		if _, _, err := n.dial(user, ssh.Password(n.access(time.Hour).password)); err != nil {
			t.Fatal(err)
		}
	}
	l := n.access(time.Hour)
	if _, banner, err := n.dial(user, ssh.Password(l.password)); err == nil || !strings.Contains(banner, "too many sessions of this user") {
		t.Errorf("login = %v, told %q", err, banner)
	}
	if n.used(l) {
		t.Error("the credentials were used up")
	}
}

// Who never logs in does not keep others out, and leaves nothing behind.
func TestStrangers(t *testing.T) {
	before := runtime.NumGoroutine()
	n := newNode(t, nil)
	var conns []net.Conn
	for range 1000 {
		c, err := net.Dial("tcp", n.server.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	until(t, "the bound of one address", func() bool { return len(n.server.pending.all()) <= maxPendingFrom })
	c, _, err := n.dial(user, ssh.Password(n.access(time.Hour).password))
	if err != nil {
		t.Fatalf("log in beside strangers: %v", err)
	}
	echo(t, c, "hello")
	_ = c.Close()
	for _, c := range conns {
		_ = c.Close()
	}
	n.stop()
	_ = n.store.Close()
	_ = n.env.listener.Close()
	until(t, "no goroutine more", func() bool { return runtime.NumGoroutine() <= before+2 })
}

func TestGivenBack(t *testing.T) {
	n := newNode(t, func(o *Options) { o.Grace = 100 * time.Millisecond })
	c, _, err := n.dial(user, ssh.Password(n.access(time.Hour).password))
	if err != nil {
		t.Fatal(err)
	}
	in, out, told := shell(t, c)
	_, _ = in.Write([]byte("still here"))
	if got := make([]byte, 10); readFull(out, got) != nil || string(got) != "still here" {
		t.Fatalf("the shell says %q", got)
	}
	n.update(request())
	text, _ := io.ReadAll(told)
	if !strings.Contains(string(text), "the environment is given back. This session ends in 100ms.") {
		t.Errorf("the terminal was told %q", text)
	}
	_ = c.Wait()
	until(t, "the end in the audit", func() bool { return has(n.trail.details(ActionClose), "cut: the environment is given back") })
	if len(n.local.all()) != 0 {
		t.Error("a connection to the environment is left")
	}
}

// Who is removed while he is in is out at once, not when he likes.
func TestRemovedUserIsOut(t *testing.T) {
	n := newNode(t, func(o *Options) { o.Grace = time.Hour })
	c, _, err := n.dial(user, ssh.Password(n.access(time.Hour).password))
	if err != nil {
		t.Fatal(err)
	}
	_, _, told := shell(t, c)
	if _, err := n.store.DeleteUser(t.Context(), user); err != nil {
		t.Fatal(err)
	}
	if text, _ := io.ReadAll(told); !strings.Contains(string(text), "the user was removed. This session ends in 1s.") {
		t.Errorf("the terminal was told %q", text)
	}
	until(t, "the end in the audit", func() bool { return has(n.trail.details(ActionClose), "cut: the user was removed") })
}

// Who is cut at once is told so all the same.
func TestGivenBackWithoutGrace(t *testing.T) {
	for range 5 { // it would be overtaken now and then
		n := newNode(t, func(o *Options) { o.Grace = -1 })
		c, _, err := n.dial(user, ssh.Password(n.access(time.Hour).password))
		if err != nil {
			t.Fatal(err)
		}
		_, _, told := shell(t, c)
		n.update(request())
		if text, _ := io.ReadAll(told); !strings.Contains(string(text), "the environment is given back. This session ends.") {
			t.Errorf("the terminal was told %q", text)
		}
		_ = c.Wait() // it is cut
	}
}

func TestNodeThatStopsSaysSo(t *testing.T) {
	n := newNode(t, nil)
	c, _, err := n.dial(user, ssh.Password(n.access(time.Hour).password))
	if err != nil {
		t.Fatal(err)
	}
	_, _, told := shell(t, c)
	n.stop()
	if text, _ := io.ReadAll(told); !strings.Contains(string(text), "the node stops, and this session with it") {
		t.Errorf("the terminal was told %q", text)
	}
	if !has(n.trail.details(ActionClose), "cut: the node stops") {
		t.Errorf("audit has %q", n.trail.details(ActionClose))
	}
}

func readFull(r io.Reader, p []byte) error {
	_, err := io.ReadFull(r, p)
	return err
}
