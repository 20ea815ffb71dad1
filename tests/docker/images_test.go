//go:build linux

package docker

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/tests/dockerd"
	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// withRegistry is a node that knows the password of a registry.
func withRegistry(t *testing.T) (site, *dockerd.Registry) {
	t.Helper()
	e := dockerd.Start(t, dockerd.Options{Bare: true})
	r := e.Registry("alice", "open sesame")
	return start(t, e, config(e, "registries:\n- {host: '"+r.Host+"', user: alice, password: open sesame}\n")), r
}

func named(name string) string { return fmt.Sprintf(`"images":[{"name":%q}]`, name) }

// TestPull: an image comes from a registry that wants a password, by tag and by
// digest, once for all that wait for it. No log line tells the password.
func TestPull(t *testing.T) {
	t.Parallel()
	s, r := withRegistry(t)
	image := dockerd.Image{Name: "team/tool", Version: "7"}
	digest := r.Push(s.engine, image)
	r.Hold()
	label := s.CreateLabel(labelOf("tag", named(r.Host+"/team/tool:7"), "print ready; wait", ""))
	var apps []string
	for range 3 {
		apps = append(apps, s.CreateApplication(label, `{}`))
	}
	<-r.Stuck()
	r.Release()
	for _, app := range apps {
		s.WaitStatus(app, "ALLOCATED")
	}
	if n := r.Served(); n != 2 {
		t.Errorf("the registry served %d blobs for an image of two", n)
	}
	e := s.run(s.CreateLabel(labelOf("digest", named(r.Host+"/team/tool@"+digest), "print ready; wait", "")), `{}`)
	e.release()
	for _, app := range apps {
		s.Deallocate(app)
		s.WaitStatus(app, "DEALLOCATED")
	}
	stdout, stderr := s.Lines()
	if strings.Contains(strings.Join(append(stdout, stderr...), "\n"), "sesame") {
		t.Error("the log tells the password")
	}
	s.nothingLeft()
}

// TestPullFails: the reason is in the log, and nothing is left when the request is given up.
func TestPullFails(t *testing.T) {
	t.Parallel()
	s, r := withRegistry(t)
	app := s.CreateApplication(s.CreateLabel(labelOf("none", named(r.Host+"/no/such:1"), "wait", "")), `{}`)
	s.WaitLine("no/such:1")
	s.Deallocate(app)
	fish.Eventually(t, "the application ends", func() bool {
		status := s.State(app).Status
		return status == "DEALLOCATED" || status == "ERROR"
	})
	s.nothingLeft()
}

// archive is an image as contract 30 has it: a folder with what `docker save` wrote.
func archive(t *testing.T, i dockerd.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	text := i.Archive(t)
	_ = w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: i.Name + "-" + i.Version + "/", Mode: 0o755}) // in memory
	_ = w.WriteHeader(&tar.Header{Name: i.Name + "-" + i.Version + "/" + i.Name + ".tar", Mode: 0o644, Size: int64(len(text))})
	_, err := w.Write(text)
	if err = errors.Join(err, w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// server serves files to the node, and can stop half-way.
type server struct {
	url string

	mu    sync.Mutex
	files map[string][]byte
	gate  chan struct{} // nil: open
	stuck chan struct{}
}

func serve(e *dockerd.Engine, t *testing.T) *server {
	t.Helper()
	l := e.Listen("127.0.0.1:0")
	s := &server{url: "http://" + l.Addr().String(), files: map[string][]byte{}, stuck: make(chan struct{}, 100)}
	h := &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	go func() { _ = h.Serve(l) }() // until Close
	t.Cleanup(func() { _ = h.Close() })
	return s
}

// ServeHTTP serves ranges too, so that a download goes on where it was.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	text, gate := s.files[r.URL.Path], s.gate
	s.mu.Unlock()
	if text == nil {
		http.NotFound(w, r)
		return
	}
	if gate != nil && r.Method == http.MethodGet {
		w.Header().Set("Content-Length", fmt.Sprint(len(text)))
		_, _ = w.Write(text[:len(text)/2])
		_ = http.NewResponseController(w).Flush()
		s.stuck <- struct{}{}
		select {
		case <-gate:
		case <-r.Context().Done():
			return
		}
		_, _ = w.Write(text[len(text)/2:])
		return
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(text))
}

// add serves an image and returns the option images that names it.
func (s *server) add(t *testing.T, i dockerd.Image) string {
	t.Helper()
	text := archive(t, i)
	path := "/" + i.Name + "-" + i.Version + ".tar.gz"
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[path] = text
	return fmt.Sprintf(`"images":[{"url":"%s%s","sum":"sha256:%x"}]`, s.url, path, sha256.Sum256(text))
}

func (s *server) hold(gate chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gate = gate
}

// TestArchive: an image comes as an archive by HTTP, and is loaded once.
func TestArchive(t *testing.T) {
	t.Parallel()
	e := dockerd.Start(t, dockerd.Options{Bare: true})
	s := start(t, e, config(e, ""))
	images := serve(e, t).add(t, dockerd.Image{Name: "tool", Version: "3", Env: []string{"FROM_IMAGE=yes"}})
	label := s.CreateLabel(labelOf("archive", images, "env; print ready; wait", ""))
	first, second := s.run(label, `{}`), s.run(label, `{}`)
	for _, e := range []environment{first, second} {
		e.prints("ready")
		if got := e.value("FROM_IMAGE"); got != "yes" {
			t.Errorf("the image's variable is %q", got)
		}
		e.release()
	}
	s.nothingLeft()
}

// TestKilledWhileAnImageComes: the node dies in the middle of a pull, of a
// download and of a load; the next one gets the image all the same.
func TestKilledWhileAnImageComes(t *testing.T) {
	t.Parallel()
	large := map[string][]byte{"ballast": bytes.Repeat([]byte("0123456789abcdef"), 2<<20)} // 32 MB: a load takes a while
	s, r := withRegistry(t)
	r.Push(s.engine, dockerd.Image{Name: "pulled", Version: "1"})
	files := serve(s.engine, t)
	gate := make(chan struct{})
	t.Run("pull", func(*testing.T) {
		r.Hold()
		app := s.CreateApplication(s.CreateLabel(labelOf("pulled", named(r.Host+"/pulled:1"), "wait", "")), `{}`)
		<-r.Stuck()
		s.Kill()
		r.Release()
		s.Start()
		s.WaitStatus(app, "ALLOCATED")
		s.Deallocate(app)
		s.WaitStatus(app, "DEALLOCATED")
	})
	t.Run("download", func(t *testing.T) {
		files.hold(gate)
		app := s.CreateApplication(s.CreateLabel(labelOf("downloaded", files.add(t, dockerd.Image{Name: "downloaded", Version: "1"}), "wait", "")), `{}`)
		<-files.stuck
		s.Kill()
		files.hold(nil)
		close(gate)
		s.Start()
		s.WaitStatus(app, "ALLOCATED")
		s.Deallocate(app)
		s.WaitStatus(app, "DEALLOCATED")
	})
	t.Run("load", func(t *testing.T) {
		app := s.CreateApplication(s.CreateLabel(labelOf("loaded", files.add(t, dockerd.Image{Name: "loaded", Version: "1", Files: large}), "wait", "")), `{}`)
		fish.Eventually(t, "the engine loads it", func() bool {
			return len(entries(t, s.engine.Dir()+"/data/tmp")) > 0 || s.State(app).Status == "ALLOCATED"
		})
		s.Kill()
		s.Start()
		s.WaitStatus(app, "ALLOCATED")
		s.Deallocate(app)
		s.WaitStatus(app, "DEALLOCATED")
	})
	s.nothingLeft()
}
