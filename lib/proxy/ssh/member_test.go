package sshproxy

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/overlay"
)

// entryUID is a node that runs nothing.
var entryUID = model.UID{9, 9, 9, 9, 9, 9, 0x40, 0, 0x80}

// path is the way from an entry to the executor: a real overlay over TCP, which
// a test can cut.
type path struct {
	server *overlay.Server
	down   atomic.Bool
	// drop loses the answer to the next requests for a use.
	drop atomic.Int32
}

// Dial implements overlay.Dialer.
func (p *path) Dial(context.Context, model.UID) (net.Conn, error) {
	if p.down.Load() {
		return nil, errors.New("no way there")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer func() { _ = l.Close() }()
	near, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return nil, err
	}
	far, err := l.Accept()
	if err != nil {
		return nil, err
	}
	return near, p.server.Take(far, entryUID)
}

// newEntry is a proxy on another node than that of the environment.
func newEntry(t *testing.T, n *node) (*path, *node) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	service, p := NewService(n.local), &path{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+OpenPath, service.Open)
	mux.HandleFunc("POST "+UsePath, func(w http.ResponseWriter, r *http.Request) {
		service.Use(w, r)
		if p.drop.Add(-1) >= 0 {
			panic(http.ErrAbortHandler)
		}
	})
	p.server = overlay.NewServer(overlay.ServerOptions{Handler: mux, Logger: log})
	client := overlay.NewClient(p)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	entry := *n
	entry.trail = &trail{}
	entry.server, err = New(Options{
		Listener: l, HostKey: n.hostKey, Store: n.store, Limits: n.limits, Audit: entry.trail, NodeName: "entry", Node: entryUID,
		Executor: &Everywhere{Node: entryUID, Asker: client}, Logger: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	for _, run := range []func(context.Context) error{p.server.Run, entry.server.Run, service.Run} {
		work.Go(func() {
			if err := run(ctx); err != nil {
				t.Errorf("Run() = %v", err)
			}
		})
	}
	t.Cleanup(func() { cancel(); work.Wait(); client.Close() })
	return p, &entry
}

func TestThroughAnotherNode(t *testing.T) {
	n := newNode(t, nil)
	_, entry := newEntry(t, n)
	c, banner, err := entry.dial(user, ssh.PublicKeys(n.access(time.Hour).key))
	if err != nil {
		t.Fatalf("log in: %v, told %q", err, banner)
	}
	for range 3 {
		echo(t, c, strings.Repeat("hello", 10_000))
	}
	uses := n.store.AccessUses(n.resource().UID)
	if len(uses) != 1 || uses[0].EntryUID != entryUID || uses[0].Client == "" {
		t.Errorf("uses are %+v", uses)
	}
	if len(n.local.all()) != 1 {
		t.Errorf("%d connections to the environment, want one", len(n.local.all()))
	}
	_ = c.Close()
	until(t, "the connection to the environment to end", func() bool { return len(n.local.all()) == 0 })
}

func TestExecutorOutOfReachUsesNothingUp(t *testing.T) {
	n := newNode(t, nil)
	p, entry := newEntry(t, n)
	l := n.access(time.Hour)
	p.down.Store(true)
	if _, banner, err := entry.dial(user, ssh.Password(l.password)); err == nil || !strings.Contains(banner, "can not be reached now; the credentials were not used") {
		t.Errorf("login = %v, told %q", err, banner)
	}
	if n.used(l) {
		t.Fatal("the credentials were used up")
	}
	p.down.Store(false)
	if _, _, err := entry.dial(user, ssh.Password(l.password)); err != nil {
		t.Errorf("after the heal: %v", err)
	}
}

// The same credentials at two nodes at once: exactly one session, in every round.
func TestTwoNodesAtOnce(t *testing.T) {
	n := newNode(t, nil)
	_, entry := newEntry(t, n)
	for range 20 {
		l := n.access(time.Hour)
		var work sync.WaitGroup
		var in atomic.Int32
		for _, at := range []*node{n, entry} {
			work.Go(func() {
				if c, _, err := at.dial(user, ssh.Password(l.password)); err == nil {
					in.Add(1)
					_ = c.Close()
				}
			})
		}
		work.Wait()
		if in.Load() != 1 {
			t.Fatalf("%d sessions, want one", in.Load())
		}
	}
}

// A lost answer is asked for again: the use is the same session's.
func TestLostAnswerToAUse(t *testing.T) {
	n := newNode(t, nil)
	p, entry := newEntry(t, n)
	p.drop.Store(1)
	c, banner, err := entry.dial(user, ssh.Password(n.access(time.Hour).password))
	if err != nil {
		t.Fatalf("log in: %v, told %q", err, banner)
	}
	echo(t, c, "hello")
}

// What an executor says in refusal arrives as it is.
func TestRefusalTravels(t *testing.T) {
	n := newNode(t, nil)
	_, entry := newEntry(t, n)
	_ = n.env.listener.Close()
	if _, banner, err := entry.dial(user, ssh.Password(n.access(time.Hour).password)); err == nil || !strings.Contains(banner, "does not answer") {
		t.Errorf("login = %v, told %q", err, banner)
	}
}

// Only members ask, and only for themselves.
func TestServiceAnswersMembersAlone(t *testing.T) {
	n := newNode(t, nil)
	p, _ := newEntry(t, n)
	client := overlay.NewClient(p)
	defer client.Close()
	for _, r := range []struct {
		name string
		e    overlay.Envelope
		body string
	}{{"for a user", overlay.Envelope{User: "admin"}, `{}`}, {"nonsense", overlay.Envelope{}, `[`}} {
		for _, path := range []string{OpenPath, UsePath} {
			res, err := client.Do(t.Context(), model.UID{1}, r.e, overlay.Request{Method: http.MethodPost, Path: path, Body: []byte(r.body)})
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			if res.StatusCode != http.StatusBadRequest {
				t.Errorf("%s at %s: %d, want 400", r.name, path, res.StatusCode)
			}
		}
	}
}
