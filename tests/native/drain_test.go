//go:build linux

package native

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

const maintenancePath = "/api/v1/node/this/maintenance"

// inTime is how long a node may take to drain or to stop while it downloads:
// far less than the download, which ends only when the test lets it.
const inTime = 15 * time.Second

// TestStopInTheMiddleOfADownload: a node that is drained or stopped does not wait
// for an image. What came of it stays, and the application gets its environment
// when the node is back.
func TestStopInTheMiddleOfADownload(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		stop func(s site, app string)
	}{
		{"signal", func(s site, _ string) { s.Stop() }},
		{"drain and shutdown", func(s site, _ string) {
			s.Request("GET", maintenancePath+"?shutdown=true", nil)
			if code := s.WaitExit(); code != 0 {
				s.t.Errorf("the node ended with exit code %d", code)
			}
		}},
		{"drain, then a signal", func(s site, app string) {
			s.Request("POST", "/api/v1/node/this/drain", []byte(`{"enable":true}`))
			s.WaitProbe("/readyz", "maintenance") // nothing is left that it would wait for
			if got := s.State(app); got.Status != "NEW" {
				s.t.Errorf("drained, the application is %+v, want that it waits", got)
			}
			s.Stop()
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, m := start(t, fish.Options{}), newMirror(t)
			app := s.CreateApplication(m.label(s, 1), `{}`)
			fish.Eventually(t, "half of the image is there", s.downloaded("4")) // 49%
			began := time.Now()
			tt.stop(s, app)
			if took := time.Since(began); took > inTime {
				t.Errorf("it took %v", took)
			}
			s.Start()
			fish.Eventually(t, "three quarters of it are there", s.downloaded("7")) // 74%
			m.open()
			s.allocate(app, "ready").release()
			if requests, ranges := m.requests.Load(), m.ranges.Load(); requests != 2 || ranges != 1 {
				t.Errorf("%d requests of which %d went on where the first was, want 2 and 1", requests, ranges)
			}
		})
	}
}

// pair is a node and a second one of its cluster.
func pair(t *testing.T) (a, b site) {
	t.Helper()
	a = start(t, fish.Options{Config: "node_name: a\n"})
	b = site{fish.New(t, options(t, fish.Options{Config: "node_name: b\n"})), t}
	made := fish.Post[struct{ Token string }](a.Client, "/api/v1/cluster/invitation/", fmt.Sprintf(`{"name":"b","addresses":[%q]}`, a.Address()))
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(made.Token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := fish.Run(t, b.Dir, "cluster", "join", "--cfg", filepath.Join(b.Dir, "fish.yaml"), "--token-file", token); got.Code != 0 {
		t.Fatalf("join: exit code %d\n%s\n%s", got.Code, got.Stdout, got.Stderr)
	}
	b.AdminPassword = a.AdminPassword
	b.Start()
	b.WaitReady()
	return a, b
}

// TestDrainHandsADownloadOn: the application of a node that is drained in the
// middle of a download goes to another one, which downloads for itself.
func TestDrainHandsADownloadOn(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	m := newMirror(t)
	b.Request("POST", "/api/v1/node/this/drain", []byte(`{"enable":true}`))
	app := a.CreateApplication(m.label(a, 1), `{}`)
	fish.Eventually(t, "half of the image is on a", a.downloaded("4"))
	b.Request("POST", "/api/v1/node/this/drain", []byte(`{"enable":false}`))
	b.WaitReady()
	began := time.Now()
	a.Request("POST", "/api/v1/node/this/drain", []byte(`{"enable":true}`))
	a.WaitProbe("/readyz", "maintenance")
	if took := time.Since(began); took > inTime {
		t.Errorf("the drain took %v", took)
	}
	fish.Eventually(t, "half of the image is on b", b.downloaded("4"))
	m.open()
	b.allocate(app, "ready").release()
	if n := m.requests.Load(); n != 2 {
		t.Errorf("%d downloads, want one of each node", n)
	}
}
