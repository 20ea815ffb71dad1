package meta

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/caller"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

var thisNode = model.UID{1}

// fakeStore holds entries and tells of every change.
type fakeStore struct {
	mu      sync.Mutex
	entries []*model.Entry
	changed chan struct{}
}

func newFakeStore(entries ...*model.Entry) *fakeStore {
	return &fakeStore{entries: entries, changed: make(chan struct{}, 1)}
}

func (s *fakeStore) Open() []*model.Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.entries)
}

func (s *fakeStore) Application(_ context.Context, uid model.UID) (*model.Entry, error) {
	for _, e := range s.Open() {
		if e.Application.UID == uid {
			return e, nil
		}
	}
	return nil, errors.New("no such application")
}

func (s *fakeStore) Update(ctx context.Context, uid model.UID,
	decide func(*model.Entry) (model.Change, error)) (*model.Entry, error) {
	old, err := s.Application(ctx, uid)
	if err != nil {
		return nil, err
	}
	change, err := decide(old)
	if err != nil {
		return nil, err
	}
	e := *old
	if change.Resource != nil {
		e.Resource = change.Resource
	}
	s.put(&e)
	return &e, nil
}

func (s *fakeStore) put(e *model.Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entries = slices.DeleteFunc(s.entries, func(o *model.Entry) bool { return o.Application.UID == e.Application.UID })
	s.entries = append(s.entries, e)
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

func (s *fakeStore) next(ctx context.Context) error {
	select {
	case <-s.changed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// entry makes an application with one grant in the given statuses.
func entry(id byte, driver, ip, mac string, statuses ...model.Status) *model.Entry {
	app := model.UID{id}
	e := &model.Entry{Application: model.Application{UID: app}}
	for i, s := range statuses {
		row := model.ApplicationState{UID: model.UID{id, byte(i)}, ApplicationUID: app, Status: s, HLC: model.HLC(i + 1)}
		if s != model.StatusNew && s != model.StatusDeallocate && s != model.StatusRecalled {
			row.Epoch = 1
		}
		e.States = append(e.States, row)
	}
	e.Fold = model.FoldStates(e.States)
	e.Allocations = []model.Allocation{{
		ApplicationUID: app, Epoch: 1, NodeUID: thisNode, MetaToken: token(id),
		Definition:    model.LabelDefinition{Driver: driver},
		LabelMetadata: json.RawMessage(`{"LABEL":"l"}`),
	}}
	if e.Fold.Status() == model.StatusAllocated {
		e.Resource = &model.Resource{
			UID: model.UID{id, 0xff}, ApplicationUID: app, NodeUID: thisNode, IPAddr: ip, HWAddr: mac,
			Metadata:  json.RawMessage(`{"APP":"app` + string('0'+rune(id)) + `","LABEL":"l"}`),
			CreatedAt: time.Unix(int64(id), 0),
		}
	}
	return e
}

func allocated(id byte, driver, ip, mac string) *model.Entry {
	return entry(id, driver, ip, mac, model.StatusNew, model.StatusElected, model.StatusAllocated)
}

func token(id byte) string { return strings.Repeat(string('a'+rune(id)), 32) }

// handler makes one on a host with a LAN and a bridge whose gateway it is.
func handler(t *testing.T, s *fakeStore, log *bytes.Buffer) *Handler {
	t.Helper()
	callers, err := caller.New(caller.Options{
		Node: thisNode, Store: s, NextChange: s.next,
		Networks: func(string) []netip.Prefix {
			return []netip.Prefix{netip.MustParsePrefix("172.20.0.0/24"), netip.MustParsePrefix("192.168.7.0/24")}
		},
		Interfaces: func() ([]netip.Prefix, error) {
			return []netip.Prefix{
				netip.MustParsePrefix("127.0.0.1/8"), netip.MustParsePrefix("10.0.0.5/24"),
				netip.MustParsePrefix("172.20.0.1/24"), netip.MustParsePrefix("192.168.7.9/24"),
			}, nil
		},
		Neighbors: func(context.Context) (map[netip.Addr]string, error) {
			table := make(map[netip.Addr]string)
			for _, a := range []string{"172.20.0.66", "192.168.7.66", "10.0.0.66"} {
				table[netip.MustParseAddr(a)] = "02:00:5e:00:01:0a"
			}
			return table, nil
		},
		Logger: slog.New(slog.NewTextHandler(log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	h, err := New(Options{
		Callers: callers, Proxy: func() (netip.AddrPort, bool) { return netip.AddrPort{}, false }, Logger: callers.Logger,
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// callersOf are those of a handler that was made here.
func callersOf(h *Handler) *caller.Finder { return h.Callers.(*caller.Finder) }

func get(h http.Handler, from, path string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.RemoteAddr = from
	r.Header.Set("X-Forwarded-For", "127.0.0.1")
	r.Header.Set("X-Real-Ip", "172.20.0.2")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestCallerByAddress(t *testing.T) {
	const refused = `{"message":"Client IP was not found in the node Resources"}` + "\n"
	tests := []struct {
		name    string
		entries []*model.Entry
		from    string
		want    string
	}{
		{"docker by address", []*model.Entry{allocated(1, "docker", "172.20.0.2", "")}, "172.20.0.2:99", `{"APP":"app1","LABEL":"l"}`},
		{"mapped v4", []*model.Entry{allocated(1, "docker", "172.20.0.2", "")}, "[::ffff:172.20.0.2]:99", `{"APP":"app1","LABEL":"l"}`},
		{"nobody's address", []*model.Entry{allocated(1, "docker", "172.20.0.2", "")}, "172.20.0.3:99", refused},
		{"not a declared network", []*model.Entry{allocated(1, "aws", "8.8.8.8", "")}, "8.8.8.8:99", refused},
		{"another host with forged headers", []*model.Entry{allocated(1, "test", "127.0.0.1", "")}, "10.0.0.7:99", refused},
		{"two match", []*model.Entry{allocated(1, "docker", "172.20.0.2", ""), allocated(2, "vmx", "172.20.0.2", "")}, "172.20.0.2:99", refused},
		{"not yet allocated", []*model.Entry{entry(1, "docker", "172.20.0.2", "", model.StatusNew, model.StatusElected)}, "172.20.0.2:99", refused},
		{"no more allocated", []*model.Entry{entry(1, "docker", "172.20.0.2", "", model.StatusNew, model.StatusElected, model.StatusAllocated, model.StatusDeallocate)}, "172.20.0.2:99", refused},
		{"test driver, the newest", []*model.Entry{allocated(1, "test/a", "127.0.0.1", ""), allocated(3, "test", "127.0.0.1", ""), allocated(2, "test", "127.0.0.1", "")}, "127.0.0.1:99", `{"APP":"app3","LABEL":"l"}`},
		{"test driver over v6", []*model.Entry{allocated(1, "test", "127.0.0.1", "")}, "[::1]:99", `{"APP":"app1","LABEL":"l"}`},
		{"native on loopback needs its token", []*model.Entry{allocated(1, "native", "127.0.0.1", "")}, "127.0.0.1:99", refused},
		{"native beside test is not confused", []*model.Entry{allocated(2, "native", "127.0.0.1", ""), allocated(1, "test", "127.0.0.1", "")}, "127.0.0.1:99", `{"APP":"app1","LABEL":"l"}`},
		{"a driver named like test", []*model.Entry{allocated(1, "testing", "127.0.0.1", "")}, "127.0.0.1:99", refused},
		{"host's own bridge address", []*model.Entry{allocated(1, "docker", "172.20.0.1", "")}, "172.20.0.1:99", refused},
		{"by hardware address", []*model.Entry{allocated(1, "vmx", "", "2:0:5E:0:1:a")}, "172.20.0.66:99", `{"APP":"app1","LABEL":"l"}`},
		{"hardware address of nobody", []*model.Entry{allocated(1, "vmx", "", "02:00:5e:00:01:0b")}, "172.20.0.66:99", refused},
		{"hardware address twice", []*model.Entry{allocated(1, "vmx", "", "02:00:5e:00:01:0a"), allocated(2, "vmx", "", "02:00:5e:00:01:0a")}, "172.20.0.66:99", refused},
		{"host is no gateway there", []*model.Entry{allocated(1, "vmx", "", "02:00:5e:00:01:0a")}, "192.168.7.66:99", refused},
		{"hardware address outside", []*model.Entry{allocated(1, "vmx", "", "02:00:5e:00:01:0a")}, "10.0.0.66:99", refused},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := handler(t, newFakeStore(tt.entries...), &bytes.Buffer{})
			w := get(h, tt.from, "/meta/v1/data/")
			wantCode := http.StatusOK
			if tt.want == refused {
				wantCode = http.StatusUnauthorized
			}
			if w.Code != wantCode || w.Body.String() != tt.want {
				t.Errorf("got %d %s, want %d %s", w.Code, w.Body, wantCode, tt.want)
			}
		})
	}
}

func TestOtherNodesResourcesAreNotOurs(t *testing.T) {
	e := allocated(1, "docker", "172.20.0.2", "")
	e.Resource.NodeUID = model.UID{9}
	if w := get(handler(t, newFakeStore(e), &bytes.Buffer{}), "172.20.0.2:9", "/meta/v1/data/"); w.Code != http.StatusUnauthorized {
		t.Errorf("got %d, want 401", w.Code)
	}
}

func TestLearnsAddress(t *testing.T) {
	s := newFakeStore(allocated(1, "vmx", "", "02:00:5e:00:01:0a"))
	h := handler(t, s, &bytes.Buffer{})
	if w := get(h, "172.20.0.66:99", "/meta/v1/data/"); w.Code != http.StatusOK {
		t.Fatalf("got %d %s", w.Code, w.Body)
	}
	if got := s.Open()[0].Resource.IPAddr; got != "172.20.0.66" {
		t.Errorf("the resource's address is %q, want 172.20.0.66", got)
	}
}

func TestRoutesAndFormats(t *testing.T) {
	s := newFakeStore(allocated(1, "docker", "172.20.0.2", ""))
	tests := []struct {
		method, path string
		code         int
		contentType  string
		body         string
	}{
		{"GET", "/meta/v1/data/", 200, "application/json; charset=UTF-8", `{"APP":"app1","LABEL":"l"}`},
		{"GET", "/meta/v1/data/?format=json&prefix=x", 200, "application/json; charset=UTF-8", `{"APP":"app1","LABEL":"l"}`},
		{"GET", "/meta/v1/data/?format=env&prefix=data", 200, "text/plain; charset=UTF-8", "data_APP=app1\ndata_LABEL=l\n"},
		{"GET", "/meta/v1/data/?format=export", 200, "text/plain; charset=UTF-8", "export APP=app1\nexport LABEL=l\n"},
		{"GET", "/meta/v1/data/?format=ps1", 200, "text/plain; charset=UTF-8", "$APP='app1'\n$LABEL='l'\n"},
		{"GET", "/meta/v1/data/?format=xml", 400, "application/json; charset=UTF-8", `{"message":"format \"xml\" is not known: use json, env, export or ps1"}` + "\n"},
		{"GET", "/meta/v1/data/?format=env&format=ps1", 400, "application/json; charset=UTF-8", `{"message":"parameter format: give it once"}` + "\n"},
		{"GET", "/meta/v1/data/?prefix=%zz", 400, "application/json; charset=UTF-8", `{"message":"the query is not valid: escape it as in a URL"}` + "\n"},
		{"GET", "/meta/v1/data/APP", 404, "application/json; charset=UTF-8", `{"message":"TODO: Not implemented"}` + "\n"},
		{"GET", "/meta/v1/token/" + token(1) + "/data/APP", 404, "application/json; charset=UTF-8", `{"message":"TODO: Not implemented"}` + "\n"},
		{"GET", "/meta/v1/data", 404, "application/json; charset=UTF-8", `{"message":"Not Found"}` + "\n"},
		{"GET", "/meta/v1/data/a/b", 404, "application/json; charset=UTF-8", `{"message":"Not Found"}` + "\n"},
		{"GET", "/meta/v1/token/" + token(1), 404, "application/json; charset=UTF-8", `{"message":"Not Found"}` + "\n"},
		{"GET", "/meta/v2/data/", 404, "application/json; charset=UTF-8", `{"message":"Not Found"}` + "\n"},
		{"POST", "/meta/v1/data/", 404, "application/json; charset=UTF-8", `{"message":"Not Found"}` + "\n"},
	}
	h := handler(t, s, &bytes.Buffer{})
	for _, tt := range tests {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			r := httptest.NewRequest(tt.method, tt.path, nil)
			r.RemoteAddr = "172.20.0.2:5"
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != tt.code || w.Body.String() != tt.body || w.Header().Get("Content-Type") != tt.contentType {
				t.Errorf("got %d %q %q, want %d %q %q", w.Code, w.Header().Get("Content-Type"), w.Body, tt.code, tt.contentType, tt.body)
			}
		})
	}
}

func TestToken(t *testing.T) {
	released := allocated(4, "native", "127.0.0.1", "")
	released.Allocations[0].ReleasedAt = time.Unix(9, 0)
	s := newFakeStore(
		allocated(1, "native", "127.0.0.1", ""), allocated(2, "native", "127.0.0.1", ""),
		entry(3, "native", "", "", model.StatusNew, model.StatusElected, model.StatusRecalled), released,
		entry(5, "native", "", "", model.StatusNew, model.StatusElected, model.StatusAllocated, model.StatusDeallocate),
	)
	adopted := allocated(6, "native", "127.0.0.1", "")
	adopted.Allocations[0].MetaToken = ""
	s.entries = append(s.entries, adopted)
	h := handler(t, s, &bytes.Buffer{})
	tests := []struct {
		name, from, token string
		want              string // empty: refused
	}{
		{"own", "127.0.0.1:5", token(1), `{"APP":"app1","LABEL":"l"}`},
		{"the other", "127.0.0.1:5", token(2), `{"APP":"app2","LABEL":"l"}`},
		{"over v6", "[::1]:5", token(1), `{"APP":"app1","LABEL":"l"}`},
		{"from the host's LAN address", "10.0.0.5:5", token(1), `{"APP":"app1","LABEL":"l"}`},
		{"from another host", "10.0.0.6:5", token(1), ""},
		{"recalled", "127.0.0.1:5", token(3), ""},
		{"released", "127.0.0.1:5", token(4), ""},
		{"deallocating", "127.0.0.1:5", token(5), ""},
		{"empty", "127.0.0.1:5", "", ""},
		{"short", "127.0.0.1:5", token(1)[1:], ""},
		{"wrong", "127.0.0.1:5", strings.Repeat("0", 32), ""},
		{"upper case", "127.0.0.1:5", strings.ToUpper(token(1)), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := get(h, tt.from, TokenPath(tt.token))
			switch {
			case tt.want == "" && w.Code != http.StatusUnauthorized:
				t.Errorf("got %d %s, want 401", w.Code, w.Body)
			case tt.want != "" && w.Body.String() != tt.want:
				t.Errorf("got %d %s, want %s", w.Code, w.Body, tt.want)
			}
		})
	}
}

// ask requests the metadata of token 1 in the background.
func ask(h *Handler) <-chan *httptest.ResponseRecorder {
	answer := make(chan *httptest.ResponseRecorder, 1)
	go func() { answer <- get(h, "127.0.0.1:5", TokenPath(token(1))) }()
	return answer
}

func TestTokenWaits(t *testing.T) {
	elected := func() *model.Entry { return entry(1, "native", "", "", model.StatusNew, model.StatusElected) }
	failed := elected()
	failed.Allocations[0].Failure = "disk full"
	tests := []struct {
		name  string
		then  *model.Entry // after 3 s, nil: nothing happens
		code  int
		after time.Duration
	}{
		{"until ALLOCATED", allocated(1, "native", "127.0.0.1", ""), 200, 3 * time.Second},
		{"until recalled", entry(1, "native", "", "", model.StatusNew, model.StatusElected, model.StatusRecalled), 401, 3 * time.Second},
		{"until the making failed", failed, 401, 3 * time.Second},
		{"through what changes nothing", elected(), 401, caller.SecretWait},
		{"no longer than that", nil, 401, caller.SecretWait},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newFakeStore(elected())
				h := handler(t, s, &bytes.Buffer{})
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- callersOf(h).Run(ctx) }()
				start := time.Now()
				answer := ask(h)
				time.Sleep(3 * time.Second)
				if tt.then != nil {
					s.put(tt.then)
				}
				w := <-answer
				if got := time.Since(start); w.Code != tt.code || got != tt.after {
					t.Errorf("got %d after %v, want %d after %v", w.Code, got, tt.code, tt.after)
				}
				cancel()
				if err := <-done; err != nil {
					t.Errorf("Run: %v", err)
				}
			})
		})
	}
}

func TestWaitersAreBoundedAndLeaveAtStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := handler(t, newFakeStore(entry(1, "native", "", "", model.StatusNew, model.StatusElected)), &bytes.Buffer{})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- callersOf(h).Run(ctx) }()
		var answers []<-chan *httptest.ResponseRecorder
		for range caller.MaxWaiting {
			answers = append(answers, ask(h))
		}
		synctest.Wait()
		if w := <-ask(h); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
			t.Errorf("one too many got %d, want 503 with Retry-After", w.Code)
		}
		start := time.Now()
		cancel()
		for _, a := range append(answers, ask(h)) {
			if w := <-a; w.Code != http.StatusServiceUnavailable {
				t.Errorf("at stop a waiter got %d, want 503", w.Code)
			}
		}
		if time.Since(start) != 0 {
			t.Errorf("stop took %v", time.Since(start))
		}
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func TestLogHoldsNoValueAndDoesNotRepeat(t *testing.T) {
	e := allocated(1, "docker", "172.20.0.2", "")
	e.Resource.Metadata = json.RawMessage(`{"a-b":"secret1","ab":"secret2"}`)
	var log bytes.Buffer
	h := handler(t, newFakeStore(e), &log)
	for range 3 {
		get(h, "172.20.0.2:1", "/meta/v1/data/?format=env")
	}
	if got := strings.Count(log.String(), "metadata key left out"); got != 1 {
		t.Errorf("logged %d times, want once:\n%s", got, log.String())
	}
	if strings.Contains(log.String(), "secret") {
		t.Errorf("a value is in the log:\n%s", log.String())
	}
}

func TestFailuresOfTheHost(t *testing.T) {
	s := newFakeStore(allocated(1, "vmx", "", "02:00:5e:00:01:0a"))
	var log bytes.Buffer
	h := handler(t, s, &log)
	callersOf(h).Neighbors = func(context.Context) (map[netip.Addr]string, error) { return nil, errors.New("no arp here") }
	if w := get(h, "172.20.0.66:1", "/meta/v1/data/"); w.Code != http.StatusUnauthorized {
		t.Errorf("without ARP: %d, want 401", w.Code)
	}
	callersOf(h).Interfaces = func() ([]netip.Prefix, error) { return nil, errors.New("netlink is gone") }
	w := get(h, "172.20.0.66:1", "/meta/v1/data/")
	if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "netlink") {
		t.Errorf("without interfaces: %d %s, want 500 without detail", w.Code, w.Body)
	}
	if !strings.Contains(log.String(), "netlink is gone") {
		t.Errorf("the detail is not in the log:\n%s", log.String())
	}
}

func TestRedactURI(t *testing.T) {
	escaped := strings.Replace(TokenPath(token(1)), "token", "%74oken", 1)
	for in, want := range map[string]string{
		TokenPath(token(1)):                 "/meta/v1/token/***/data/",
		escaped:                             "/meta/v1/token/***/data/",
		TokenPath(token(1)) + "?format=env": "/meta/v1/token/***/data/?format=env",
		"/meta/v1/token/secret":             "/meta/v1/token/***/",
		"/meta/v1/data/?format=env":         "/meta/v1/data/?format=env",
		"/" + TokenPath(token(1)):           "//meta/v1/token/***/data/",
		"/meta/v1//token/" + token(1):       "/meta/v1//token/***",
		"/META/v1/token/" + strings.ToUpper(token(1)) + "/data/": "/META/v1/token/***/data/",
		TokenPath(token(1)) + token(2):                           "/meta/v1/token/***/data/***",
		"/meta/v1/data/?token=" + token(1) + "&prefix=abc":       "/meta/v1/data/?token=***&prefix=abc",
		"https://me:hidden@fish/api/v1/user/me/?pretty":          "/api/v1/user/me/?pretty",
		"https://fish" + TokenPath(token(1)):                     "/meta/v1/token/***/data/",
		"/api/v1/label/?filter=name%3D%22x%22":                   "/api/v1/label/?filter=name%3D%22x%22",
	} {
		if got := RedactURI(httptest.NewRequest(http.MethodGet, in, nil)); got != want {
			t.Errorf("RedactURI(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestNewChecksOptions(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("New without a store: no error")
	}
}
