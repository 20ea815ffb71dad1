package images

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// member is one entry of a test archive.
type member struct {
	name, body, link string
	kind             byte // of package tar; 0 is a file, or a folder if the name ends in /
	mode             int64
}

func tarOf(t testing.TB, members ...member) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, m := range members {
		h := &tar.Header{Name: m.name, Linkname: m.link, Typeflag: m.kind, Mode: m.mode, Size: int64(len(m.body)), ModTime: time.Unix(1e9, 0)}
		if m.kind == 0 {
			h.Typeflag = tar.TypeReg
			if strings.HasSuffix(m.name, "/") {
				h.Typeflag = tar.TypeDir
			}
		}
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(m.body)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zipOf(t testing.TB, members ...member) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, m := range members {
		h := &zip.FileHeader{Name: m.name, Method: zip.Deflate, Modified: time.Unix(1e9, 0)}
		h.SetMode(fs.FileMode(m.mode))
		body := m.body
		if m.kind == tar.TypeSymlink {
			h.SetMode(fs.ModeSymlink | 0o777)
			body = m.link
		}
		f, err := w.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// packed compresses as the extension of a file says.
func packed(t testing.TB, ext string, raw []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	var err error
	switch ext {
	case ".xz":
		w, err = xz.NewWriter(&b)
	case ".gz":
		w = gzip.NewWriter(&b)
	case ".zst":
		w, err = zstd.NewWriter(&b)
	default:
		return raw
	}
	if err == nil {
		_, err = w.Write(raw)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func sha(raw []byte) string {
	h := sha256.Sum256(raw)
	return "sha256:" + hex.EncodeToString(h[:])
}

// noise is incompressible content, the same for the same seed.
func noise(n int, seed byte) string {
	r := rand.NewChaCha8([32]byte{seed})
	b := make([]byte, n)
	_, _ = r.Read(b)
	return string(b)
}

// imageArchive is an archive of the usual layout, large enough to be cut.
func imageArchive(t testing.TB, name string, seed byte) []byte {
	t.Helper()
	return packed(t, ".gz", tarOf(t,
		member{name: name + "_id/"}, member{name: name + "_id/" + name + ".tar", body: noise(300_000, seed)},
	))
}

// quick are limits for tests: all waits are short.
func quick() Limits {
	return Limits{Backoff: time.Millisecond, Stall: 5 * time.Second, MinFree: 1, Attempts: 3}
}

func newCache(t testing.TB, opts Options) *Cache {
	t.Helper()
	if opts.Path == "" {
		opts.Path = t.TempDir()
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Limits == (Limits{}) {
		opts.Limits = quick()
	}
	c, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func mustGet(t testing.TB, c *Cache, image Image) Laid {
	t.Helper()
	laid, err := c.Get(deadline(t), image)
	if err != nil {
		t.Fatalf("Get(%+v) = %v", image, err)
	}
	return laid
}

// wantRefusal gets an image that must not be laid out, and checks that nothing
// of it is left.
func wantRefusal(t testing.TB, c *Cache, image Image, part string) {
	t.Helper()
	laid, err := c.Get(deadline(t), image)
	if err == nil || !strings.Contains(err.Error(), part) {
		t.Fatalf("Get(%+v) = %+v, %v, want an error with %q", image, laid, err, part)
	}
	if c.Have(image) {
		t.Errorf("Have(%+v) after the error %v", image, err)
	}
	if left := remains(t, c.opts.Path); len(left) > 0 {
		t.Errorf("left after %v: %v", err, left)
	}
}

// remains are the files of work that is not done.
func remains(t testing.TB, path string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(path, hidden, "work"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func deadline(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func readFile(t testing.TB, elems ...string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(elems...))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// asked is one request that a server saw.
type asked struct {
	Path, Range, IfRange, User, Password string
}

// server serves files and lets a test get in the way of each request.
type server struct {
	*httptest.Server
	files map[string][]byte
	// meddle answers instead; it returns false where it leaves that to the
	// server. n counts the requests from 1.
	meddle func(w http.ResponseWriter, r *http.Request, n int) bool

	mu   sync.Mutex
	seen []asked
}

func newServer(t testing.TB, secure bool, files map[string][]byte) *server {
	t.Helper()
	s := &server{files: files}
	s.Server = httptest.NewUnstartedServer(s)
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	if secure {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	user, password, _ := r.BasicAuth()
	s.mu.Lock()
	s.seen = append(s.seen, asked{r.URL.Path, r.Header.Get("Range"), r.Header.Get("If-Range"), user, password})
	n := len(s.seen)
	s.mu.Unlock()
	if s.meddle != nil && s.meddle(w, r, n) {
		return
	}
	body, ok := s.files[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	if w.Header().Get("ETag") == "" {
		w.Header().Set("ETag", `"`+sha(body)+`"`)
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}

func (s *server) requests() []asked {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]asked(nil), s.seen...)
}

// cut answers with the first part of the body and drops the connection.
func cut(w http.ResponseWriter, body []byte, part int) {
	w.Header().Set("ETag", `"`+sha(body)+`"`)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body[:part])
	drop(w)
}

// drop ends the connection in the middle of an answer.
func drop(w http.ResponseWriter) {
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}
