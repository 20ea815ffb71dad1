package images

import (
	"context"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// asChild names the environment variables by which this test's binary becomes
// the process that is killed.
const asChild = "AQUARIUM_FISH_IMAGES_TEST_"

func TestMain(m *testing.M) {
	if path := os.Getenv(asChild + "PATH"); path != "" {
		child(path, Image{URL: os.Getenv(asChild + "URL"), Sum: os.Getenv(asChild + "SUM")})
	}
	os.Exit(m.Run())
}

func child(path string, image Image) {
	c, err := New(Options{Path: path, Logger: slog.New(slog.DiscardHandler), Limits: quick()})
	if err == nil {
		_, err = c.Get(context.Background(), image)
	}
	if err != nil {
		slog.Error("child", "error", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Wherever the process dies, the image is not there or whole, the next process
// completes it, and nothing half-made stays.
func TestKill(t *testing.T) {
	content := noise(12<<20, 7)
	body := tarOf(t, member{name: "img-1/img.tar", body: content}, member{name: "img-1/last", body: "last"})
	for _, tt := range []struct {
		name string
		at   func(c *Cache, image Image) bool // or beyond, which is soon
		stop int                              // bytes after which the server waits; 0 is none
	}{
		{"asked", func(*Cache, Image) bool { return true }, 1},
		{"in the download", func(c *Cache, i Image) bool { return partSize(c, i) > 4<<20 }, 6 << 20},
		{"in the unpacking", func(c *Cache, _ Image) bool { return exists(c, "work/*.tmp") || exists(c, "../img-1") }, 0},
		{"late in the unpacking", func(c *Cache, _ Image) bool { return exists(c, "work/*.tmp/img-1/last") || exists(c, "../img-1") }, 0},
		{"laid out", func(c *Cache, _ Image) bool { return exists(c, "../img-1") }, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, false, map[string][]byte{file: body})
			s.meddle = func(w http.ResponseWriter, r *http.Request, n int) bool {
				if n > 1 || tt.stop == 0 {
					return false
				}
				_, _ = w.Write(body[:tt.stop])
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
				return true
			}
			image := Image{URL: s.URL + file, Sum: sha(body)}
			look := newCache(t, Options{})
			killChild(t, look.opts.Path, image, func() bool { return len(s.requests()) > 0 && tt.at(look, image) })

			p, _ := image.parse()
			if laid, found, err := look.find(p); err != nil || found && readFile(t, laid.Folder, "last") != "last" {
				t.Fatalf("after the kill there is %+v, %v", laid, err)
			}
			c := newCache(t, Options{Path: look.opts.Path})
			for _, name := range remains(t, c.opts.Path) {
				if !strings.HasSuffix(name, ".part") {
					t.Errorf("left after New: %s", name)
				}
			}
			laid := mustGet(t, c, image)
			if readFile(t, laid.Archive()) != content || readFile(t, laid.Folder, "last") != "last" {
				t.Error("content differs")
			}
			if asked := s.requests(); tt.stop == 0 && len(asked) != 1 {
				t.Errorf("downloaded again: %v", asked)
			}
		})
	}
}

func exists(c *Cache, pattern string) bool {
	found, _ := filepath.Glob(filepath.Join(c.opts.Path, hidden, pattern))
	return len(found) > 0
}

func killChild(t *testing.T, path string, image Image, when func() bool) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), asChild+"PATH="+path, asChild+"URL="+image.URL, asChild+"SUM="+image.Sum)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, when)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}
