//go:build linux

package native

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// mirror serves one image of some megabytes; a first request only gets half of
// it until the gate is open, one that resumes three quarters.
type mirror struct {
	*httptest.Server
	archive []byte
	gate    chan struct{}
	open    func() // the gate, once

	requests, ranges atomic.Int32
}

func newMirror(t *testing.T) *mirror {
	t.Helper()
	content := make([]byte, 8<<20) // that no packer makes smaller
	_, _ = rand.NewChaCha8([32]byte{2}).Read(content)
	m := &mirror{gate: make(chan struct{})}
	m.archive = archive(t, "agent-1/content", string(content), "agent-1/init.sh", "#!/bin/sh\nwc -c < content; echo ready; exec sleep 1000\n")
	m.open = sync.OnceFunc(func() { close(m.gate) })
	m.Server = httptest.NewServer(m)
	t.Cleanup(m.Close)
	t.Cleanup(m.open) // before the server waits for its requests
	return m
}

// ServeHTTP serves the archive, or the part of it that is wanted.
func (m *mirror) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.requests.Add(1)
	until := len(m.archive) / 2
	if from := r.Header.Get("Range"); strings.HasPrefix(from, "bytes=") && !strings.HasPrefix(from, "bytes=0-") {
		m.ranges.Add(1)
		until += len(m.archive) / 4
	}
	w.Header().Set("Etag", `"1"`)
	http.ServeContent(w, r, "agent-1.tar.gz", time.Time{}, &gated{Reader: bytes.NewReader(m.archive), until: int64(until), gate: m.gate})
}

// gated reads a first part, and the rest when the gate is open.
type gated struct {
	*bytes.Reader
	until int64
	gate  chan struct{}
}

func (g *gated) Read(p []byte) (int, error) {
	if at, _ := g.Seek(0, io.SeekCurrent); at < g.until {
		p = p[:min(int64(len(p)), g.until-at)]
	} else {
		<-g.gate
	}
	return g.Reader.Read(p)
}

// label makes a version of the label `agent`, whose image the mirror has.
func (m *mirror) label(s site, version int) string {
	s.t.Helper()
	return s.CreateLabel(fmt.Sprintf(`{"name":"agent","version":%d,"definitions":[{"driver":"native","options":{"images":[{"url":"%s/agent-1.tar.gz","sum":"sha256:%x"}]},"resources":{"cpu":1,"ram":1}}]}`,
		version, m.URL, sha256.Sum256(m.archive)))
}

// cli runs a command of the client against the node, as its admin.
func (s site) cli(code int, args ...string) fish.Result {
	s.t.Helper()
	file := filepath.Join(s.Dir, "admin-password")
	if err := os.WriteFile(file, []byte(s.AdminPassword+"\n"), 0o600); err != nil {
		s.t.Fatal(err)
	}
	got := fish.Run(s.t, s.Dir, append(args, "--address", s.Address(), "--password-file", file)...)
	if got.Code != code {
		s.t.Errorf("%v: exit code %d, want %d; it printed\n%s\n%s", args, got.Code, code, got.Stdout, got.Stderr)
	}
	return got
}

// downloaded looks whether the list shows a download of so many tens of percent.
func (s site) downloaded(tens string) func() bool {
	return func() bool { return strings.Contains(s.cli(0, "image", "list").Stdout, "downloading "+tens) }
}

// TestImageCommands goes through the life of an image as an admin sees it.
func TestImageCommands(t *testing.T) {
	t.Parallel()
	s, m := start(t, fish.Options{}), newMirror(t)
	m.label(s, 1)
	if got := s.cli(0, "image", "list"); got.Stdout != "" || got.Stderr != "no images" {
		t.Errorf("nothing is shown as %q, %q", got.Stdout, got.Stderr)
	}
	if got := s.cli(0, "image", "pull", "agent", "--wait=false"); !strings.Contains(got.Stdout, "pulling") {
		t.Errorf("pull = %q", got.Stdout)
	}
	s.cli(0, "image", "pull", "agent:1", "--wait=false")                         // and once more, which is the same one
	fish.Eventually(t, "the list shows half of the download", s.downloaded("4")) // 49%
	got := s.cli(0, "image", "list", "-o", "name")
	instance, id, _ := strings.Cut(got.Stdout, " ")
	if got := s.cli(1, "image", "rm", instance, id); !strings.Contains(got.Stderr, "it is on its way") {
		t.Errorf("the removal of one on its way: %q", got.Stderr)
	}
	if got := s.cli(4, "image", "pull", "agent", "--timeout", "1s"); !strings.Contains(got.Stderr, "downloading 40% of 8MB") || !strings.Contains(got.Stderr, "it goes on") {
		t.Errorf("a pull that is too slow: %q", got.Stderr)
	}
	m.open()
	if got := s.cli(0, "image", "pull", "agent"); !strings.Contains(got.Stdout, "done") {
		t.Errorf("pull = %q, %q", got.Stdout, got.Stderr)
	}
	if n := m.requests.Load(); n != 1 {
		t.Errorf("%d requests for one image", n)
	}
	if got := s.cli(0, "image", "list"); !strings.Contains(got.Stdout, "ready") || !strings.Contains(got.Stdout, "agent") {
		t.Errorf("list = %q", got.Stdout)
	}
	got = s.cli(0, "image", "list", "-o", "name")
	instance, id, _ = strings.Cut(got.Stdout, " ")
	s.cli(3, "image", "rm", instance, "nothing-of-that-name")
	s.cli(3, "image", "rm", "docker/none", id)
	s.cli(0, "image", "rm", instance, id)
	if got := s.cli(0, "image", "list"); got.Stdout != "" {
		t.Errorf("after the removal: %q", got.Stdout)
	}
	s.Stop()
}

// TestPrefetch: the image of a new label is there before anybody asks, so that
// the application waits for no download.
func TestPrefetch(t *testing.T) {
	t.Parallel()
	s, m := start(t, fish.Options{Config: "images_prefetch: true\n"}), newMirror(t)
	m.open()
	label := m.label(s, 1)
	fish.Eventually(t, "the image is ready", func() bool {
		return strings.Contains(s.cli(0, "image", "list").Stdout, "ready")
	})
	if n := m.requests.Load(); n != 1 {
		t.Errorf("%d requests for one image", n)
	}
	m.Close() // nothing is to be had any more
	e := s.allocate(s.CreateApplication(label, `{}`), "ready")
	if !strings.Contains(e.printed(), fmt.Sprint(8<<20)) {
		t.Errorf("the environment printed %q", e.printed())
	}
	e.release()
}

// TestDownloadGoesOnAfterAKill: of the node in the middle of it. The next process
// takes it up where it was, for the application that waits.
func TestDownloadGoesOnAfterAKill(t *testing.T) {
	t.Parallel()
	s, m := start(t, fish.Options{}), newMirror(t)
	app := s.CreateApplication(m.label(s, 1), `{}`)
	fish.Eventually(t, "half of the image is there", s.downloaded("4")) // 49%
	if got := s.cli(0, "app", "explain", app); !strings.Contains(got.Stdout, "images are being fetched") {
		t.Errorf("explain = %q", got.Stdout)
	}
	s.Kill()
	s.Start()
	fish.Eventually(t, "three quarters of it are there", s.downloaded("7")) // 74%
	if n := m.ranges.Load(); n != 1 {
		t.Errorf("%d requests went on where the first was", n)
	}
	m.open()
	e := s.allocate(app, "ready")
	if !strings.Contains(e.printed(), fmt.Sprint(8<<20)) {
		t.Errorf("the environment printed %q", e.printed())
	}
	if n := m.requests.Load(); n != 2 {
		t.Errorf("%d requests, want one of each process", n)
	}
	e.release()
}

// TestRecallDuringDownload is answered at once, and loses nothing of it.
func TestRecallDuringDownload(t *testing.T) {
	t.Parallel()
	s, m := start(t, fish.Options{}), newMirror(t)
	label := m.label(s, 1)
	for range 2 {
		app := s.CreateApplication(label, `{}`)
		s.WaitStatus(app, "ELECTED")
		fish.Eventually(t, "half of the image is there", s.downloaded("4"))
		began := time.Now()
		s.Deallocate(app)
		s.WaitStatus(app, "DEALLOCATED")
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("the recall took %v", took)
		}
	}
	m.open()
	s.allocate(s.CreateApplication(label, `{}`), "ready").release()
	if n := m.requests.Load(); n != 1 {
		t.Errorf("%d downloads for three applications", n)
	}
}
