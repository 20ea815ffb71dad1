//go:build linux

package dockerd

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Image is a tiny one: the program of package guest, and nothing else that runs.
// The same Image gives the same bytes, and so the same ID.
type Image struct {
	Name, Version string
	// Cmd are the guest's arguments. None: it does what the variable GUEST says.
	Cmd []string
	// Env are variables of the image, such as "A=b".
	Env []string
	// Files are more of them, by their path without the first slash; it makes
	// images differ, and large.
	Files map[string][]byte
}

// Guest is the image that every engine holds unless it is Bare.
var Guest = Image{Name: "guest", Version: "1"}

// Ref is the image's name in an engine.
func (i Image) Ref() string { return i.Name + ":" + i.Version }

// Layer is the image's only layer, a tar.
func (i Image) Layer(t testing.TB) []byte {
	t.Helper()
	return must(i.layer())(t)
}

// Config is the image's configuration, whose checksum is the image's ID.
func (i Image) Config(t testing.TB) []byte {
	t.Helper()
	return must(i.config())(t)
}

// ID is the image's name in every engine, "sha256:" and its checksum.
func (i Image) ID(t testing.TB) string {
	t.Helper()
	return digest(i.Config(t))
}

// Archive is the image as `docker save` writes it.
func (i Image) Archive(t testing.TB) []byte {
	t.Helper()
	return must(i.archive())(t)
}

func must(b []byte, err error) func(t testing.TB) []byte {
	return func(t testing.TB) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
}

func (i Image) layer() ([]byte, error) {
	program, err := guestProgram()
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{"guest": program, "tmp/": nil}
	maps.Copy(files, i.Files)
	return tarOf(files)
}

func (i Image) config() ([]byte, error) {
	layer, err := i.layer()
	if err != nil {
		return nil, err
	}
	return json.Marshal(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux", "created": "2020-01-01T00:00:00Z",
		"config": map[string]any{"Entrypoint": []string{"/guest"}, "Cmd": i.Cmd, "Env": append([]string{"PATH=/"}, i.Env...)},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{digest(layer)}},
	})
}

func (i Image) archive() ([]byte, error) {
	layer, err := i.layer()
	if err != nil {
		return nil, err
	}
	config, err := i.config()
	if err != nil {
		return nil, err
	}
	name := strings.TrimPrefix(digest(config), "sha256:") + ".json"
	manifest, err := json.Marshal([]map[string]any{{"Config": name, "RepoTags": []string{i.Ref()}, "Layers": []string{"layer/layer.tar"}}})
	if err != nil {
		return nil, err
	}
	return tarOf(map[string][]byte{name: config, "layer/layer.tar": layer, "manifest.json": manifest})
}

// LoadImage brings the image into the engine.
func (s *Server) LoadImage(i Image) error {
	archive, err := i.archive()
	if err != nil {
		return err
	}
	status, answer, err := s.Call("POST", "/images/load?quiet=1", archive)
	if err != nil {
		return fmt.Errorf("load image %s: %w", i.Ref(), err)
	}
	if status != 200 || bytes.Contains(answer, []byte(`"error"`)) {
		return fmt.Errorf("load image %s: %d %s", i.Ref(), status, answer)
	}
	return nil
}

// guestProgram compiles package guest, once for a test binary.
var guestProgram = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "fish-guest-*")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }() // a rest in the temporary folder harms nobody
	file := filepath.Join(dir, "guest")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", file,
		"github.com/aquarium-fish/aquarium-fish/tests/dockerd/guest")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the guest: %w: %s", err, out)
	}
	return os.ReadFile(file)
})

// tarOf packs files in the order of their names. Those that end with a slash
// are folders; of links the content is where they lead.
func tarOf(files map[string][]byte, links ...string) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		h := &tar.Header{Name: name, Mode: 0o755, Size: int64(len(files[name])), Typeflag: tar.TypeReg}
		if strings.HasSuffix(name, "/") {
			h.Typeflag, h.Mode = tar.TypeDir, 0o1777
		}
		if slices.Contains(links, name) {
			h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, string(files[name]), 0
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if _, err := w.Write(files[name]); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func digest(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }
