package api

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/status"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/overlay"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

// farm is several nodes, each with its own database, that reach each other.
// Nothing is replicated: what one has the others know only by asking.
type farm struct {
	a, b, c *node
	all     []*node
}

func newFarm(t testing.TB) *farm {
	t.Helper()
	f := &farm{}
	for i, name := range []string{"a", "b", "c"} {
		n := &node{uid: model.UID{byte(i + 1), 7, 7, 7, 7, 7}}
		n.cluster = &fakeCluster{farm: f, self: n.uid, ready: true}
		n.wrap = func(db *store.Store) Store {
			n.arrivals = &arriving{Store: db, entries: map[model.UID]*model.Entry{}}
			return n.arrivals
		}
		f.all = append(f.all, n)
		n.start(t, name)
		n.net().serve(t, n.api)
	}
	f.a, f.b, f.c = f.all[0], f.all[1], f.all[2]
	return f
}

// net is how the node sees the cluster.
func (n *node) net() *fakeCluster { return n.cluster.(*fakeCluster) }

// fakeCluster is a Cluster whose members are the nodes of a test.
type fakeCluster struct {
	farm   *farm
	self   model.UID
	server *overlay.Server

	mu         sync.Mutex
	ready      bool
	gone       []model.UID // members that can not be reached from here
	hung       []model.UID // members whose connections lead nowhere
	retired    []model.UID
	replicated func(context.Context) error
	dials      int
	state      *status.Status // instead of what follows from the members
}

// serve answers the other members.
func (c *fakeCluster) serve(t testing.TB, a *API) {
	c.server = overlay.NewServer(overlay.ServerOptions{Handler: a.Peer(), Logger: slog.New(slog.DiscardHandler)})
	run(t, c.server.Run)
}

func (c *fakeCluster) set(change func(*fakeCluster)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(c)
}

// sign is the last sign of life that the members show.
var sign = time.Date(2099, 12, 31, 23, 59, 59, 0, time.UTC)

// Members implements Cluster.
func (c *fakeCluster) Members() []status.Member {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []status.Member
	for i, n := range c.farm.all {
		m := status.Member{UID: n.uid, Name: string(rune('a' + i)), State: status.StateActive, LastSeen: sign, Address: "10.0.0.1:8001", Signer: true}
		switch {
		case slices.Contains(c.gone, n.uid):
			m.State = status.StateUnreachable
		case slices.Contains(c.retired, n.uid):
			m.State = status.StateRetired
		}
		list = append(list, m)
	}
	return list
}

// Status implements Cluster.
func (c *fakeCluster) Status() status.Status {
	if c.state != nil {
		return *c.state
	}
	return status.Status{Cluster: "00112233aabbccdd", Node: c.self, Ready: c.Ready(), Members: c.Members()}
}

// Ready implements Cluster.
func (c *fakeCluster) Ready() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ready
}

// Replicated implements Cluster.
func (c *fakeCluster) Replicated(ctx context.Context) error {
	c.mu.Lock()
	f := c.replicated
	c.mu.Unlock()
	if f == nil {
		return errors.New("no neighbour")
	}
	return f(ctx)
}

// Dial implements Cluster.
func (c *fakeCluster) Dial(_ context.Context, member model.UID) (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dials++
	if slices.Contains(c.gone, member) {
		return nil, errors.New("no way to it")
	}
	near, far := net.Pipe()
	if slices.Contains(c.hung, member) {
		return near, nil
	}
	for _, n := range c.farm.all {
		if n.uid == member {
			return near, n.net().server.Take(far, c.self)
		}
	}
	return nil, errors.New("no such member")
}

// arriving is a store to which entries come from elsewhere.
type arriving struct {
	*store.Store

	mu      sync.Mutex
	entries map[model.UID]*model.Entry
	looked  func() // called at every look for what is not there
	label   *model.Label
}

// Label implements Store.
func (s *arriving) Label(uid model.UID) (model.Label, bool) {
	if s.label != nil && s.label.UID == uid {
		return *s.label, true
	}
	return s.Store.Label(uid)
}

// Application implements Store.
func (s *arriving) Application(ctx context.Context, uid model.UID) (*model.Entry, error) {
	s.mu.Lock()
	e, ok := s.entries[uid]
	looked := s.looked
	s.mu.Unlock()
	if ok {
		return e, nil
	}
	if looked != nil {
		looked()
	}
	return s.Store.Application(ctx, uid)
}

// arrive makes an entry known to a node.
func (n *node) arrive(t testing.TB, e *model.Entry) {
	t.Helper()
	s := n.arrivals
	s.mu.Lock()
	s.entries[e.Application.UID] = e
	s.mu.Unlock()
	if _, err := n.store.CreateLabel(t.Context(), model.Label{Name: "news " + time.Now().String()}); err != nil {
		t.Error(err)
	}
}

// wantRetry checks an answer that tells the client to come back.
func (r reply) wantRetry(t testing.TB, what string) {
	t.Helper()
	if r.status != http.StatusServiceUnavailable || r.header.Get("Retry-After") == "" {
		t.Errorf("%s = %d %s with Retry-After %q, want 503 with it", what, r.status, r.body, r.header.Get("Retry-After"))
	}
}
