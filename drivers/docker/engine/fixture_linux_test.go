package engine

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
	"github.com/aquarium-fish/aquarium-fish/drivers/images"
	"github.com/aquarium-fish/aquarium-fish/tests/dockerd"
)

// bench is a real engine, and the images of it under test.
type bench struct {
	*Images
	t        *testing.T
	engine   *dockerd.Engine
	log      *logged
	archives string // a folder that file:// URLs may name
	options  Options
}

// newBench is an engine of its own and its images, not in short runs.
func newBench(t *testing.T, change func(*Options)) *bench {
	t.Helper()
	needs.Unhurried(t, "starts an engine of its own")
	return anyBench(t, change)
}

func anyBench(t *testing.T, change func(*Options)) *bench {
	t.Helper()
	b := &bench{t: t, engine: dockerd.Start(t, dockerd.Options{}), archives: t.TempDir(), log: &logged{}}
	b.options = Options{
		Client: newClient(t, b.engine.Host()), Logger: slog.New(slog.NewTextHandler(b.log, nil)),
		Node: "node-1", Instance: "docker", WorkPath: t.TempDir(),
		Cache: images.Options{Path: t.TempDir(), FileRoots: []string{b.archives}},
	}
	if change != nil {
		change(&b.options)
	}
	b.reopen()
	t.Cleanup(func() { b.Close() })
	return b
}

// reopen is what a restart of the node does.
func (b *bench) reopen() {
	b.t.Helper()
	if b.Images != nil {
		if err := b.Close(); err != nil {
			b.t.Fatal(err)
		}
	}
	var err error
	if b.Images, err = New(b.options); err != nil {
		b.t.Fatal(err)
	}
}

func newClient(t testing.TB, host string) *client.Client {
	t.Helper()
	cli, err := client.New(client.WithHost(host))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cli.Close() })
	return cli
}

func (b *bench) ctx() context.Context {
	ctx, cancel := context.WithTimeout(b.t.Context(), time.Minute)
	b.t.Cleanup(cancel)
	return ctx
}

// ensure returns the ID of the list's image and gives back its hold.
func (b *bench) ensure(list ...images.Image) string {
	b.t.Helper()
	id, release, err := b.Ensure(b.ctx(), list)
	if err != nil {
		b.t.Fatal(err)
	}
	release()
	return id
}

func (b *bench) fails(want string, list ...images.Image) error {
	b.t.Helper()
	_, _, err := b.Ensure(b.ctx(), list)
	if err == nil || !strings.Contains(err.Error(), want) {
		b.t.Errorf("error = %v, want one with %q", err, want)
	}
	return err
}

// list is of the engine's images, without the cache's archives.
func (b *bench) list() map[string]drivers.ImageStatus {
	b.t.Helper()
	list, err := b.List(b.ctx())
	if err != nil {
		b.t.Fatal(err)
	}
	byID := map[string]drivers.ImageStatus{}
	for _, s := range list {
		if strings.ContainsAny(s.ID, ":@") {
			byID[s.ID] = s
		}
	}
	return byID
}

// idOf asks the engine itself; "" is that it has none.
func (b *bench) idOf(name string) string {
	b.t.Helper()
	got, _, err := b.inspectImage(b.ctx(), name)
	if err != nil {
		b.t.Fatal(err)
	}
	return got.ID
}

// archive puts an image where a label can name it: as contract 30 wants it,
// with what `docker save` gave inside.
func (b *bench) archive(file string, i dockerd.Image, saved []byte) images.Image {
	b.t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	folder := i.Name + "-" + i.Version
	for _, h := range []*tar.Header{
		{Name: folder + "/", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: folder + "/" + i.Name + ".tar", Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(saved))},
	} {
		if err := w.WriteHeader(h); err != nil {
			b.t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			w.Write(saved)
		}
	}
	if err := w.Close(); err != nil {
		b.t.Fatal(err)
	}
	path := filepath.Join(b.archives, file)
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		b.t.Fatal(err)
	}
	return images.Image{
		URL: "file://" + path, Name: i.Name, Version: i.Version,
		Sum: fmt.Sprintf("sha256:%x", sha256.Sum256(out.Bytes())),
	}
}

// container makes one of the image, which does not run.
func (b *bench) container(image string) string {
	b.t.Helper()
	body, _ := json.Marshal(map[string]any{"Image": image})
	return dockerd.Must[struct{ ID string }](b.engine, http.MethodPost, "/containers/create", body).ID
}

// eventually waits for what another goroutine does.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !f() {
		if time.Now().After(deadline) {
			t.Fatal("never happened: ", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// logged keeps the log, in which no secret may stand.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
