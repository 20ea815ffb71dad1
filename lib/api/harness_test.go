package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/audit"
	"github.com/aquarium-fish/aquarium-fish/lib/auth"
	"github.com/aquarium-fish/aquarium-fish/lib/capacity"
	"github.com/aquarium-fish/aquarium-fish/lib/election"
	"github.com/aquarium-fish/aquarium-fish/lib/enrol"
	"github.com/aquarium-fish/aquarium-fish/lib/lifecycle"
	"github.com/aquarium-fish/aquarium-fish/lib/maintenance"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/operate"
	"github.com/aquarium-fish/aquarium-fish/lib/pull"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

// What the composition root passes in fits.
var (
	_ Authenticator = (*auth.Authenticator)(nil)
	_ Store         = (*store.Store)(nil)
	_ Election      = (*election.Election)(nil)
	_ Lifecycle     = (*lifecycle.Manager)(nil)
	_ Drivers       = (*drivers.Registry)(nil)
	_ Ledger        = (*capacity.Ledger)(nil)
	_ Maintenance   = (*maintenance.Keeper)(nil)
	_ Audit         = (*audit.Log)(nil)
	_ Enrolment     = (*enrol.Service)(nil)
	_ Images        = (*pull.Keeper)(nil)
	_ Commands      = (*operate.Keeper)(nil)
)

var testNode = model.UID{1, 2, 3, 4, 5, 6, 7, 8}

// lastSeen is later than anything that a test stores.
var lastSeen = time.Date(2100, 1, 2, 3, 4, 5, 6, time.UTC)

// node is an API over a real store and real authentication, behind a real
// HTTP server.
type node struct {
	store       *store.Store
	server      *httptest.Server
	maintenance recordedMaintenance
	enrolment   fakeEnrolment
	images      fakeImages
	commands    fakeCommands
	audit       *audit.Log
	auditPath   string
	votes       []model.Vote
	standing    election.Standing // of whatever waits
	misfits     [][]election.Refusal
	giving      atomic.Bool
	accepting   atomic.Int64       // applications
	trouble     *lifecycle.Trouble // of whatever does not wait
	fetching    bool               // of whatever does not wait
	fetchedAt   time.Time
	uid         model.UID
	api         *API
	cluster     Cluster                  // nil: alone
	wrap        func(*store.Store) Store // nil: as it is
	arrivals    *arriving
	ssh         SSH // nil: none
	log         logBuffer
}

// password is everybody's in tests.
const password = "right"

// cheapHash is a real hash that takes no time: tests wait for other things.
func cheapHash() model.PasswordHash {
	salt := []byte("abcdefgh")
	return model.PasswordHash{
		Algo: "Argon2id", Memory: 8, Iterations: 1, Threads: 1, Salt: salt,
		Hash: argon2.IDKey([]byte(password), salt, 1, 8, 1, 32),
	}
}

// testLifetime is that of credentials.
const testLifetime = 10 * time.Minute

func newNode(t testing.TB) *node {
	t.Helper()
	n := &node{uid: testNode}
	n.start(t, "node-1")
	return n
}

// start makes the node serve.
func (n *node) start(t testing.TB, name string) {
	t.Helper()
	log := slog.New(slog.NewTextHandler(&n.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var err error
	n.store, err = store.Open(t.Context(), store.Options{Folder: t.TempDir(), Node: n.uid, Logger: log})
	if err != nil {
		t.Fatalf("store.Open() error: %v", err)
	}
	t.Cleanup(func() {
		if err := n.store.Close(); err != nil {
			t.Errorf("Close() error: %v", err)
		}
	})
	hash := cheapHash()
	for _, name := range []string{"admin", "alice", "bob"} {
		_, err := n.store.PutUser(t.Context(), name, func(*model.User) (model.User, error) { return model.User{Hash: hash}, nil })
		if err != nil {
			t.Fatalf("PutUser() error: %v", err)
		}
	}
	if _, err := n.store.PutNode(t.Context(), model.Node{
		UID: n.uid, Name: name, Address: "127.0.0.1:8001", Pubkey: []byte("key"),
		Definition: json.RawMessage(`{"cpu":[{"cores":2}],"host":{"os":"linux"}}`),
	}); err != nil {
		t.Fatalf("PutNode() error: %v", err)
	}
	authenticator, err := auth.New(auth.Options{Users: n.store, Log: log})
	if err != nil {
		t.Fatalf("auth.New() error: %v", err)
	}
	run(t, authenticator.Run)
	n.auditPath = filepath.Join(t.TempDir(), "audit.log")
	if n.audit, err = audit.Open(audit.Options{Path: n.auditPath, Logger: log}); err != nil {
		t.Fatalf("audit.Open() error: %v", err)
	}
	run(t, n.audit.Run)
	n.api = n.handler(t, log, authenticator)
	t.Cleanup(n.api.Close)
	n.server = httptest.NewServer(n.api)
	t.Cleanup(n.server.Close)
}

// run runs a component until the test ends.
func run(t testing.TB, f func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := f(ctx); err != nil {
			t.Errorf("Run() error: %v", err)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
}

func (n *node) handler(t testing.TB, log *slog.Logger, authenticator Authenticator) *API {
	t.Helper()
	var db Store = n.store
	if n.wrap != nil {
		db = n.wrap(n.store)
	}
	self, _ := n.store.Node()
	var cluster Cluster = alone{n.uid, self.Name}
	if n.cluster != nil {
		cluster = n.cluster
	}
	a, err := New(Options{
		Node: n.uid, LastSeen: func() time.Time { return lastSeen }, Auth: authenticator, Store: db, Cluster: cluster,
		Election: n, Lifecycle: n, Ledger: n, AllocateTimeout: time.Hour,
		Drivers: testDrivers{}, Images: &n.images, Commands: &n.commands, Maintenance: &n.maintenance, Audit: n.audit, Enrolment: &n.enrolment, Logger: log,
		Meta: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "meta "+r.URL.Path)
		}),
		SSH: n.ssh, AccessLifetime: testLifetime,
		BodyTimeout: 300 * time.Millisecond,
	})
	if err != nil {
		t.Fatalf("New() error: %v", err)
	}
	return a
}

// OpenVotes makes the node its own Election.
func (n *node) OpenVotes() []model.Vote { return n.votes }

// Explain makes the node its own Election.
func (n *node) Explain(model.Application, model.Label) election.Standing { return n.standing }

// Misfits makes the node its own Election.
func (n *node) Misfits(model.Label) [][]election.Refusal { return n.misfits }

// Admit makes the node its own Election.
func (n *node) Admit() (done func(), ok bool) {
	if n.giving.Load() {
		return nil, false
	}
	n.accepting.Add(1)
	return func() { n.accepting.Add(-1) }, true
}

// Trouble makes the node its own Lifecycle.
func (n *node) Trouble(model.UID) (lifecycle.Trouble, bool) {
	if n.trouble == nil {
		return lifecycle.Trouble{}, false
	}
	return *n.trouble, true
}

// Fetching makes the node its own Lifecycle.
func (n *node) Fetching(model.UID) bool { return n.fetching }

// FetchedAt makes the node its own Lifecycle.
func (n *node) FetchedAt(model.UID) time.Time { return n.fetchedAt }

// InUse makes the node its own Ledger.
func (n *node) InUse(instance string) capacity.Usage {
	if instance != "test" {
		return capacity.Usage{}
	}
	return capacity.Usage{Environments: 2, CPU: 3, RAM: 5, Disk: 7}
}

type recordedMaintenance struct {
	mu       sync.Mutex
	requests []maintenance.Request
	drain    maintenance.Drain
	err      error // of SetDrain
}

// Apply notes the request.
func (m *recordedMaintenance) Apply(_ context.Context, r maintenance.Request) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.requests = append(m.requests, r)
	return nil
}

// Drain is what SetDrain was given last.
func (m *recordedMaintenance) Drain() maintenance.Drain {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.drain
}

// SetDrain notes what it is given, unless it is to fail.
func (m *recordedMaintenance) SetDrain(_ context.Context, on, persist bool, by string) (maintenance.Drain, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err == nil {
		m.drain = maintenance.Drain{On: on, Since: lastSeen, By: by, Persistent: persist, Running: 2}
	}
	return m.drain, m.err
}

func (m *recordedMaintenance) taken() []maintenance.Request {
	m.mu.Lock()
	defer m.mu.Unlock()
	requests := m.requests
	m.requests = nil
	return requests
}

// testDrivers knows one driver, named test, that refuses options with a key
// "bad".
type testDrivers struct{}

// Get implements Drivers.
func (testDrivers) Get(name string) (drivers.Driver, bool) { return picky{}, name == "test" }

// Status implements Drivers.
func (testDrivers) Status() []drivers.InstanceStatus {
	since := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	return []drivers.InstanceStatus{
		{Name: "docker/dev", Driver: "docker", State: drivers.InstanceFailed, Reason: "no socket", LastError: "no socket",
			Since: since, Retries: 4, NextRetry: since.Add(time.Minute)},
		{Name: "test", Driver: "test", State: drivers.InstanceReady, Ready: true, Since: since},
	}
}

type picky struct{ drivers.Driver }

// Limits are what the list of instances shows.
func (picky) Limits() drivers.Limits { return drivers.Limits{CPU: 8, RAM: 16} }

// OptionNames is what a check of a label asks.
func (picky) OptionNames() []string { return []string{"size", "read_only"} }

// Trouble is what the list of instances shows.
func (picky) Trouble() error { return errors.New("engine is away") }

// Validate is what a label's creation asks.
func (picky) Validate(d model.LabelDefinition) error {
	if strings.Contains(string(d.Options), `"bad"`) {
		return errors.New(`option "bad" is unknown`)
	}
	return nil
}

// logBuffer keeps what was logged.
type logBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write implements io.Writer.
func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// String returns everything so far.
func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// call is one request of a test.
type call struct {
	user, method, path string
	body               string // JSON unless contentType says otherwise
	contentType        string
	header             map[string]string
}

// reply is what came back.
type reply struct {
	status int
	header http.Header
	body   string
}

func (n *node) do(t testing.TB, c call) reply {
	t.Helper()
	if c.method == "" {
		c.method = http.MethodGet
	}
	r, err := http.NewRequestWithContext(t.Context(), c.method, n.server.URL+c.path, strings.NewReader(c.body))
	if err != nil {
		t.Fatalf("NewRequest(%s) error: %v", c.path, err)
	}
	if c.user != "" {
		r.SetBasicAuth(c.user, password)
	}
	if c.body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.contentType != "" {
		r.Header.Set("Content-Type", c.contentType)
	}
	for k, v := range c.header {
		r.Header.Set(k, v)
	}
	res, err := n.server.Client().Do(r)
	if err != nil {
		t.Fatalf("%s %s error: %v", c.method, c.path, err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %s: read answer: %v", c.method, c.path, err)
	}
	return reply{res.StatusCode, res.Header, string(b)}
}

// get reads an answer that has to be 200 into v.
func (n *node) get(t testing.TB, c call, v any) {
	t.Helper()
	r := n.do(t, c)
	if r.status != http.StatusOK {
		t.Fatalf("%s %s = %d %s", c.method, c.path, r.status, r.body)
	}
	if err := json.Unmarshal([]byte(r.body), v); err != nil {
		t.Fatalf("%s %s answered %q: %v", c.method, c.path, r.body, err)
	}
}

// label creates a label and returns its UID.
func (n *node) label(t testing.TB, name string) model.UID {
	t.Helper()
	l, err := n.store.CreateLabel(t.Context(), model.Label{Name: name, Version: 1, Definitions: []model.LabelDefinition{{
		Driver: "test", Options: json.RawMessage(`{}`), Resources: model.Resources{CPU: 1, RAM: 2},
		Authentication: &model.Authentication{Username: "u", Password: "secret-login", Port: 22},
	}}})
	if err != nil {
		t.Fatalf("CreateLabel() error: %v", err)
	}
	return l.UID
}

// application creates an application.
func (n *node) application(t testing.TB, label model.UID, owner string) *model.Entry {
	t.Helper()
	e, err := n.store.CreateApplication(t.Context(), model.Application{LabelUID: label, OwnerName: owner})
	if err != nil {
		t.Fatalf("CreateApplication() error: %v", err)
	}
	return e
}

// allocate makes the application ALLOCATED.
func (n *node) allocate(t testing.TB, e *model.Entry) *model.Entry {
	t.Helper()
	app := e.Application
	return n.update(t, e, model.Change{
		States: []model.ApplicationState{
			{Status: model.StatusElected, Epoch: 1, UID: model.GrantUID(app.UID, 1, n.uid), Decision: &model.Decision{
				Winner: n.uid, Yes: []model.Vote{{UID: model.VoteUID(app.UID, n.uid, 0, 0), ApplicationUID: app.UID, NodeUID: n.uid, Rand: 7, CreatedAt: app.CreatedAt}},
			}},
			{Status: model.StatusAllocated, Epoch: 1, Description: "Driver allocated the resource"},
		},
		Allocations: []model.Allocation{{Epoch: 1, Token: fmt.Sprintf("%032x", app.UID[:]), LabelUID: app.LabelUID}},
		Resource: &model.Resource{
			LabelUID: app.LabelUID, NodeUID: n.uid, Identifier: "test-abcdef", IPAddr: "127.0.0.1",
			Authentication: &model.Authentication{Username: "u", Password: "p", Port: 22}, Metadata: json.RawMessage(`{"A":"<b>"}`),
		},
	})
}

// end makes an ALLOCATED application DEALLOCATED.
func (n *node) end(t testing.TB, e *model.Entry) *model.Entry {
	t.Helper()
	a := e.Allocations[0]
	a.ReleasedAt = time.Now()
	return n.update(t, e, model.Change{
		States:      []model.ApplicationState{{Status: model.StatusDeallocated, Epoch: 1}},
		Allocations: []model.Allocation{a}, DropResource: true,
	})
}

func (n *node) update(t testing.TB, e *model.Entry, c model.Change) *model.Entry {
	t.Helper()
	e, err := n.store.Update(t.Context(), e.Application.UID, func(*model.Entry) (model.Change, error) { return c, nil })
	if err != nil {
		t.Fatalf("Update() error: %v", err)
	}
	return e
}
