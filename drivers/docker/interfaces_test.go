package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/moby/moby/client"
)

// bridges are the networks of an engine in memory. A network shows when it is
// made, its name and its interface are taken when that begins.
type bridges struct {
	create time.Duration
	kept   int // so many interfaces, for networks that it shows to nobody

	calls inMemory
	mu    sync.Mutex
	tried map[string]int // interfaces, by when they were asked for first
	names map[string]string
	shown map[string]bool
}

// inMemory are the calls of an engine in a test's own time. It goes on with those
// that nobody waits for any more, as engines do.
type inMemory struct{ sync.WaitGroup }

func (m *inMemory) call(q *http.Request, answer http.HandlerFunc) (*http.Response, error) {
	answered := make(chan *http.Response, 1)
	m.Go(func() {
		w := httptest.NewRecorder()
		w.Header().Set("Api-Version", "1.41")
		answer(w, q)
		answered <- w.Result()
	})
	select {
	case resp := <-answered:
		return resp, nil
	case <-q.Context().Done():
		return nil, q.Context().Err()
	}
}

// RoundTrip implements http.RoundTripper.
func (b *bridges) RoundTrip(q *http.Request) (*http.Response, error) {
	return b.calls.call(q, b.answer)
}

// CloseIdleConnections is of a transport.
func (*bridges) CloseIdleConnections() {}

func (b *bridges) answer(w http.ResponseWriter, q *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, name, _ := strings.Cut(q.URL.Path, "/networks/")
	switch {
	case name == "create":
		b.make(w, q)
	case b.shown[name]:
		_, _ = fmt.Fprintf(w, `{"Id":%q,"Name":%q,"Driver":"bridge","Internal":true}`, b.names[name], name)
	case strings.HasSuffix(q.URL.Path, "/networks"):
		_, _ = fmt.Fprint(w, "[]")
	case name != "":
		http.Error(w, `{"message":"no such network"}`, http.StatusNotFound)
	}
}

// make is called with b.mu held.
func (b *bridges) make(w http.ResponseWriter, q *http.Request) {
	var body struct {
		Name    string
		Options map[string]string
	}
	if err := json.NewDecoder(q.Body).Decode(&body); err != nil {
		http.Error(w, `{"message":"no JSON"}`, http.StatusBadRequest)
		return
	}
	iface := body.Options["com.docker.network.bridge.name"]
	if b.names[body.Name] != "" {
		http.Error(w, fmt.Sprintf(`{"message":"network with name %s already exists"}`, body.Name), http.StatusConflict)
		return
	}
	if b.tried[iface] == 0 {
		b.tried[iface] = len(b.tried) + 1
	}
	if b.tried[iface] <= b.kept {
		http.Error(w, fmt.Sprintf(`{"message":"cannot create network n (%[1]s): conflicts with network x-%[1]s (%[1]s): networks have same bridge name"}`, iface),
			http.StatusForbidden)
		return
	}
	b.names[body.Name] = "n-" + iface
	b.mu.Unlock()
	time.Sleep(b.create)
	b.mu.Lock()
	b.shown[body.Name] = true
	w.WriteHeader(http.StatusCreated)
	_, _ = fmt.Fprintf(w, `{"Id":%q}`, b.names[body.Name])
}

// of is how an instance sees them.
func (b *bridges) of(t *testing.T) *networks {
	t.Helper()
	if b.names == nil {
		b.tried, b.names, b.shown = map[string]int{}, map[string]string{}, map[string]bool{}
	}
	cli, err := client.New(client.WithHost("tcp://engine"), client.WithHTTPClient(&http.Client{Transport: doubting{b, make(doubts, 1)}}))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(func() { cancel(); b.calls.Wait() })
	d := &driver{ctx: ctx, cancel: cancel}
	return newNetworks(cli, "id", owner{}, d.uncut, discard())
}

// TestHiddenNetworkOfTwo: both nodes learn at once that an interface is kept, and
// the one that is second finds what the first makes with the next.
func TestHiddenNetworkOfTwo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &bridges{create: time.Second, kept: 1}
		var all sync.WaitGroup
		for _, n := range []*networks{b.of(t), b.of(t)} {
			all.Go(func() {
				if got, _, err := n.use(t.Context(), networkPrefix+hostOnly); err != nil || got.id != "n-"+n.bridgeName(networkPrefix+hostOnly, 1) {
					t.Errorf("use() = %+v, %v, want the network with the second interface", got, err)
				}
			})
		}
		all.Wait()
	})
}

// TestAllInterfacesKept: that is told, and not waited for by everybody anew.
func TestAllInterfacesKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &bridges{kept: interfaces}
		n := b.of(t)
		for _, longest := range []time.Duration{mostPatience, 0} {
			begin := time.Now()
			_, _, err := n.use(t.Context(), networkPrefix+hostOnly)
			if !errors.Is(err, errNoInterface) || time.Since(begin) > longest {
				t.Errorf("use() = %v after %v, want %v within %v", err, time.Since(begin), errNoInterface, longest)
			}
		}
	})
}

// TestSlowNetwork: what an engine was asked for is seen to its end; who only waits
// for it waits no longer than somebody does for him.
func TestSlowNetwork(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := (&bridges{create: 50 * time.Second}).of(t)
		begin := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		var all sync.WaitGroup
		all.Go(func() {
			_, _, err := n.use(ctx, networkPrefix+hostOnly)
			if took := time.Since(begin); err == nil || took != 50*time.Second {
				t.Errorf("use() = %v after %v, want that what was begun is seen to its end", err, took)
			}
		})
		all.Go(func() {
			time.Sleep(time.Second)
			_, _, err := n.use(ctx, networkPrefix+hostOnly)
			if took := time.Since(begin); !errors.Is(err, context.DeadlineExceeded) || took != 10*time.Second {
				t.Errorf("use() for nobody = %v after %v, want %v at once", err, took, context.DeadlineExceeded)
			}
		})
		all.Wait()
	})
}
