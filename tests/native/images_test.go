//go:build linux

package native

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// archive is a tar.gz of files; those that end in .sh are executable.
func archive(t *testing.T, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for i := 0; i < len(files); i += 2 {
		mode := int64(0o644)
		if strings.HasSuffix(files[i], ".sh") {
			mode = 0o755
		}
		if err := w.WriteHeader(&tar.Header{Name: files[i], Mode: mode, Size: int64(len(files[i+1]))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(files[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestImages lays two images out, the second over the first and on a disk, and
// runs what they hold.
func TestImages(t *testing.T) {
	t.Parallel()
	base := archive(t, "base-1/init.sh", "#!/bin/sh\necho base\n", "base-1/lib/common", "from base\n")
	top := archive(t, "tools-2/tools.tar", string(plainTar(t, "init.sh",
		"#!/bin/sh\ncat lib/common; cat \"$DATA/seed\"; echo DATA=$DATA; echo ready; exec sleep 1000\n")))
	data := archive(t, "seed-3/seed", "from the disk\n")
	var served atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		files := map[string][]byte{"/base-1.tar.gz": base, "/tools-2.tar.gz": top, "/seed-3.tar.gz": data}
		text, ok := files[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		served.Add(1)
		_, _ = w.Write(text)
	}))
	defer server.Close()
	image := func(file string, text []byte, tag string) string {
		return fmt.Sprintf(`{"url":"%s/%s","sum":"sha256:%x","tag":%q}`, server.URL, file, sha256.Sum256(text), tag)
	}
	s := start(t, fish.Options{})
	label := s.CreateLabel(fmt.Sprintf(`{"name":"images","version":1,"metadata":{"DATA":"{{ .Disks.data }}"},"definitions":[{"driver":"native","options":{"images":[%s,%s,%s]},"resources":{"cpu":1,"ram":1,"disks":{"data":{"type":"dir"}}}}]}`,
		image("base-1.tar.gz", base, ""), image("tools-2.tar.gz", top, ""), image("seed-3.tar.gz", data, "data")))
	first := s.allocate(s.CreateApplication(label, `{}`), "ready")
	for _, want := range []string{"from base\n", "from the disk\n", "DATA=" + filepath.Join(first.folder, "disks", "data")} {
		if !strings.Contains(first.printed(), want) {
			t.Errorf("the environment printed %q, want %q in it", first.printed(), want)
		}
	}
	if err := os.WriteFile(filepath.Join(first.folder, "home", "lib", "common"), []byte("changed"), 0o644); err != nil {
		t.Fatal(err)
	}
	second := s.allocate(s.CreateApplication(label, `{}`), "ready")
	if !strings.Contains(second.printed(), "from base\n") {
		t.Errorf("a second environment printed %q: the first has changed its image", second.printed())
	}
	if n := served.Load(); n != 3 {
		t.Errorf("%d downloads for 3 images", n)
	}
	first.release()
	second.release()
}

func plainTar(t *testing.T, name, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(text))}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
