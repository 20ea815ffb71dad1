package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/api/body"
	"github.com/aquarium-fish/aquarium-fish/lib/audit"
	"github.com/aquarium-fish/aquarium-fish/lib/auth"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

func TestBodies(t *testing.T) {
	n := newNode(t)
	big := `{"name":"` + strings.Repeat("x", body.MaxSize) + `"}`
	tests := []struct {
		name, path, contentType, body string
		status                        int
		want                          string
	}{
		{"too large", "label/", "", big, 413, `{"message":"Request Entity Too Large"}`},
		{"too large of any type", "application/", "text/plain", big, 413, `{"message":"Request Entity Too Large"}`},
		{"just fits", "label/", "", `{"name":"fits","x":"` + strings.Repeat("x", body.MaxSize-22) + `"}`, 200, `"name":"fits"`},
		{"other type", "label/", "text/plain", `{}`, 400, `{"message":"Wrong request body: code=415, message=Unsupported Media Type"}`},
		{"other type for an application", "application/", "application/xml", `<a/>`, 400, `{"error":"Wrong request body: code=415, message=Unsupported Media Type"}`},
		{"charset", "label/", "application/json; charset=utf-8", `{"name":"charset"}`, 200, `"name":"charset"`},
		{"unknown fields", "label/", "", `{"name":"unknown","no":{"such":["field"]}}`, 200, `"name":"unknown"`},
		{"two values", "label/", "", `{}{}`, 400, `{"message":"Wrong request body: is not valid JSON`},
		{"bad UTF-8", "location/", "", "{\"name\":\"\xff\"}", 400, `{"error":"Wrong request body: is not valid UTF-8"}`},
		{"deep", "label/", "", `{"metadata":` + strings.Repeat(`[`, 20000) + strings.Repeat(`]`, 20000) + `}`, 400, "Wrong request body"},
		{"number too large", "label/", "", `{"name":"x","version":1e99}`, 400, `version can't be a JSON number 1e99, it takes a whole number`},
		{"negative", "label/", "", `{"name":"x","definitions":[{"resources":{"cpu":-1}}]}`, 400, `definitions.resources.cpu can't be a JSON number -1, it takes a whole number of 0 or more`},
		{"no UID", "application/", "", `{"label_UID":"mac"}`, 400, `{"error":"Wrong request body: label_UID: invalid UUID length: 3"}`},
		{"no UID in YAML", "servicemapping/", "application/yaml", "application_UID: x", 400, `{"error":"Wrong request body: application_UID: invalid UUID length: 1"}`},
		{"number for a UID", "application/", "", `{"label_UID":1}`, 400, `label_UID can't be a JSON number, it takes a text`},
		{"yaml inf", "label/", "application/yaml", "name: x\nversion: .inf", 400, "is no number that JSON can hold"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := n.do(t, call{user: "admin", method: "POST", path: "/api/v1/" + tt.path, body: tt.body, contentType: tt.contentType})
			if r.status != tt.status || !strings.Contains(r.body, tt.want) {
				t.Errorf("got %d %.300s, want %d with %s", r.status, r.body, tt.status, tt.want)
			}
		})
	}
}

// raw sends text over a connection of its own and returns the answer.
func (n *node) raw(t *testing.T, parts ...string) *http.Response {
	t.Helper()
	conn, err := net.Dial("tcp", n.server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	for _, p := range parts {
		if _, err := io.WriteString(conn, p); err != nil {
			t.Fatalf("write: %v", err)
		}
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("read answer: %v", err)
	}
	return res
}

const aliceHeader = "Host: x\r\nAuthorization: Basic YWxpY2U6cmlnaHQ=\r\nContent-Type: application/json\r\n"

func TestSlowBody(t *testing.T) {
	n := newNode(t)
	res := n.raw(t, "POST /api/v1/application/ HTTP/1.1\r\n"+aliceHeader+"Content-Length: 100\r\n\r\n", `{"label_UID"`)
	if res.StatusCode != http.StatusRequestTimeout || !res.Close {
		t.Errorf("a body that never ends = %d, close %v, want 408 and the connection closed", res.StatusCode, res.Close)
	}
}

func TestHugeBodyIsNotRead(t *testing.T) {
	n := newNode(t)
	res := n.raw(t, "POST /api/v1/application/ HTTP/1.1\r\n"+aliceHeader+"Content-Length: 1000000000\r\n\r\n")
	if res.StatusCode != http.StatusRequestEntityTooLarge || !res.Close {
		t.Errorf("announced 1 GB = %d, close %v, want 413 and the connection closed", res.StatusCode, res.Close)
	}
	chunk := fmt.Sprintf("%x\r\n%s\r\n", 70000, strings.Repeat("x", 70000))
	res = n.raw(t, "POST /api/v1/application/ HTTP/1.1\r\n"+aliceHeader+"Transfer-Encoding: chunked\r\n\r\n", chunk)
	if res.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("70 KB in an endless chunked body = %d, want 413", res.StatusCode)
	}
}

func TestBrokenBody(t *testing.T) {
	n := newNode(t)
	res := n.raw(t, "POST /api/v1/application/ HTTP/1.1\r\n"+aliceHeader+"Transfer-Encoding: chunked\r\n\r\n", "zz\r\n")
	b, _ := io.ReadAll(res.Body)
	if res.StatusCode != http.StatusBadRequest || !strings.Contains(string(b), `{"error":`) {
		t.Errorf("a broken chunk = %d %s, want 400", res.StatusCode, b)
	}
}

func TestPretty(t *testing.T) {
	n := newNode(t)
	n.label(t, "linux")
	plain := n.do(t, call{user: "alice", path: "/api/v1/label/"})
	for _, query := range []string{"?pretty", "?pretty=1"} {
		got := n.do(t, call{user: "alice", path: "/api/v1/label/" + query})
		var want bytes.Buffer
		if err := json.Indent(&want, []byte(plain.body), "", "  "); err != nil {
			t.Fatal(err)
		}
		if got.body != want.String() {
			t.Errorf("%s = %s, want %s", query, got.body, want.String())
		}
	}
	if r := n.do(t, call{path: "/api/v1/label/?pretty"}); r.status != 401 || r.body != "{\n  \"message\": \"Unauthorized\"\n}\n" {
		t.Errorf("an indented failure = %d %q", r.status, r.body)
	}
}

// TestAuthFailures checks the answers that ask a client to come back.
func TestAuthFailures(t *testing.T) {
	tests := []struct {
		name       string
		err        error
		status     int
		retryAfter string
		want       string
	}{
		{"limited", &auth.LimitedError{RetryAfter: 1500 * time.Millisecond}, 429, "2", "Too many failed logins, try again in 2 seconds"},
		{"limited for no time", &auth.LimitedError{}, 429, "", "Too many failed logins"},
		{"busy", auth.ErrBusy, 503, "5", "Too many logins at once"},
		{"other", errors.New("secret detail"), 500, "", `{"message":"Internal error, request id `},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := newNode(t)
			h := n.handler(t, slog.New(slog.NewTextHandler(&n.log, nil)), failingAuth{tt.err})
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/v1/user/me/", nil)
			r.SetBasicAuth("alice", password)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) || w.Header().Get("Retry-After") != tt.retryAfter {
				t.Errorf("got %d %s, Retry-After %q", w.Code, w.Body, w.Header().Get("Retry-After"))
			}
			if strings.Contains(w.Body.String(), "secret detail") {
				t.Error("the answer shows the detail")
			}
			if tt.status == 500 && !strings.Contains(n.log.String(), "secret detail") {
				t.Error("the log does not have the detail")
			}
		})
	}
}

// ghostAuth lets in a user that is gone by the time the handler looks.
type ghostAuth struct{ failingAuth }

// Check implements Authenticator.
func (ghostAuth) Check(context.Context, string, string, string) (auth.Principal, error) {
	return auth.Principal{Name: "ghost"}, nil
}

// TestUserRemovedMeanwhile gets the same 401 as everybody, with its header.
func TestUserRemovedMeanwhile(t *testing.T) {
	n := newNode(t)
	h := n.handler(t, slog.New(slog.NewTextHandler(&n.log, nil)), ghostAuth{})
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/v1/user/me/", nil)
	r.SetBasicAuth("ghost", password)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != 401 || w.Header().Get("WWW-Authenticate") != challenge || w.Body.String() != "{\"message\":\"Unauthorized\"}\n" {
		t.Errorf("got %d %q %s", w.Code, w.Header().Get("WWW-Authenticate"), w.Body)
	}
}

// namedWriter is a writer that asks who was authenticated, as the access log's.
type namedWriter struct {
	*httptest.ResponseRecorder

	user string
}

// NoteUser implements userNoter.
func (w *namedWriter) NoteUser(name string) { w.user = name }

// TestAuthenticatedUserIsNoted checks that the access log learns who was let
// in, and no name that anybody made up.
func TestAuthenticatedUserIsNoted(t *testing.T) {
	n := newNode(t)
	tests := []struct{ name, path, user, password, want string }{
		{"let in", "/api/v1/user/me/", "alice", password, "alice"},
		{"let in to nowhere", "/api/v1/nothing", "bob", password, "bob"},
		{"refused later", "/api/v1/user/", "alice", password, "alice"},
		{"wrong password", "/api/v1/user/me/", "alice", "wrong", ""},
		{"unknown user", "/api/v1/user/me/", "mallory", password, ""},
		{"no credentials", "/api/v1/user/me/", "", "", ""},
		{"not asked for any", "/meta/v1/data/", "alice", password, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, tt.path, nil)
			if tt.user != "" {
				r.SetBasicAuth(tt.user, tt.password)
			}
			w := &namedWriter{ResponseRecorder: httptest.NewRecorder()}
			n.server.Config.Handler.ServeHTTP(w, r)
			if w.user != tt.want {
				t.Errorf("user = %q after %d, want %q", w.user, w.Code, tt.want)
			}
		})
	}
}

// TestPanicKeepsTheSecret: the path of an environment's metadata is its
// credential, also while something goes wrong.
func TestPanicKeepsTheSecret(t *testing.T) {
	n := newNode(t)
	h := n.handler(t, slog.New(slog.NewTextHandler(&n.log, nil)), allowAll{})
	h.meta = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("oh") })
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/meta/v1/token/5ec3e7/data/", nil))
	if log := n.log.String(); w.Code != 500 || !strings.Contains(log, "path=/meta/v1/ ") || strings.Contains(log, "5ec3e7") {
		t.Errorf("got %d and the log %s, want 500 and a path without the token", w.Code, log)
	}
}

type failingAuth struct{ err error }

// Check implements Authenticator.
func (f failingAuth) Check(context.Context, string, string, string) (auth.Principal, error) {
	return auth.Principal{}, f.err
}

// HashPassword implements Authenticator.
func (f failingAuth) HashPassword(context.Context, string) (model.PasswordHash, error) {
	return model.PasswordHash{}, f.err
}

// brokenStore fails or panics where a test says so.
type brokenStore struct {
	Store
	err error
}

// CreateLabel implements Store.
func (b brokenStore) CreateLabel(context.Context, model.Label) (model.Label, error) {
	if b.err == nil {
		panic("broken")
	}
	return model.Label{}, b.err
}

func TestStoreFailures(t *testing.T) {
	n := newNode(t)
	tests := []struct {
		name   string
		err    error
		status int
		want   string
	}{
		{"disk full", fmt.Errorf("commit: %w: no space", store.ErrUnavailable), 500, "can not store anything now"},
		{"other", errors.New("secret detail"), 500, "Internal error, request id "},
		{"stopping", store.ErrClosed, 503, "The node is stopping"},
		{"panic", nil, 500, "Internal error, request id "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			log := &logBuffer{}
			a, err := New(Options{
				Node: testNode, Cluster: alone{uid: testNode}, LastSeen: time.Now, Auth: allowAll{}, Store: brokenStore{n.store, tt.err}, Election: n,
				Lifecycle: n, Ledger: n, AllocateTimeout: time.Hour, Drivers: testDrivers{}, Images: &fakeImages{}, Commands: &fakeCommands{},
				Maintenance: &n.maintenance, Audit: n.audit, Logger: slog.New(slog.NewTextHandler(log, nil)),
			})
			if err != nil {
				t.Fatal(err)
			}
			w := serve(t, a, http.MethodPost, "/api/v1/label/", `{"name":"x"}`)
			id := w.Header().Get("X-Request-Id")
			if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
				t.Errorf("got %d %s, want %d with %s", w.Code, w.Body, tt.status, tt.want)
			}
			if last := n.lastDeed(t, id); last.Action != "label.create" || last.Result != "failed" {
				t.Errorf("the audit has %+v, want a label.create that failed", last)
			}
			if strings.Contains(w.Body.String(), "secret detail") {
				t.Error("the answer shows the detail")
			}
			if tt.status == 500 && (!strings.Contains(w.Body.String(), id) || !strings.Contains(log.String(), id)) {
				t.Errorf("request id %s is not in the answer %s and the log %s", id, w.Body, log.String())
			}
		})
	}
}

// allowAll takes every caller for the admin.
type allowAll struct{ failingAuth }

// Check implements Authenticator.
func (allowAll) Check(context.Context, string, string, string) (auth.Principal, error) {
	return auth.Principal{Name: model.AdminName}, nil
}

func serve(t testing.TB, h http.Handler, method, path, text string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(text))
	r.SetBasicAuth("admin", "x")
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// listStore lists generated users and then fails.
type listStore struct {
	Store
	count int
	err   error
}

// ListUsers implements Store.
func (l listStore) ListUsers(context.Context, store.Query) iter.Seq2[model.User, error] {
	return func(yield func(model.User, error) bool) {
		for i := range l.count {
			if !yield(model.User{Name: fmt.Sprintf("user-%06d", i)}, nil) {
				return
			}
		}
		if l.err != nil {
			yield(model.User{}, l.err)
		}
	}
}

// noAudit takes down nothing.
type noAudit struct{ Audit }

// Login implements the only method that a list needs.
func (noAudit) Login(string, string, string, audit.Result) {}

func listServer(t *testing.T, l listStore) *httptest.Server {
	a, err := New(Options{
		Node: testNode, Cluster: alone{uid: testNode}, LastSeen: time.Now, Auth: allowAll{}, Store: l, Election: &node{}, Drivers: testDrivers{}, Images: &fakeImages{}, Commands: &fakeCommands{},
		Lifecycle: &node{}, Ledger: &node{}, AllocateTimeout: time.Hour,
		Maintenance: &recordedMaintenance{}, Audit: noAudit{}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	return server
}

func getList(t *testing.T, server *httptest.Server) (*http.Response, []byte, error) {
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/api/v1/user/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth("admin", "x")
	res, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	return res, b, err
}

func TestLongListIsStreamed(t *testing.T) {
	_, b, err := getList(t, listServer(t, listStore{count: 5000}))
	var users []apiv1.User
	if err := errors.Join(err, json.Unmarshal(b, &users)); err != nil {
		t.Fatalf("list of %d bytes: %v", len(b), err)
	}
	if len(users) != 5000 || users[4999].Name != "user-004999" {
		t.Errorf("%d users, the last %q", len(users), users[len(users)-1].Name)
	}
}

func TestListFailsBeforeItsFirstByte(t *testing.T) {
	res, b, err := getList(t, listServer(t, listStore{count: 3, err: errors.New("disk")}))
	if err != nil || res.StatusCode != http.StatusInternalServerError || !strings.HasPrefix(string(b), `{"message":"Internal error`) {
		t.Errorf("got %d %s, %v, want a whole 500", res.StatusCode, b, err)
	}
}

func TestListFailsInTheMiddle(t *testing.T) {
	_, b, err := getList(t, listServer(t, listStore{count: 5000, err: errors.New("disk")}))
	if err == nil {
		t.Errorf("a list that broke off looks whole: %d bytes", len(b))
	}
}

// FuzzBody sends every body to every route that takes one, as JSON and YAML:
// never a panic, never a 500, always JSON.
func FuzzBody(f *testing.F) {
	n := newNode(f)
	label := n.label(f, "linux")
	app := n.application(f, label, "admin").Application.UID
	log := &logBuffer{}
	a, err := New(Options{
		Node: testNode, Cluster: alone{uid: testNode}, LastSeen: time.Now, Auth: cheapAuth{}, Store: n.store, Election: n, Drivers: testDrivers{}, Images: &fakeImages{}, Commands: &fakeCommands{},
		Lifecycle: n, Ledger: n, AllocateTimeout: time.Hour,
		Maintenance: &n.maintenance, Audit: n.audit, Logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		``, `{}`, `[]`, `{"name":"x","version":1}`, `{"label_UID":"` + label.String() + `","metadata":[1]}`,
		`{"task":"snapshot","options":{"full":true}}`, `{"service":"s","redirect":"r"}`, "name: x\nmetadata: &a {b: *a}",
		`{"name":"x","definitions":[{"driver":"test","options":{"bad":1},"resources":{"cpu":1,"ram":1,"disks":{"":{"size":1}}}}]}`,
		`{"name":"x","password":"y","hash":{"salt":"!"}}`, `{"metadata":12345678901234567890}`, "\xff", `{"name":"\ud800\u0000"}`,
	} {
		f.Add(seed)
	}
	paths := []string{"user/", "label/", "application/", "application/" + app.String() + "/task/", "location/", "servicemapping/"}
	f.Fuzz(func(t *testing.T, text string) {
		for _, path := range paths {
			for _, contentType := range []string{"application/json", "application/yaml"} {
				r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/v1/"+path, strings.NewReader(text))
				r.SetBasicAuth("admin", "x")
				r.Header.Set("Content-Type", contentType)
				w := httptest.NewRecorder()
				a.ServeHTTP(w, r)
				if w.Code >= 500 || !json.Valid(w.Body.Bytes()) {
					t.Fatalf("POST %s %q as %s = %d %s\n%s", path, text, contentType, w.Code, w.Body, log.String())
				}
			}
		}
	})
}

// cheapAuth takes every caller for the admin and does not hash.
type cheapAuth struct{ allowAll }

// HashPassword implements Authenticator.
func (cheapAuth) HashPassword(context.Context, string) (model.PasswordHash, error) {
	return model.PasswordHash{Algo: "Argon2id"}, nil
}
