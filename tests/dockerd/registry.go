//go:build linux

package dockerd

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Registry is a registry of images that the engine pulls from, as far as a pull
// goes. It runs in the test's process.
type Registry struct {
	// Host is its address as in the names of its images.
	Host string

	user, password string

	mu      sync.Mutex
	blobs   map[string][]byte // by digest: manifests too
	tags    map[string]string // digest of "name:tag"
	kinds   map[string]string // media types of the manifests, by digest
	gate    chan struct{}     // while it is there blobs stop half-way
	waiting chan struct{}     // receives once for each blob that does
	served  int               // whole blobs
}

// Registry starts one for the engine, until the test ends. With a user only who
// knows the password gets anything.
func (e *Engine) Registry(user, password string) *Registry {
	e.t.Helper()
	l := e.Listen("127.0.0.1:0")
	r := &Registry{
		Host: l.Addr().String(), user: user, password: password,
		blobs: map[string][]byte{}, tags: map[string]string{}, kinds: map[string]string{}, waiting: make(chan struct{}, 100),
	}
	server := &http.Server{Handler: r, ReadHeaderTimeout: callTimeout}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	e.t.Cleanup(func() {
		r.Release()
		_ = server.Close() // whoever is still served is not any more
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			e.t.Error(err)
		}
	})
	return r
}

// mediaTypes of what a registry holds.
const (
	manifestType = "application/vnd.docker.distribution.manifest.v2+json"
	configType   = "application/vnd.docker.container.image.v1+json"
	layerType    = "application/vnd.docker.image.rootfs.diff.tar" // as it is, not compressed
)

// Push puts the image into the registry, under its own name, and returns the
// digest by which it can be pulled as well.
func (r *Registry) Push(e *Engine, i Image) string {
	e.t.Helper()
	config, layer := i.Config(e.t), i.Layer(e.t)
	blob := func(kind string, b []byte) map[string]any {
		return map[string]any{"mediaType": kind, "size": len(b), "digest": digest(b)}
	}
	manifest, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": manifestType, "config": blob(configType, config), "layers": []any{blob(layerType, layer)},
	})
	e.must(err)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range [][]byte{config, layer, manifest} {
		r.blobs[digest(b)] = b
	}
	r.tags[i.Ref()] = digest(manifest)
	r.kinds[digest(manifest)] = manifestType
	return digest(manifest)
}

// Hold lets every layer stop half-way until Release. Each that does is one
// value of Stuck.
func (r *Registry) Hold() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gate == nil {
		r.gate = make(chan struct{})
	}
}

// Stuck receives one value for each layer that stopped half-way.
func (r *Registry) Stuck() <-chan struct{} { return r.waiting }

// Release lets all go on.
func (r *Registry) Release() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gate != nil {
		close(r.gate)
		r.gate = nil
	}
}

// Served is how many layers and configurations somebody got whole.
func (r *Registry) Served() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.served
}

// ServeHTTP is the part of the registry's API that a pull uses.
func (r *Registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	if user, password, _ := req.BasicAuth(); r.user != "" && (user != r.user || password != r.password) {
		w.Header().Set("WWW-Authenticate", `Basic realm="tests"`)
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED")
		return
	}
	path, found := strings.CutPrefix(req.URL.Path, "/v2/")
	if !found {
		refuse(w, http.StatusNotFound, "UNSUPPORTED")
		return
	}
	if name, what, isManifest := strings.Cut(path, "/manifests/"); isManifest {
		r.serveManifest(w, req, name, what)
		return
	}
	if _, what, isBlob := strings.Cut(path, "/blobs/"); isBlob {
		r.serveBlob(w, req, what)
	} // else the question whether this is a registry: 200
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(`{"errors":[{"code":"` + code + `","message":"refused by the test's registry"}]}`)) // the client may be gone
}

func (r *Registry) serveManifest(w http.ResponseWriter, req *http.Request, name, what string) {
	r.mu.Lock()
	if tagged, ok := r.tags[name+":"+what]; ok {
		what = tagged
	}
	kind, text := r.kinds[what], r.blobs[what]
	r.mu.Unlock()
	if kind == "" {
		refuse(w, http.StatusNotFound, "MANIFEST_UNKNOWN")
		return
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Docker-Content-Digest", what)
	http.ServeContent(w, req, "", time.Time{}, bytes.NewReader(text))
}

func (r *Registry) serveBlob(w http.ResponseWriter, req *http.Request, what string) {
	r.mu.Lock()
	blob, gate := r.blobs[what], r.gate
	r.mu.Unlock()
	if blob == nil {
		refuse(w, http.StatusNotFound, "BLOB_UNKNOWN")
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Docker-Content-Digest", what)
	content := &held{blob: bytes.NewReader(blob), registry: r, gate: gate, half: int64(len(blob) / 2), done: req.Context().Done()}
	http.ServeContent(w, req, "", time.Time{}, content)
	r.mu.Lock()
	defer r.mu.Unlock()
	if content.blob.Len() == 0 {
		r.served++
	}
}

// held is a blob that stops half-way while the gate is there, unless it is small.
type held struct {
	blob     *bytes.Reader
	registry *Registry
	gate     chan struct{} // nil: does not stop
	half     int64
	done     <-chan struct{}
}

const smallBlob = 64 << 10

// Read reads up to the middle, waits there, and reads on.
func (h *held) Read(p []byte) (int, error) {
	at := h.blob.Size() - int64(h.blob.Len())
	if h.gate == nil || h.blob.Size() < smallBlob {
		return h.blob.Read(p)
	}
	if at < h.half {
		return h.blob.Read(p[:min(int64(len(p)), h.half-at)])
	}
	h.registry.waiting <- struct{}{}
	select {
	case <-h.gate:
		h.gate = nil
		return h.blob.Read(p)
	case <-h.done:
		return 0, errors.New("the client is gone")
	}
}

// Seek is what http.ServeContent needs to know the size.
func (h *held) Seek(offset int64, whence int) (int64, error) { return h.blob.Seek(offset, whence) }
