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
	"time"
)

// asChild names the environment variables by which this test's binary becomes
// the process that is killed.
const asChild = "AQUARIUM_FISH_IMAGES_TEST_"

func TestMain(m *testing.M) {
	if path := os.Getenv(asChild + "PATH"); path != "" {
		child(path, os.Getenv(asChild+"DO"), Image{URL: os.Getenv(asChild + "URL"), Sum: os.Getenv(asChild + "SUM")})
	}
	os.Exit(m.Run())
}

// What a child does. Who uses waits to be killed.
const (
	toGet   = ""
	toUse   = "use"
	toHold  = "hold"  // as the holder "token"
	toChurn = "churn" // get and evict in turns, for ever
)

func child(path, do string, image Image) {
	release := func() {}
	c, err := New(Options{Path: path, Logger: slog.New(slog.DiscardHandler), Limits: quick(), Owner: "node"})
	if err == nil {
		switch do {
		case toGet:
			_, err = c.Get(context.Background(), image)
		case toUse:
			_, release, err = c.Use(context.Background(), image, Holder{})
		case toHold:
			_, release, err = c.Use(context.Background(), image, Holder{Name: "token"})
		case toChurn:
			err = churn(c, image)
		}
	}
	if err == nil && (do == toUse || do == toHold) {
		_ = os.WriteFile(filepath.Join(path, "ready"), nil, 0o600)
		time.Sleep(time.Hour) // until the kill
		release()
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
				if !strings.HasSuffix(name, ".part") && !strings.HasSuffix(name, ".info") {
					t.Errorf("left after New: %s", name)
				}
			}
			laid := mustGet(t, c, image)
			if readFile(t, laid.Archive()) != content || readFile(t, laid.Folder, "last") != "last" {
				t.Error("content differs")
			}
			asked := s.requests()
			if tt.stop == 0 && len(asked) != 1 {
				t.Errorf("downloaded again: %v", asked)
			}
			if tt.stop > 1<<20 && (len(asked) != 2 || asked[1].Range == "" || asked[1].Range == "bytes=0-") {
				t.Errorf("it was not resumed: %v", asked)
			}
		})
	}
}

func exists(c *Cache, pattern string) bool {
	found, _ := filepath.Glob(filepath.Join(c.opts.Path, hidden, pattern))
	return len(found) > 0
}

func churn(c *Cache, image Image) error {
	for {
		_, release, err := c.Use(context.Background(), image, Holder{Name: "token"})
		if err != nil {
			return err
		}
		release()
		if err := c.Unuse("token"); err != nil {
			return err
		}
		if _, err := c.evict(context.Background(), func(sum int64) int64 { return sum }, false); err != nil {
			return err
		}
	}
}

func killChild(t *testing.T, path string, image Image, when func() bool) {
	t.Helper()
	kill := startChild(t, path, toGet, image)
	defer func() { _ = kill() }()
	waitFor(t, when)
}

// startChild starts a process, and returns what kills it and tells how it ended.
func startChild(t *testing.T, path, do string, image Image) (kill func() error) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), asChild+"PATH="+path, asChild+"DO="+do, asChild+"URL="+image.URL, asChild+"SUM="+image.Sum)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return func() error {
		_ = cmd.Process.Kill()
		return cmd.Wait()
	}
}

// A process that uses an image does so until it dies, however; a holder does so
// beyond.
func TestKillOfAUser(t *testing.T) {
	for _, tt := range []struct {
		do    string
		after bool // still in use when the process is dead
	}{{toUse, false}, {toHold, true}} {
		t.Run(tt.do, func(t *testing.T) {
			c, image := stocked(t, Options{Owner: "node"})
			kill := startChild(t, c.opts.Path, tt.do, image)
			defer func() { _ = kill() }()
			waitFor(t, func() bool { _, err := os.Stat(filepath.Join(c.opts.Path, "ready")); return err == nil })
			wantInUse(t, c, "img-1", true)
			wantKilled(t, kill())
			wantInUse(t, c, "img-1", tt.after)
			next := newCache(t, Options{Path: c.opts.Path, Owner: "node"})
			wantInUse(t, next, "img-1", tt.after)
			err := next.SweepUses(deadline(t), func(context.Context) ([]string, error) { return nil, nil })
			if err != nil {
				t.Fatal(err)
			}
			wantInUse(t, next, "img-1", false)
		})
	}
}

// Two processes that take an image into use and evict it without end: wherever
// one dies, what is in its place is whole, a use that stands is not lost, and
// the next start finds nothing else.
func TestKillBetweenUseAndEviction(t *testing.T) {
	body := tarOf(t, member{name: "img-1/img.tar", body: noise(300_000, 7)}, member{name: "img-1/last", body: "last"})
	s := newServer(t, false, map[string][]byte{file: body})
	image := Image{URL: s.URL + file, Sum: sha(body)}
	p, _ := image.parse()
	dir := t.TempDir()
	c := newCache(t, Options{Path: dir, Owner: "node"})
	rounds := 30
	if testing.Short() {
		rounds = 5
	}
	stays := startChild(t, dir, toChurn, image)
	defer func() { _ = stays() }()
	for round := range rounds {
		seen := len(s.requests())
		kill := startChild(t, dir, toChurn, image)
		waitFor(t, func() bool { return len(s.requests()) > seen+round%4 })
		wantKilled(t, kill())
		held, err := c.share(deadline(t), "img-1") // so that the other process does not remove it meanwhile
		if err != nil {
			t.Fatal(err)
		}
		if laid, found, err := c.find(p); err != nil || found && readFile(t, laid.Folder, "last") != "last" {
			t.Fatalf("after round %d there is %+v, %v", round, laid, err)
		}
		held.close()
	}
	wantKilled(t, stays())
	next := newCache(t, Options{Path: dir, Owner: "node"})
	if err := next.SweepUses(deadline(t), func(context.Context) ([]string, error) { return nil, nil }); err != nil {
		t.Fatal(err)
	}
	if next.Have(image) {
		if err := next.Remove(deadline(t), "img-1"); err != nil {
			t.Errorf("Remove = %v", err)
		}
	}
	if _, release := mustUse(t, next, image, ""); true {
		wantInUse(t, next, "img-1", true)
		release()
	}
	if err := next.Remove(deadline(t), "img-1"); err != nil {
		t.Errorf("Remove = %v", err)
	}
	wantNoRemains(t, next)
}

// wantKilled: a process that lived until its kill met no error before.
func wantKilled(t *testing.T, err error) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("the process ended with %v before it was killed", err)
	}
}
