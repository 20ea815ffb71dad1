package farm

import (
	"context"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// TestLoadOnOneNode: one node is who creates, reads and releases. Nothing is
// false, and what the load saw is what the drivers wrote down; also while the
// node is killed.
func TestLoadOnOneNode(t *testing.T) {
	t.Parallel()
	f := Start(t, Options{Topology: Full(1)})
	f.Together(10 * time.Second)
	admin := f.Admin(0)
	label := admin.CreateLabel(fish.TestLabel("linux", `{}`))
	sampling, stop := context.WithCancel(t.Context())
	var samples *Samples
	var sampler sync.WaitGroup
	sampler.Go(func() { samples = f.Sample(sampling, 50*time.Millisecond) })
	options := LoadOptions{
		Create: []fish.Client{admin}, Read: []fish.Client{admin}, Release: []fish.Client{admin},
		Label: label, Rate: 50, For: 2 * time.Second, RecallEvery: 10,
	}
	calm := RunLoad(t.Context(), options)
	t.Log(calm)
	if len(calm.False)+len(calm.Lost)+len(calm.Failed)+calm.Refused+calm.Unsure+calm.Unavailable+calm.Broken > 0 {
		t.Errorf("false %v, lost %v, failed %v", calm.False, calm.Lost, calm.Failed)
	}
	if calm.Created < 50 || calm.Ended != calm.Created || calm.Recalled < 5 || len(calm.Seen) == 0 {
		t.Errorf("%v: want some 100 created, all of them ended", calm)
	}

	var hostile *LoadResult
	var loading sync.WaitGroup
	loading.Go(func() { hostile = RunLoad(t.Context(), options) })
	f.Members[0].KillLoop(2, func() time.Duration { return 300 * time.Millisecond })
	loading.Wait()
	t.Log(hostile)
	if len(hostile.False)+len(hostile.Lost)+len(hostile.Failed) > 0 {
		t.Errorf("with kills: false %v, lost %v, failed %v", hostile.False, hostile.Lost, hostile.Failed)
	}
	if hostile.Refused == 0 {
		t.Error("nobody noticed that the node was killed")
	}
	known := &LoadResult{known: hostile.known}
	for app := range calm.known {
		known.known[app] = true
	}
	t.Logf("%d came to be without an answer", known.ReleaseUnsure(admin))
	f.Verify(20 * time.Second)
	if got := f.Ledger().Judge().Applications; got < calm.Created-calm.Recalled {
		t.Errorf("%d applications were executed, want at least %d", got, calm.Created-calm.Recalled)
	}
	stop()
	sampler.Wait()
	if len(samples.Memory[0]) < 9 || len(samples.Database[0]) < 9 {
		t.Fatalf("%d samples", len(samples.Memory[0]))
	}
	last := len(samples.Memory[0]) - 1
	if memory, size := samples.Memory[0][last], samples.Database[0][last]; memory < 5<<20 || size < 10<<10 {
		t.Errorf("the node takes %d bytes of memory and %d of disk", memory, size)
	}
}

// liar is an API that answers what no node may.
type liar struct {
	created atomic.Int64
	states  []string // one after the other for each application, the last for ever; "" is a 404, a number that status
	no      string   // a path's ending that is answered by 404

	mu    sync.Mutex
	asked map[string]int // guarded by mu
}

func (l *liar) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	part := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case r.Method == http.MethodPost:
		fmt.Fprintf(w, `{"UID":"app-%d"}`, l.created.Add(1))
	case l.no != "" && part[len(part)-1] == l.no:
		http.Error(w, "{}", http.StatusNotFound)
	case part[len(part)-1] == "resource":
		fmt.Fprint(w, `{"identifier":"i"}`)
	case part[len(part)-1] == "deallocate":
		fmt.Fprint(w, `{}`)
	default:
		l.mu.Lock()
		at := min(l.asked[part[3]], len(l.states)-1)
		l.asked[part[3]]++
		l.mu.Unlock()
		if status, err := strconv.Atoi(l.states[at]); err == nil {
			w.WriteHeader(status)
			return
		}
		if l.states[at] == "" {
			http.Error(w, `{"message":"application not found"}`, http.StatusNotFound)
			return
		}
		fmt.Fprintf(w, `{"status":%q,"application_UID":%q}`, l.states[at], part[3])
	}
}

// TestLoadFindsLies runs the load against answers that must never be.
func TestLoadFindsLies(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name               string
		no                 string
		states             string // separated by commas
		falsehood          string // in each false answer; "": there are none
		lost, failed, ends bool
	}{
		{"all is well", "", "NEW,ELECTED,ALLOCATED,DEALLOCATE,DEALLOCATED", "", false, false, true},
		{"declined, then all is well", "", "ELECTED,NEW,ELECTED,ALLOCATED,DEALLOCATED", "", false, false, true},
		{"not known at once", "", ",NEW,ALLOCATED,DEALLOCATED", "404", false, false, true},
		{"not known in between", "", "NEW,,ALLOCATED,DEALLOCATED", "404", false, false, true},
		{"back to the queue", "", "ALLOCATED,NEW,DEALLOCATED", "back: ", false, false, true},
		{"does not know for a while", "", "503,ALLOCATED,503,DEALLOCATED", "", false, false, true},
		{"breaks for a while", "", "500,ALLOCATED,500,DEALLOCATED", "", false, false, true},
		{"never runs", "", "NEW", "", true, false, false},
		{"never ends", "", "ALLOCATED", "", true, false, false},
		{"ends in an error", "", "ELECTED,ERROR", "", false, true, true},
		{"ends by itself", "", "ELECTED,DEALLOCATED", "nobody asked for", false, false, true},
		{"no resource", "resource", "ALLOCATED,DEALLOCATED", "GET resource", false, false, true},
		{"no deallocation", "deallocate", "ALLOCATED,DEALLOCATED", "GET deallocate", false, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			api := httptest.NewTLSServer(&liar{states: strings.Split(tt.states, ","), no: tt.no, asked: map[string]int{}})
			defer api.Close()
			c := trusting(t, api)
			patience := time.Minute
			if tt.lost {
				patience = 700 * time.Millisecond
			}
			r := RunLoad(t.Context(), LoadOptions{
				Create: []fish.Client{c}, Read: []fish.Client{c}, Release: []fish.Client{c},
				Label: "l", Rate: 50, For: 100 * time.Millisecond, Patience: patience,
			})
			if r.Created == 0 || (len(r.Lost) > 0) != tt.lost || (len(r.Failed) > 0) != tt.failed || (r.Ended == r.Created) != tt.ends {
				t.Errorf("%v: lost %v, failed %v", r, r.Lost, r.Failed)
			}
			if unknown, broken := strings.Contains(tt.states, "503"), strings.Contains(tt.states, "500"); (r.Unavailable > 0) != unknown || (r.Broken > 0) != broken {
				t.Errorf("%v: counts 503s and 500s wrongly", r)
			}
			if (len(r.False) > 0) != (tt.falsehood != "") {
				t.Errorf("false answers: %v, want %q", r.False, tt.falsehood)
			}
			for _, text := range r.False {
				if !strings.Contains(text, tt.falsehood) {
					t.Errorf("false answer %q, want %q in it", text, tt.falsehood)
				}
			}
		})
	}
}

// trusting is a client of a server of the test.
func trusting(t *testing.T, api *httptest.Server) fish.Client {
	t.Helper()
	ca := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: api.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := fish.NewClient(api.URL, ca)
	if err != nil {
		t.Fatal(err)
	}
	return c.For(t)
}

func TestLoadIsBounded(t *testing.T) {
	t.Parallel()
	api := httptest.NewTLSServer(&liar{states: []string{"NEW"}, asked: map[string]int{}})
	defer api.Close()
	c := trusting(t, api)
	r := RunLoad(t.Context(), LoadOptions{
		Create: []fish.Client{c}, Read: []fish.Client{c}, Release: []fish.Client{c},
		Label: "l", Rate: 100, For: 200 * time.Millisecond, Patience: 500 * time.Millisecond, MaxOpen: 3,
	})
	if r.Created != 3 || r.Withheld == 0 || len(r.Lost) != 3 {
		t.Errorf("%v, want 3 lives open and the others withheld", r)
	}
}
