package engine

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/tests/dockerd"
)

const (
	pullUser, pullPassword = "puller", "hush-hush-password"
	manifestType           = "application/vnd.docker.distribution.manifest.v2+json"
)

// hub serves images to the engine as registries do, and refuses as they do.
type hub struct {
	host string

	mu    sync.Mutex
	auth  string            // "", "basic" or "bearer"
	blobs map[string][]byte // by digest; manifests too
	tags  map[string]string // "name:tag" -> digest of the manifest
	asked []string          // requests for manifests
	stuck chan struct{}     // not nil: blobs come when it is closed
	begun bool              // but half of each comes at once
	limit bool              // says that too many pulls were made
}

func newRegistry(t *testing.T, e *dockerd.Engine) *hub {
	t.Helper()
	r := &hub{blobs: map[string][]byte{}, tags: map[string]string{}}
	l := e.Listen("127.0.0.1:0")
	r.host = l.Addr().String()
	server := &http.Server{Handler: r}
	done := make(chan struct{})
	go func() { defer close(done); server.Serve(l) }()
	t.Cleanup(func() { server.Close(); <-done })
	return r
}

func sumOf(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }

// add serves the image under the name and returns the manifest's digest.
func (r *hub) add(t testing.TB, name, tag string, i dockerd.Image) string {
	t.Helper()
	var layer bytes.Buffer
	w := gzip.NewWriter(&layer)
	w.Write(i.Layer(t))
	w.Close()
	config := i.Config(t)
	part := func(kind string, b []byte) map[string]any {
		return map[string]any{"mediaType": kind, "size": len(b), "digest": sumOf(b)}
	}
	manifest, _ := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": manifestType,
		"config": part("application/vnd.docker.container.image.v1+json", config),
		"layers": []any{part("application/vnd.docker.image.rootfs.diff.tar.gzip", layer.Bytes())},
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range [][]byte{config, layer.Bytes(), manifest} {
		r.blobs[sumOf(b)] = b
	}
	r.tags[name+":"+tag] = sumOf(manifest)
	return sumOf(manifest)
}

func (r *hub) set(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}

func (r *hub) manifests() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.asked)
}

func (r *hub) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	if q.URL.Path == "/token" {
		if user, password, _ := q.BasicAuth(); user != pullUser || password != pullPassword {
			refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "incorrect username or password")
			return
		}
		fmt.Fprint(w, `{"token":"token-1"}`)
		return
	}
	if !r.allowed(w, q) {
		return
	}
	if q.URL.Path == "/v2/" {
		return
	}
	if name, ref, ok := strings.Cut(strings.TrimPrefix(q.URL.Path, "/v2/"), "/manifests/"); ok {
		r.manifest(w, q.Method, name, ref)
		return
	}
	_, digest, _ := strings.Cut(q.URL.Path, "/blobs/")
	r.mu.Lock()
	blob, ok := r.blobs[digest]
	stuck, begun := r.stuck, r.begun
	r.mu.Unlock()
	if !ok {
		refuse(w, http.StatusNotFound, "BLOB_UNKNOWN", "blob unknown to registry")
		return
	}
	if stuck != nil && begun {
		w.Header().Set("Content-Length", strconv.Itoa(len(blob)))
		w.Write(blob[:len(blob)/2])
		http.NewResponseController(w).Flush()
		blob = blob[len(blob)/2:]
	}
	if stuck != nil {
		select {
		case <-stuck:
		case <-q.Context().Done():
			return
		}
	}
	w.Write(blob)
}

func (r *hub) manifest(w http.ResponseWriter, method, name, ref string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if method == http.MethodGet { // engines look with HEAD first
		r.asked = append(r.asked, name+" "+ref)
	}
	if r.limit {
		refuse(w, http.StatusTooManyRequests, "TOOMANYREQUESTS", "You have reached your pull rate limit.")
		return
	}
	digest := ref
	if !strings.HasPrefix(ref, "sha256:") {
		digest = r.tags[name+":"+ref]
	}
	blob, ok := r.blobs[digest]
	if !ok {
		refuse(w, http.StatusNotFound, "MANIFEST_UNKNOWN", "manifest unknown")
		return
	}
	w.Header().Set("Content-Type", manifestType)
	w.Header().Set("Docker-Content-Digest", digest)
	w.Write(blob)
}

// allowed asks for a login in the way that was set.
func (r *hub) allowed(w http.ResponseWriter, q *http.Request) bool {
	r.mu.Lock()
	auth := r.auth
	r.mu.Unlock()
	switch auth {
	case "basic":
		if user, password, _ := q.BasicAuth(); user == pullUser && password == pullPassword {
			return true
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
	case "bearer":
		if q.Header.Get("Authorization") == "Bearer token-1" {
			return true
		}
		w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+r.host+`/token",service="test"`)
	default:
		return true
	}
	refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
	return false
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"errors":[{"code":%q,"message":%q}]}`, code, message)
}
