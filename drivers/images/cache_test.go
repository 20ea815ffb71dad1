package images

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestLayouts(t *testing.T) {

	for _, tt := range []struct {
		name    string
		members []member
		want    string // folder inside; "" is an error
	}{
		{"id", []member{{name: "img_0123/img.tar", body: "x"}}, "img_0123"},
		{"version", []member{{name: "img-1/img.vmx", body: "x"}, {name: "readme", body: "x"}}, "img-1"},
		{"link", []member{{name: "store/img.tar", body: "x"}, link("img", "store")}, "img"},
		{"link to its like", []member{{name: "img_0123/img.tar", body: "x"}, link("img-1", "img_0123")}, "img-1"},
		{"exact among longer names", []member{{name: "img-1/img.tar", body: "x"}, {name: "imgother-1/y", body: "y"}}, "img-1"},
		{"folder of files", []member{{name: "img-1/"}}, "img-1"},
		{"at the top", []member{{name: "img.tar", body: "x"}}, "."},
		{"no folder", []member{{name: "other/img.tar", body: "x"}}, ""},
		{"a file of that name", []member{{name: "img-1", body: "x"}}, ""},
		{"two of that name", []member{{name: "img_a/img.tar", body: "x"}, {name: "img_b/img.tar", body: "x"}}, ""},
		{"link out", []member{link("img-1", "../../..")}, ""},
		{"nothing", nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, false, map[string][]byte{"/img-1.tar": tarOf(t, tt.members...)})
			c := newCache(t, Options{})
			image := Image{URL: s.URL + "/img-1.tar"}
			if tt.want == "" {
				wantRefusal(t, c, image, "archive")
				return
			}
			laid := mustGet(t, c, image)
			if want := filepath.Join(c.opts.Path, "img-1", tt.want); laid.Folder != want {
				t.Errorf("folder is %s, want %s", laid.Folder, want)
			}
			hasTar := tt.name != "version" && tt.name != "folder of files"
			if got := laid.Archive(); (got != "") != hasTar {
				t.Errorf("Archive() = %q", got)
			}
		})
	}
}

// The likeliest wrong archive is told what to do.
func TestBareDockerSave(t *testing.T) {
	s := newServer(t, false, map[string][]byte{"/img-1.tar": tarOf(t, member{name: "0123.json", body: "{}"}, member{name: "manifest.json", body: "[]"})})
	wantRefusal(t, newCache(t, Options{}), Image{URL: s.URL + "/img-1.tar"}, "put that into an archive as img.tar")
}

func TestFormats(t *testing.T) {
	members := []member{{name: "img_id/run.sh", body: "#!/bin/sh\n", mode: 0o755}, {name: "img_id/img.tar", body: noise(9000, 1), mode: 0o640}}
	files := map[string][]byte{"/img-1.zip": zipOf(t, members...), "/img-1.tar": tarOf(t, members...)}
	for _, ext := range []string{".xz", ".gz", ".zst"} {
		files["/img-1.tar"+ext] = packed(t, ext, files["/img-1.tar"])
	}
	s := newServer(t, false, files)
	for name, body := range files {
		t.Run(name, func(t *testing.T) {
			c := newCache(t, Options{})
			laid := mustGet(t, c, Image{URL: s.URL + name, Sum: sha(body)})
			if got := readFile(t, laid.Archive()); got != members[1].body {
				t.Errorf("img.tar has %d other bytes", len(got))
			}
			info, err := os.Stat(filepath.Join(laid.Folder, "run.sh"))
			if err != nil || info.Mode() != 0o755 || !info.ModTime().Equal(time.Unix(1e9, 0)) {
				t.Errorf("run.sh is %v, %v", info, err)
			}
			if left := remains(t, c.opts.Path); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

func TestPreFilledFolderIsUsed(t *testing.T) {
	dir := t.TempDir()
	inside := filepath.Join(dir, "img-1", "img_id")
	if err := os.MkdirAll(inside, 0o755); err != nil {
		t.Fatal(err)
	}
	c := newCache(t, Options{Path: dir})
	image := Image{URL: "https://127.0.0.1:1/img-1.tar.xz", Sum: sha(nil)}
	if !c.Have(image) {
		t.Error("Have is false for a folder that an admin filled")
	}
	if laid := mustGet(t, c, image); laid.Folder != inside || laid.Name != "img" || laid.Version != "1" {
		t.Errorf("laid is %+v, want %s", laid, inside)
	}
	if err := os.Rename(inside, filepath.Join(dir, "img-1", "other")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Get(deadline(t), image); err == nil || !strings.Contains(err.Error(), "remove it") || !strings.Contains(err.Error(), "other") {
		t.Errorf("Get of a folder that is no image = %v", err)
	}
	if c.Have(image) {
		t.Error("Have is true for a folder that is no image")
	}
}

func TestEmptyFolderIsNoImage(t *testing.T) {
	s := newServer(t, false, map[string][]byte{"/img-1.tar.gz": imageArchive(t, "img", 1)})
	c := newCache(t, Options{})
	if err := os.Mkdir(filepath.Join(c.opts.Path, "img-1"), 0o755); err != nil {
		t.Fatal(err)
	}
	laid := mustGet(t, c, Image{URL: s.URL + "/img-1.tar.gz"})
	if laid.Folder != filepath.Join(c.opts.Path, "img-1", "img_id") {
		t.Errorf("laid out in %s", laid.Folder)
	}
}

// Two labels that name their images alike never get each other's.
func TestLabelsCanNotPoisonEachOther(t *testing.T) {
	evil, good := imageArchive(t, "img", 1), imageArchive(t, "img", 2)
	s := newServer(t, false, map[string][]byte{"/evil/img-1.tar.gz": evil, "/good/img-1.tar.gz": good})
	first := Image{URL: s.URL + "/evil/img-1.tar.gz"}
	for _, tt := range []struct {
		name   string
		second Image
		want   byte
	}{
		{"sum", Image{URL: s.URL + "/good/img-1.tar.gz", Sum: sha(good)}, 2},
		{"other url", Image{URL: s.URL + "/good/img-1.tar.gz"}, 2},
		{"same sum elsewhere", Image{URL: "http://127.0.0.1:1/img-1.tar.gz", Sum: sha(evil)}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCache(t, Options{})
			if got := readFile(t, mustGet(t, c, first).Archive()); got != noise(300_000, 1) {
				t.Fatal("the first image is wrong")
			}
			for range 2 {
				if got := readFile(t, mustGet(t, c, tt.second).Archive()); got != noise(300_000, tt.want) {
					t.Fatal("the second image is the first one's")
				}
			}
			if !c.Have(first) || !c.Have(tt.second) {
				t.Error("Have is false for an image that is there")
			}
			wrong := Image{URL: s.URL + "/evil/img-1.tar.gz", Sum: sha(good)}
			if tt.name != "sum" {
				wantRefusal(t, c, wrong, "sum does not match")
			}
		})
	}
}

// An archive can not bring the mark by which the cache knows its content.
func TestMarkIsTheCaches(t *testing.T) {
	lie := `{"name":"img","version":"1","url":"","sums":{"sha256":"` + strings.Repeat("0", 64) + `"}}`
	s := newServer(t, false, map[string][]byte{"/img-1.tar": tarOf(t, member{name: markFile, body: lie}, member{name: "img-1/x", body: "x"})})
	c := newCache(t, Options{})
	mustGet(t, c, Image{URL: s.URL + "/img-1.tar"})
	if c.Have(Image{URL: "https://host/img-1.tar", Sum: "sha256:" + strings.Repeat("0", 64)}) {
		t.Error("the archive's own mark was believed")
	}
}

func TestDownloadIsShared(t *testing.T) {
	body := imageArchive(t, "img", 1)
	s := newServer(t, false, map[string][]byte{"/img-1.tar.gz": body})
	open := make(chan struct{})
	s.meddle = func(http.ResponseWriter, *http.Request, int) bool { <-open; return false }
	dir := t.TempDir()
	caches := []*Cache{newCache(t, Options{Path: dir}), newCache(t, Options{Path: dir})}
	image := Image{URL: s.URL + "/img-1.tar.gz", Sum: sha(body)}

	recalled, recall := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() {
		_, err := caches[0].Get(recalled, image)
		gone <- err
	}()
	waitFor(t, func() bool { return len(s.requests()) == 1 })
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			laid, err := caches[i%2].Get(deadline(t), image)
			if err != nil || laid.Archive() == "" {
				t.Errorf("waiter %d got %+v, %v", i, laid, err)
			}
		})
	}
	recall()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("recalled waiter got %v", err)
	}
	close(open)
	wg.Wait()
	if got := s.requests(); len(got) != 1 {
		t.Errorf("the server was asked %d times: %v", len(got), got)
	}
}

// The recall of the only waiter ends his waiting and not the download.
func TestRecallKeepsTheDownload(t *testing.T) {
	body := imageArchive(t, "img", 1)
	s := newServer(t, false, map[string][]byte{"/img-1.tar.gz": body})
	open := make(chan struct{})
	s.meddle = func(w http.ResponseWriter, _ *http.Request, _ int) bool {
		_, _ = w.Write(body[:1000])
		_ = http.NewResponseController(w).Flush()
		<-open
		_, _ = w.Write(body[1000:])
		return true
	}
	c := newCache(t, Options{})
	image := Image{URL: s.URL + "/img-1.tar.gz"}
	ctx, cancel := context.WithCancel(t.Context())
	waitThen := make(chan error)
	go func() { _, err := c.Get(ctx, image); waitThen <- err }()
	waitFor(t, func() bool { return len(s.requests()) == 1 })
	cancel()
	if err := <-waitThen; !errors.Is(err, context.Canceled) {
		t.Fatalf("Get = %v", err)
	}
	close(open)
	waitFor(t, func() bool { return c.Have(image) })
	if n := len(s.requests()); n != 1 {
		t.Errorf("asked %d times", n)
	}
	if _, err := c.Get(ctx, image); err != nil {
		t.Errorf("Get of what is there with an ended context = %v", err)
	}
	if _, err := c.Get(ctx, Image{URL: s.URL + "/img-2.tar.gz"}); !errors.Is(err, context.Canceled) {
		t.Errorf("Get with an ended context = %v", err)
	}
}

// Close ends a download, its waiters are told, and the next process goes on
// where it was.
func TestNextProcessResumes(t *testing.T) {
	body := imageArchive(t, "img", 1)
	s := newServer(t, false, map[string][]byte{"/img-1.tar.gz": body})
	half := make(chan struct{})
	s.meddle = func(w http.ResponseWriter, r *http.Request, n int) bool {
		if n > 1 {
			return false
		}
		_, _ = w.Write(body[:150_000])
		_ = http.NewResponseController(w).Flush()
		close(half)
		<-r.Context().Done()
		return true
	}
	dir := t.TempDir()
	image := Image{URL: s.URL + "/img-1.tar.gz", Sum: sha(body)}
	c := newCache(t, Options{Path: dir})
	result := make(chan error)
	go func() { _, err := c.Get(deadline(t), image); result <- err }()
	<-half
	waitFor(t, func() bool { return partSize(c, image) > 0 })
	before := partSize(c, image)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-result; !errors.Is(err, ErrClosed) {
		t.Errorf("waiter got %v, want ErrClosed", err)
	}
	if _, err := c.Get(deadline(t), image); !errors.Is(err, ErrClosed) {
		t.Errorf("Get after Close = %v, want ErrClosed", err)
	}
	mustGet(t, newCache(t, Options{Path: dir}), image)
	got := s.requests()[1].Range
	if got == "" || got == "bytes=0-" {
		t.Errorf("second process asked for %q, although %d bytes were there", got, before)
	}
}

func partSize(c *Cache, image Image) int64 {
	p, _ := image.parse()
	info, err := os.Stat(c.work(p.key(), ".part"))
	if err != nil {
		return 0
	}
	return info.Size()
}

// What was complete needs no server any more.
func TestCompleteDownloadNeedsNoServer(t *testing.T) {
	body := imageArchive(t, "img", 1)
	c := newCache(t, Options{})
	image := Image{URL: "http://127.0.0.1:1/img-1.tar.gz", Sum: sha(body)}
	p, _ := image.parse()
	if err := os.WriteFile(c.work(p.key(), ".part"), body, 0o600); err != nil {
		t.Fatal(err)
	}
	mustGet(t, c, image)
	if left := remains(t, c.opts.Path); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestNewSweeps(t *testing.T) {
	c := newCache(t, Options{})
	old, fresh, busy := c.work("old", ""), c.work("fresh", ""), c.work("busy", "")
	for _, key := range []string{old, fresh, busy} {
		if err := os.MkdirAll(filepath.Join(key+".tmp", "deep"), 0o700); err != nil {
			t.Fatal(err)
		}
		for _, suffix := range []string{".part", ".lock"} {
			if err := os.WriteFile(key+suffix, []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	long := time.Now().Add(-partAge - time.Hour)
	if err := os.Chtimes(old+".part", long, long); err != nil {
		t.Fatal(err)
	}
	held, err := tryLock(busy + ".lock")
	if err != nil || held == nil {
		t.Fatal(held, err)
	}
	defer held.release()
	newCache(t, Options{Path: c.opts.Path})
	want := "busy.lock busy.part busy.tmp fresh.part"
	if got := strings.Join(remains(t, c.opts.Path), " "); got != want {
		t.Errorf("left is %q, want %q", got, want)
	}
}

func TestOptions(t *testing.T) {
	logger := slog.New(slog.DiscardHandler)
	for _, tt := range []struct {
		name string
		opts Options
		want string
	}{
		{"no path", Options{Logger: logger}, "images_path"},
		{"no logger", Options{Path: "x"}, "logger"},
		{"weak sum", Options{Path: "x", Logger: logger, RequireSum: "md5"}, "images_require_sum"},
		{"relative root", Options{Path: "x", Logger: logger, FileRoots: []string{"here"}}, "images_file_roots"},
		{"bad mirror", Options{Path: "x", Logger: logger, Mirrors: []Mirror{{From: "https://a/", To: []string{"b"}}}}, "images_mirrors: entry 0: to 0: "},
		{"mirror with a password", Options{Path: "x", Logger: logger, Mirrors: []Mirror{{From: "https://me:hidden@a/"}}}, "images_mirrors: entry 0: from: image url holds a user"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := New(tt.opts); err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hidden") {
				t.Errorf("New = %v, want an error with %q and no password", err, tt.want)
			}
		})
	}
}

func TestCheck(t *testing.T) {
	c := newCache(t, Options{RequireSum: "sha256", FileRoots: []string{"/images"}})
	hex := strings.Repeat("a", 128)
	for _, tt := range []struct {
		name  string
		image Image
		ok    bool
	}{
		{"strong", Image{URL: "https://host/a-1.tar", Sum: "sha256:" + hex[:64]}, true},
		{"stronger", Image{URL: "https://host/a-1.tar", Sum: "sha512:" + hex}, true},
		{"weak", Image{URL: "https://host/a-1.tar", Sum: "md5:" + hex[:32]}, false},
		{"none", Image{URL: "https://host/a-1.tar"}, false},
		{"file below", Image{URL: "file:///images/x/a-1.tar", Sum: "sha256:" + hex[:64]}, true},
		{"file beside", Image{URL: "file:///images2/a-1.tar", Sum: "sha256:" + hex[:64]}, false},
		{"file through dots", Image{URL: "file:///images/../etc/a-1.tar", Sum: "sha256:" + hex[:64]}, false},
		{"invalid", Image{}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := c.Check(tt.image); (err == nil) != tt.ok {
				t.Errorf("Check = %v, want ok %v", err, tt.ok)
			}
			if !tt.ok && c.Have(tt.image) {
				t.Error("Have is true for what is not allowed")
			}
			if _, err := c.Get(t.Context(), tt.image); !tt.ok && err == nil {
				t.Error("Get gave what is not allowed")
			}
		})
	}
}

func TestFiles(t *testing.T) {
	root, other := t.TempDir(), t.TempDir()
	body := imageArchive(t, "img", 1)
	for _, path := range []string{filepath.Join(root, "img-1.tar.gz"), filepath.Join(other, "img-2.tar.gz")} {
		if err := os.WriteFile(path, body, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(other, "img-2.tar.gz"), filepath.Join(root, "img-2.tar.gz")); err != nil {
		t.Fatal(err)
	}
	c := newCache(t, Options{FileRoots: []string{root}})
	laid := mustGet(t, c, Image{URL: "file://" + root + "/img-1.tar.gz", Sum: sha(body)})
	if readFile(t, laid.Archive()) != noise(300_000, 1) {
		t.Error("other content")
	}
	if !bytes.Equal([]byte(readFile(t, root, "img-1.tar.gz")), body) {
		t.Error("the admin's file was changed")
	}
	wantRefusal(t, c, Image{URL: "file://" + root + "/img-2.tar.gz"}, "open file")
	wantRefusal(t, c, Image{URL: "file://" + other + "/img-2.tar.gz"}, "images_file_roots")
	wantRefusal(t, c, Image{URL: "file://" + root + "/img-1.tar.gz", Sum: sha(nil)}, "sum does not match")
	wantRefusal(t, c, Image{URL: "file://" + root + "/img-3.tar.gz"}, "no such file")
}

func waitFor(t testing.TB, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain")
		}
	}
}
