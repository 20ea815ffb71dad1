package images

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
)

// shelf serves images of 100 KB each, a-1 to e-1.
func shelf(t testing.TB) (*server, func(name string) Image) {
	t.Helper()
	files := map[string][]byte{}
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		files["/"+name+"-1.tar"] = plainImage(t, name, 100_000)
	}
	s := newServer(t, false, files)
	return s, func(name string) Image { return Image{URL: s.URL + "/" + name + "-1.tar"} }
}

// age makes the image look as if it was laid out and last used so long ago;
// used 0 is never.
func age(t testing.TB, c *Cache, id string, laid, used time.Duration) {
	t.Helper()
	at := time.Now().Add(-laid)
	if err := os.Chtimes(filepath.Join(c.opts.Path, id, markFile), at, at); err != nil {
		t.Fatal(err)
	}
	if used == 0 {
		return
	}
	at = time.Now().Add(-used)
	if err := errors.Join(os.MkdirAll(c.uses(id), 0o700), os.WriteFile(c.uses(id, usedFile), nil, 0o600), os.Chtimes(c.uses(id, usedFile), at, at)); err != nil {
		t.Fatal(err)
	}
}

// ids are those of all images that are laid out.
func ids(t testing.TB, c *Cache) string {
	t.Helper()
	var names []string
	for _, s := range list(t, c) {
		if s.State == drivers.ImageReady {
			names = append(names, s.ID)
		}
	}
	return strings.Join(names, " ")
}

func TestLimitEvictsByLastUse(t *testing.T) {
	_, image := shelf(t)
	dir := t.TempDir()
	c := newCache(t, Options{Path: dir})
	for _, name := range []string{"a", "b", "c"} {
		mustGet(t, c, image(name))
	}
	if err := os.MkdirAll(filepath.Join(dir, "admin-1", "admin-1"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "admin-1", "admin-1", "big"), []byte(noise(1<<20, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	age(t, c, "a-1", 5*time.Hour, time.Hour) // laid out first, used last
	age(t, c, "b-1", 4*time.Hour, 3*time.Hour)
	age(t, c, "c-1", 2*time.Hour, 0)
	limited := newCache(t, Options{Path: dir, MaxSize: 400_000})
	mustGet(t, limited, image("d"))
	if got, want := ids(t, c), "a-1 admin-1 c-1 d-1"; got != want {
		t.Errorf("kept are %s, want %s", got, want)
	}
	_, release := mustUse(t, c, image("c"), "")
	age(t, c, "c-1", 2*time.Hour, 2*time.Hour) // the oldest, and in use
	mustGet(t, limited, image("b"))
	if got, want := ids(t, c), "admin-1 b-1 c-1 d-1"; got != want {
		t.Errorf("kept are %s, want %s", got, want)
	}
	// All that may stay are in use: an image that is needed comes nevertheless.
	_, release2 := mustUse(t, c, image("b"), "")
	_, release3 := mustUse(t, c, image("d"), "")
	mustGet(t, limited, image("e"))
	mustGet(t, limited, image("a"))
	if got, want := ids(t, c), "a-1 admin-1 b-1 c-1 d-1"; got != want {
		t.Errorf("kept are %s, want %s", got, want)
	}
	for _, done := range []func(){release, release2, release3} {
		done()
	}
	mustGet(t, limited, image("e"))
	if got, want := ids(t, c), "a-1 admin-1 d-1 e-1"; got != want {
		t.Errorf("kept are %s, want %s", got, want)
	}
	if left, err := os.ReadDir(c.trash()); err != nil || len(left) > 0 {
		t.Errorf("evicted and not removed: %v, %v", left, err)
	}
}

func TestImageBeyondTheLimit(t *testing.T) {
	zeros := packed(t, ".gz", tarOf(t, member{name: "z-1/z.tar", body: strings.Repeat("\x00", 1<<20)}))
	s := newServer(t, false, map[string][]byte{"/a-1.tar": plainImage(t, "a", 300_000), "/z-1.tar.gz": zeros, "/b-1.tar": plainImage(t, "b", 1000)})
	c := newCache(t, Options{MaxSize: 200_000})
	mustGet(t, c, Image{URL: s.URL + "/b-1.tar"})
	wantRefusal(t, c, Image{URL: s.URL + "/a-1.tar"}, "images_max_size")
	wantRefusal(t, c, Image{URL: s.URL + "/z-1.tar.gz"}, "images_max_size")
	s.meddle = func(w http.ResponseWriter, _ *http.Request, _ int) bool {
		_ = http.NewResponseController(w).Flush() // so that its length is not stated
		_, _ = w.Write(s.files["/a-1.tar"])
		return true
	}
	wantRefusal(t, c, Image{URL: s.URL + "/a-1.tar"}, "200000 bytes of images_max_size")
	if got := ids(t, c); got != "b-1" {
		t.Errorf("kept are %q", got)
	}
}

// The disk is what images, downloads and others take of it.
func TestRoomIsMadeForADownload(t *testing.T) {
	_, image := shelf(t)
	for _, tt := range []struct {
		name string
		size int64 // of the disk, above what stays free
		want string
		err  string
	}{
		{"there is room", 600_000, "a-1 b-1 c-1", ""},
		{"one goes", 420_000, "b-1 c-1", ""},
		{"both go", 250_000, "c-1", ""},
		{"in vain", 200_000, "a-1 b-1", "no room left on the disk"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			limits := quick()
			limits.MinFree = 10_000
			c := newCache(t, Options{Limits: limits})
			mustGet(t, c, image("a"))
			mustGet(t, c, image("b"))
			age(t, c, "a-1", time.Hour, 0)
			c.room = func(string) (int64, error) { return tt.size + limits.MinFree - sizeOf(c.opts.Path, nil), nil }
			_, err := c.Get(deadline(t), image("c"))
			if (err != nil) != (tt.err != "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("Get = %v, want an error with %q", err, tt.err)
			}
			if got := ids(t, c); got != tt.want {
				t.Errorf("kept are %q, want %q", got, tt.want)
			}
		})
	}
}

// Where the estimate was too low, images go while another is unpacked.
func TestRoomIsMadeWhileUnpacking(t *testing.T) {
	_, image := shelf(t)
	big := packed(t, ".gz", tarOf(t, member{name: "z-1/z.tar", body: strings.Repeat("\x00", 2*roomEvery)}))
	s := newServer(t, false, map[string][]byte{"/z-1.tar.gz": big})
	limits := quick()
	limits.MinFree = 10_000
	c := newCache(t, Options{Limits: limits})
	mustGet(t, c, image("a"))
	var looks int
	c.room = func(string) (int64, error) {
		if looks++; looks == 3 { // after the one before the download and the one before the unpacking
			return 1, nil
		}
		return 1 << 40, nil
	}
	// One image is too small for what is asked for, so it stays, and the disk is full.
	wantRefusal(t, c, Image{URL: s.URL + "/z-1.tar.gz"}, "no room left on the disk")
	if got := ids(t, c); got != "a-1" {
		t.Errorf("kept are %q", got)
	}
	rewriteSize(t, c, "a-1", 1<<30) // as far as the cache knows it is enough
	looks = 0
	mustGet(t, c, Image{URL: s.URL + "/z-1.tar.gz"})
	if got := ids(t, c); got != "z-1" {
		t.Errorf("kept are %q", got)
	}
}

func rewriteSize(t testing.TB, c *Cache, id string, size int64) {
	t.Helper()
	path := filepath.Join(c.opts.Path, id, markFile)
	text := readFile(t, path)
	at := strings.LastIndex(text, `"size":`)
	if err := os.WriteFile(path, []byte(text[:at]+fmt.Sprintf(`"size":%d}`, size)), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestVictims(t *testing.T) {
	now := time.Now()
	all := []kept{
		{id: "new", size: 10, laid: now}, {id: "old", size: 10, laid: now.Add(-time.Hour)},
		{id: "used", size: 10, laid: now.Add(-2 * time.Hour), used: now.Add(-time.Minute)},
	}
	for _, tt := range []struct {
		bytes int64
		whole bool
		want  string
	}{{0, false, ""}, {-5, true, ""}, {1, true, "old"}, {10, true, "old"}, {11, false, "old used"}, {30, true, "old used new"}, {31, true, ""}, {31, false, "old used new"}} {
		var got []string
		for _, k := range victims(slices.Clone(all), tt.bytes, tt.whole) {
			got = append(got, k.id)
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("victims(%d, %v) = %v, want %s", tt.bytes, tt.whole, got, tt.want)
		}
	}
}

// A download that nobody goes on with takes room too, and is removed as images
// are; one that a process works on is not.
func TestPartsGoToo(t *testing.T) {
	_, image := shelf(t)
	c := newCache(t, Options{MaxSize: 250_000})
	for _, key := range []string{"left", "busy"} {
		if err := os.WriteFile(c.work(key, ".part"), []byte(noise(200_000, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	held, err := tryLock(c.work("busy", ".lock"))
	if err != nil || held == nil {
		t.Fatal(err)
	}
	defer held.release()
	if s := listed1(t, c, "left"); s.State != drivers.ImageFailed || s.Done != 200_000 || s.InUse || !strings.Contains(s.Error, "interrupted") {
		t.Errorf("an interrupted download is %+v", s)
	}
	if s := listed1(t, c, "busy"); s.State != drivers.ImageDownloading || s.Done != 200_000 || !s.InUse {
		t.Errorf("another's download is %+v", s)
	}
	if err := c.Remove(deadline(t), "busy"); !errors.Is(err, drivers.ErrImageInUse) {
		t.Errorf("Remove of another's download = %v", err)
	}
	mustGet(t, c, image("a"))
	if got := strings.Join(remains(t, c.opts.Path), " "); got != "busy.lock busy.part" {
		t.Errorf("left are %s", got)
	}
	if err := os.WriteFile(c.work("left", ".part"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.Remove(deadline(t), "left"); err != nil {
		t.Errorf("Remove of an interrupted download = %v", err)
	}
	if err := c.Remove(deadline(t), "left"); !errors.Is(err, drivers.ErrImageUnknown) {
		t.Errorf("Remove of nothing = %v", err)
	}
}

func TestRemove(t *testing.T) {
	c, image := stocked(t, Options{})
	for _, id := range []string{"", ".", "..", ".fish", "img-2", "../" + filepath.Base(c.opts.Path), "img-1/img-1", "use"} {
		if err := c.Remove(deadline(t), id); !errors.Is(err, drivers.ErrImageUnknown) {
			t.Errorf("Remove(%q) = %v, want unknown", id, err)
		}
	}
	admin := filepath.Join(c.opts.Path, "own-1", "own")
	if err := os.MkdirAll(admin, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := c.Remove(deadline(t), "own-1"); !errors.Is(err, drivers.ErrImageForeign) || !strings.Contains(err.Error(), filepath.Dir(admin)) {
		t.Errorf("Remove of an admin's folder = %v, want where to remove it", err)
	}
	if s := listed1(t, c, "own-1"); s.Name != "own" || s.Version != "1" || s.Source != "" || s.State != drivers.ImageReady {
		t.Errorf("an admin's folder is %+v", s)
	}
	// A process that died after the image was out of sight left the rest.
	if err := os.MkdirAll(filepath.Join(c.trash(), "old-1-x", "deep"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.MkdirAll(c.uses("gone-1"), 0o700), os.WriteFile(c.uses("gone-1", useLock), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	newCache(t, Options{Path: c.opts.Path})
	for _, path := range []string{filepath.Join(c.trash(), "old-1-x"), c.uses("gone-1")} {
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s stays", path)
		}
	}
	if !c.Have(image) {
		t.Error("the image went as well")
	}
	if err := c.Remove(deadline(t), "img-1"); err != nil || c.Have(image) {
		t.Errorf("Remove = %v", err)
	}
	wantNoRemains(t, c)
}

// Several that share a folder and its limit remove what is needed once.
func TestEvictionIsShared(t *testing.T) {
	_, image := shelf(t)
	dir := t.TempDir()
	var caches []*Cache
	for range 4 {
		caches = append(caches, newCache(t, Options{Path: dir}))
	}
	for i, name := range []string{"a", "b", "c", "d", "e"} {
		mustGet(t, caches[0], image(name))
		age(t, caches[0], name+"-1", time.Duration(10-i)*time.Hour, 0)
	}
	done := make(chan error)
	for _, c := range caches {
		go func() {
			_, err := c.evict(deadline(t), func(sum int64) int64 { return sum - 400_000 }, false)
			done <- err
		}()
	}
	for range caches {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if got := ids(t, caches[0]); got != "c-1 d-1 e-1" {
		t.Errorf("kept are %q", got)
	}
}
