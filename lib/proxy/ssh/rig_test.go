package sshproxy

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/aquarium-fish/aquarium-fish/lib/audit"
	"github.com/aquarium-fish/aquarium-fish/lib/crypt"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

const (
	user    = "builder"
	inside  = "root"   // who logs in to the environment
	secret  = "secret" // with which password
	waiting = 20 * time.Second
)

// environment is an SSH server as one runs in an environment.
type environment struct {
	listener net.Listener

	mu  sync.Mutex
	key ssh.Signer // guarded by mu
}

func newEnvironment(t *testing.T) *environment {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &environment{listener: l, key: newKey(t)}
	var work sync.WaitGroup
	work.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			work.Go(func() { e.serve(conn) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); work.Wait() })
	return e
}

func (e *environment) hostKey() ssh.Signer {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.key
}

// change gives the environment another host key.
func (e *environment) change(key ssh.Signer) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.key = key
}

// serve takes one connection: a command is answered by its own text, a shell
// runs until its input ends.
func (e *environment) serve(conn net.Conn) {
	c := &ssh.ServerConfig{PasswordCallback: func(meta ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
		if meta.User() != inside || string(password) != secret {
			return nil, errors.New("who is that")
		}
		return nil, nil
	}}
	c.AddHostKey(e.hostKey())
	s, channels, requests, err := ssh.NewServerConn(conn, c)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	var work sync.WaitGroup
	for asked := range channels {
		ch, requests, err := asked.Accept()
		if err != nil {
			break
		}
		work.Go(func() { command(ch, requests) })
	}
	work.Wait()
	_ = s.Close()
}

func command(ch ssh.Channel, requests <-chan *ssh.Request) {
	for req := range requests {
		_ = req.Reply(true, nil)
		switch req.Type {
		case "exec":
			_, _ = ch.Write(req.Payload[4:])
			_, _ = ch.SendRequest("exit-status", false, []byte{0, 0, 0, 0})
			_ = ch.Close()
		case "shell":
			go func() {
				_, _ = io.Copy(ch, ch)
				_ = ch.Close()
			}()
		}
	}
}

func newKey(t *testing.T) ssh.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// trail is an audit in memory.
type trail struct {
	mu     sync.Mutex
	events []audit.Event
}

func (l *trail) Note(e audit.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, e)
}

func (l *trail) Login(user, remote, _ string, result audit.Result) {
	l.Note(audit.Event{Action: audit.ActionLogin, User: user, Address: remote, Result: result})
}

// details are those of the events with the action.
func (l *trail) details(action string) (all []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.events {
		if e.Action == action {
			all = append(all, string(e.Result)+": "+e.Detail)
		}
	}
	return all
}

// limits are what Authenticator's are, but for a test to set.
type limits struct {
	mu       sync.Mutex
	failures int
	full     bool
}

func (l *limits) Throttled(string, string) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.full {
		return time.Minute
	}
	return 0
}

func (l *limits) Failed(string, string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failures++
}

// node is a node with one environment, and its SSH proxy.
type node struct {
	t       *testing.T
	store   *store.Store
	server  *Server
	local   *Local
	env     *environment
	trail   *trail
	limits  *limits
	label   model.UID
	app     model.UID
	hostKey ssh.Signer
	stop    func()
}

func newNode(t *testing.T, change func(*Options)) *node {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	self := model.UID{1, 2, 3, 4, 5, 6, 0x40, 0, 0x80}
	db, err := store.OpenMemory(t.Context(), store.Options{Node: self, Logger: log}, store.NewDisk())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	n := &node{t: t, store: db, env: newEnvironment(t), trail: &trail{}, limits: &limits{}, hostKey: newKey(t)}
	if _, err := db.PutUser(t.Context(), user, func(*model.User) (model.User, error) { return model.User{Name: user}, nil }); err != nil {
		t.Fatal(err)
	}
	n.allocate(self)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n.local = NewLocal(LocalOptions{Node: self, Store: db, Grace: -1, Logger: log})
	o := Options{
		Listener: l, HostKey: n.hostKey, Store: db, Executor: n.local, Limits: n.limits, Audit: n.trail,
		NodeName: "fish", Node: self, Logger: log,
	}
	if change != nil {
		change(&o)
	}
	if n.server, err = New(o); err != nil {
		t.Fatal(err)
	}
	endLocal, endServer := runs(t, n.local.Run), runs(t, n.server.Run)
	n.stop = func() { endServer(); endLocal() } // as the parts of a node do
	t.Cleanup(n.stop)
	return n
}

// runs runs a part until end is called.
func runs(t *testing.T, run func(context.Context) error) (end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := run(ctx); err != nil {
			t.Errorf("Run() = %v", err)
		}
	}()
	return func() { cancel(); <-ended }
}

// allocate makes an application whose environment is ALLOCATED.
func (n *node) allocate(self model.UID) {
	n.t.Helper()
	ctx := n.t.Context()
	label, err := n.store.CreateLabel(ctx, model.Label{Name: "l", Version: 1, Definitions: []model.LabelDefinition{{Driver: "test"}}})
	if err != nil {
		n.t.Fatal(err)
	}
	e, err := n.store.CreateApplication(ctx, model.Application{LabelUID: label.UID, OwnerName: user})
	if err != nil {
		n.t.Fatal(err)
	}
	n.label, n.app = label.UID, e.Application.UID
	port := n.env.listener.Addr().(*net.TCPAddr).Port
	n.update(model.Change{States: []model.ApplicationState{{
		Status: model.StatusElected, Epoch: 1, Decision: &model.Decision{Winner: self},
	}}})
	n.update(model.Change{Allocations: []model.Allocation{{
		Epoch: 1, Token: strings.Repeat("a", 32), MetaToken: strings.Repeat("b", 32),
		Definition: model.LabelDefinition{Driver: "test"}, Metadata: json.RawMessage(`{}`), LabelMetadata: json.RawMessage(`{}`),
	}}})
	n.update(model.Change{
		States: []model.ApplicationState{{Status: model.StatusAllocated, Epoch: 1}},
		Resource: &model.Resource{
			Identifier: "env", IPAddr: "127.0.0.1", LabelUID: label.UID,
			Authentication: &model.Authentication{Username: inside, Password: secret, Port: port},
		},
	})
}

func (n *node) update(c model.Change) *model.Entry {
	n.t.Helper()
	e, err := n.store.Update(n.t.Context(), n.app, func(*model.Entry) (model.Change, error) { return c, nil })
	if err != nil {
		n.t.Fatal(err)
	}
	return e
}

func (n *node) resource() model.Resource {
	n.t.Helper()
	e, err := n.store.Application(n.t.Context(), n.app)
	if err != nil || e.Resource == nil {
		n.t.Fatalf("no resource: %v", err)
	}
	return *e.Resource
}

// login is what a user was given.
type login struct {
	uid      model.UID
	password string
	key      ssh.Signer
}

func (n *node) access(lifetime time.Duration) login {
	n.t.Helper()
	private, public, err := crypt.NewSSHLogin()
	if err != nil {
		n.t.Fatal(err)
	}
	l := login{password: crypt.RandomPassword()}
	if l.key, err = ssh.ParsePrivateKey([]byte(private)); err != nil {
		n.t.Fatal(err)
	}
	digest := sha256.Sum256([]byte(l.password))
	made, err := n.store.CreateAccess(n.t.Context(), model.ResourceAccess{
		ResourceUID: n.resource().UID, UserName: user, Digest: digest[:], PublicKey: public, ExpiresAt: time.Now().Add(lifetime),
	})
	if err != nil {
		n.t.Fatal(err)
	}
	l.uid = made.UID
	return l
}

// dial logs in to the proxy; banner is what it says.
func (n *node) dial(name string, auth ...ssh.AuthMethod) (c *ssh.Client, banner string, err error) {
	var said strings.Builder
	c, err = ssh.Dial("tcp", n.server.Addr().String(), &ssh.ClientConfig{
		User: name, Auth: auth, HostKeyCallback: ssh.FixedHostKey(n.hostKey.PublicKey()), Timeout: waiting,
		BannerCallback: func(message string) error { said.WriteString(message); return nil },
	})
	if err == nil {
		n.t.Cleanup(func() { _ = c.Close() })
	}
	return c, said.String(), err
}

// used reports whether the credentials are.
func (n *node) used(l login) bool {
	view, ok := n.store.Access(l.uid)
	return ok && view.Used
}

// until waits for something to hold.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(waiting); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, waiting)
		}
	}
}

func echo(t *testing.T, c *ssh.Client, text string) {
	t.Helper()
	s, err := c.NewSession()
	if err != nil {
		t.Fatalf("open session: %v", err)
	}
	defer func() { _ = s.Close() }()
	if out, err := s.Output(text); string(out) != text || err != nil {
		t.Errorf("output of %d bytes: %d bytes, %v", len(text), len(out), err)
	}
}

// shell is one in a terminal. It ends with its input, so that is open.
func shell(t *testing.T, c *ssh.Client) (in io.WriteCloser, out, told io.Reader) {
	t.Helper()
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	in, _ = s.StdinPipe()
	out, _ = s.StdoutPipe()
	told, _ = s.StderrPipe()
	if err := errors.Join(s.RequestPty("xterm", 24, 80, nil), s.Shell()); err != nil {
		t.Fatal(err)
	}
	return in, out, told
}

func has(all []string, part string) bool {
	return slices.ContainsFunc(all, func(s string) bool { return strings.Contains(s, part) })
}

// request gives the environment back.
func request() model.Change {
	return model.Change{States: []model.ApplicationState{{Status: model.StatusDeallocate, Description: "Requested by user " + user}}}
}

// lateStore hides credentials for a while.
type lateStore struct {
	Store

	hide  atomic.Bool
	asked func()
}

func (s *lateStore) AccessByDigest(digest []byte) (store.AccessView, bool) {
	if s.hide.Load() {
		s.asked()
		return store.AccessView{}, false
	}
	return s.Store.AccessByDigest(digest)
}
