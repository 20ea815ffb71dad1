//go:build linux

package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/moby/moby/client"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// slowEngine is as much of an engine as one environment needs, in memory and in
// a test's own time.
type slowEngine struct {
	create, start, blocked time.Duration // how long that takes; how long a name is taken by nobody
	shows                  bool          // also what is just being started, which engines lock
	half                   time.Duration // how long its containerd is away

	began time.Time
	calls inMemory
	busy  chan struct{} // the container's lock: a mutex would stop a test's time

	mu      sync.Mutex
	name    string
	labels  map[string]string
	state   string // of the container; "": there is none
	created int
	removed int
	looked  int // at networks
}

// RoundTrip implements http.RoundTripper.
func (e *slowEngine) RoundTrip(q *http.Request) (*http.Response, error) {
	return e.calls.call(q, e.answer)
}

// CloseIdleConnections is of a transport.
func (*slowEngine) CloseIdleConnections() {}

func (e *slowEngine) answer(w http.ResponseWriter, q *http.Request) {
	_, path, _ := strings.Cut(strings.TrimPrefix(q.URL.Path, "/"), "/")
	switch what := q.Method + " " + path; {
	case strings.HasPrefix(what, "GET networks/"):
		e.mu.Lock()
		e.looked++
		e.mu.Unlock()
		_, _ = fmt.Fprintf(w, `{"Id":"n1","Name":"aquarium-hostonly","Driver":"bridge","Internal":true}`)
	case what == "GET containers/json":
		e.list(w)
	case what == "POST containers/create":
		e.make(w, q)
	case what == "POST containers/c1/start":
		e.run(w)
	case what == "DELETE containers/c1":
		e.busy <- struct{}{}
		defer func() { <-e.busy }()
		e.set("")
		e.mu.Lock()
		e.removed++
		e.mu.Unlock()
		w.WriteHeader(http.StatusNoContent)
	case strings.HasPrefix(what, "GET containers/"):
		e.show(w)
	}
}

func (e *slowEngine) set(state string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.state = state
}

func (e *slowEngine) container() (state, text string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	labels, _ := json.Marshal(e.labels)
	return e.state, fmt.Sprintf(`{"Id":"c1","Name":"/%[1]s","Names":["/%[1]s"],"Labels":%[2]s,"Config":{"Labels":%[2]s},"State":`, e.name, labels)
}

func (e *slowEngine) list(w http.ResponseWriter) {
	state, text := e.container()
	if state == "" {
		_, _ = fmt.Fprint(w, "[]")
		return
	}
	_, _ = fmt.Fprintf(w, "[%s%q}]", text, state)
}

func (e *slowEngine) show(w http.ResponseWriter) {
	if !e.shows {
		e.busy <- struct{}{}
		defer func() { <-e.busy }()
	}
	state, text := e.container()
	if state == "" {
		http.Error(w, `{"message":"no such container"}`, http.StatusNotFound)
		return
	}
	_, _ = fmt.Fprintf(w, `%s{"Status":%q}}`, text, state)
}

func (e *slowEngine) make(w http.ResponseWriter, q *http.Request) {
	var body struct{ Labels map[string]string }
	err := json.NewDecoder(q.Body).Decode(&body)
	e.mu.Lock()
	taken := e.name != "" && e.removed < e.created || time.Since(e.began) < e.blocked
	if err == nil && !taken {
		e.name, e.labels = q.URL.Query().Get("name"), body.Labels
		e.created++
	}
	e.mu.Unlock()
	if err != nil || taken {
		http.Error(w, `{"message":"the name is already in use"}`, http.StatusConflict)
		return
	}
	time.Sleep(e.create)
	e.set("created")
	w.WriteHeader(http.StatusCreated)
	_, _ = fmt.Fprint(w, `{"Id":"c1"}`)
}

func (e *slowEngine) run(w http.ResponseWriter) {
	e.busy <- struct{}{}
	defer func() { <-e.busy }()
	time.Sleep(e.start)
	if time.Since(e.began) < e.half {
		http.Error(w, `{"message":"ttrpc: closed: unknown"}`, http.StatusInternalServerError)
		return
	}
	e.set("running")
	w.WriteHeader(http.StatusNoContent)
}

func (e *slowEngine) alive(context.Context) error {
	if time.Since(e.began) < e.half {
		return errContainerd
	}
	return nil
}

// making is one environment's on the engine.
func (e *slowEngine) making(t *testing.T, token string) *making {
	t.Helper()
	if e.busy == nil {
		e.began, e.busy = time.Now(), make(chan struct{}, 1)
	}
	unsure := make(doubts, 1)
	cli, err := client.New(client.WithHost("tcp://engine"), client.WithHTTPClient(&http.Client{Transport: doubting{e, unsure}}))
	if err != nil {
		t.Fatal(err)
	}
	disks, err := openDisks(settings{IsRemote: true}, owner{}, nil, nil, discard())
	if err != nil {
		t.Fatal(err)
	}
	o := owner{Node: node.String(), Instance: "docker"}
	ctx, cancel := context.WithCancel(t.Context())
	d := &driver{
		log: discard(), settings: settings{IsRemote: true}, engine: cli, owner: o, disks: disks,
		health: newHealth("", e.alive, unsure, nil, discard()), ctx: ctx, cancel: cancel,
	}
	d.networks = newNetworks(cli, "id", o, d.uncut, discard())
	go d.health.run(ctx)
	t.Cleanup(func() {
		cancel()
		<-d.health.ended
		e.calls.Wait()
	})
	req := request(model.LabelDefinition{})
	if token != "" {
		req.Token = token
	}
	return &making{driver: d, plan: plan{req: req, image: "sha256:1", network: networkPrefix + hostOnly}}
}

// TestSlowEngine: what takes an engine more than a minute is waited for, and not
// begun anew again and again until allocate_timeout.
func TestSlowEngine(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		engine *slowEngine
		want   time.Duration
	}{
		{"start", &slowEngine{start: 100 * time.Second}, 100 * time.Second},
		{"start that shows", &slowEngine{start: 100 * time.Second, shows: true}, 100 * time.Second},
		{"create", &slowEngine{create: 100 * time.Second}, 100 * time.Second},
		{"create of a process that was killed", &slowEngine{blocked: 40 * time.Second}, 40 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute)
				defer cancel()
				m := tt.engine.making(t, "")
				_, err := m.run(ctx)
				if took := time.Since(tt.engine.began); err != nil || took < tt.want || took > tt.want+3*time.Second {
					t.Errorf("run() = %v after %v, want nil after %v", err, took, tt.want)
				}
				if tt.engine.created != 1 || tt.engine.removed != 0 {
					t.Errorf("%d containers were made and %d removed, want one and none", tt.engine.created, tt.engine.removed)
				}
			})
		})
	}
}

// TestStartOfAProcessThatWasKilled: the engine finishes it, and its successor
// takes what it finds.
func TestStartOfAProcessThatWasKilled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &slowEngine{start: 100 * time.Second}
		first := e.making(t, "")
		ctx, kill := context.WithTimeout(t.Context(), 10*time.Second)
		defer kill()
		context.AfterFunc(ctx, first.cancel)
		if _, err := first.run(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("run() of a process that ends = %v", err)
		}
		_, err := e.making(t, first.plan.req.Token).run(t.Context())
		if took := time.Since(e.began); err != nil || took > 105*time.Second || e.created != 1 || e.removed != 0 {
			t.Errorf("run() = %v after %v, %d containers were made and %d removed, want one", err, took, e.created, e.removed)
		}
	})
}

// TestHalfAnEngineIsWaitedFor: an engine without its containerd fails starts in
// words that nobody foresaw.
func TestHalfAnEngineIsWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &slowEngine{half: 30 * time.Second}
		m := e.making(t, "")
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute)
		defer cancel()
		if _, err := m.run(ctx); err != nil || time.Since(e.began) > e.half+5*time.Second {
			t.Errorf("run() = %v after %v, want nil after %v", err, time.Since(e.began), e.half)
		}
	})
}

// TestNoNetworkForNobody: once nobody waits for an environment no network is
// asked for, which nothing would be on.
func TestNoNetworkForNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &slowEngine{}
		m := e.making(t, "")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := m.fresh(ctx); !errors.Is(err, context.Canceled) || e.looked != 0 {
			t.Errorf("fresh() = %v and looked %d times at networks, want %v and none", err, e.looked, context.Canceled)
		}
	})
}
