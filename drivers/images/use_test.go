package images

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
)

// stocked is a cache with one image that no server is needed for any more, and
// options with which another cache shares it.
func stocked(t testing.TB, opts Options) (*Cache, Image) {
	t.Helper()
	s := newServer(t, false, map[string][]byte{"/img-1.tar": plainImage(t, "img", 1000)})
	c := newCache(t, opts)
	image := Image{URL: s.URL + "/img-1.tar"}
	mustGet(t, c, image)
	return c, image
}

// plainImage is an archive of an image that takes about so many bytes.
func plainImage(t testing.TB, name string, size int) []byte {
	t.Helper()
	return tarOf(t, member{name: name + "-1/" + name + ".tar", body: noise(size, byte(len(name)))})
}

func mustUse(t testing.TB, c *Cache, image Image, holder string) (Laid, func()) {
	t.Helper()
	laid, release, err := c.Use(deadline(t), image, Holder{Name: holder})
	if err != nil {
		t.Fatalf("Use(%+v, %q) = %v", image, holder, err)
	}
	return laid, release
}

// wantInUse checks what the list says of the image, and that it is not removed
// where it is in use.
func wantInUse(t testing.TB, c *Cache, id string, want bool) {
	t.Helper()
	if got := listed1(t, c, id); got.InUse != want {
		t.Errorf("%s is listed as %+v, want in use %v", id, got, want)
	}
	if !want {
		return
	}
	if err := c.Remove(deadline(t), id); !errors.Is(err, drivers.ErrImageInUse) {
		t.Errorf("Remove of an image in use = %v", err)
	}
	if _, err := c.evict(deadline(t), func(sum int64) int64 { return sum }, false); err != nil {
		t.Error(err)
	}
	if listed1(t, c, id).State != drivers.ImageReady {
		t.Error("an image in use was evicted")
	}
}

func listed1(t testing.TB, c *Cache, id string) drivers.ImageStatus {
	t.Helper()
	all := list(t, c)
	at := slices.IndexFunc(all, func(s drivers.ImageStatus) bool { return s.ID == id })
	if at < 0 {
		t.Fatalf("%s is not among %+v", id, all)
	}
	return all[at]
}

func list(t testing.TB, c *Cache) []drivers.ImageStatus {
	t.Helper()
	all, err := c.List(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestUseOfAProcess(t *testing.T) {
	c, image := stocked(t, Options{})
	other := newCache(t, Options{Path: c.opts.Path})
	if s := listed1(t, c, "img-1"); !s.UsedAt.IsZero() || s.InUse {
		t.Errorf("an image that was never used is %+v", s)
	}
	began := time.Now().Add(-time.Second)
	laid, release := mustUse(t, c, image, "")
	_, second := mustUse(t, other, image, "")
	if laid.Archive() == "" {
		t.Errorf("used is %+v", laid)
	}
	for _, from := range []*Cache{c, other} {
		wantInUse(t, from, "img-1", true)
	}
	release()
	release()
	wantInUse(t, c, "img-1", true)
	second()
	wantInUse(t, other, "img-1", false)
	if used := listed1(t, c, "img-1").UsedAt; used.Before(began) {
		t.Errorf("last used %v, want now", used)
	}
	if err := c.Remove(deadline(t), "img-1"); err != nil {
		t.Errorf("Remove = %v", err)
	}
	if other.Have(image) || len(list(t, other)) != 0 {
		t.Errorf("after Remove there is %+v", list(t, other))
	}
	wantNoRemains(t, c)
}

// wantNoRemains checks that the cache's own folders are empty.
func wantNoRemains(t testing.TB, c *Cache) {
	t.Helper()
	for _, dir := range []string{c.uses(""), c.trash(), c.work("", "")} {
		left, err := os.ReadDir(dir)
		if err != nil || len(left) > 0 {
			t.Errorf("left in %s: %v, %v", dir, left, err)
		}
	}
}

func TestUseOfAHolder(t *testing.T) {
	c, image := stocked(t, Options{Owner: "node"})
	_, release := mustUse(t, c, image, "token")
	release()
	mustUse(t, c, image, "token2")
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	next := newCache(t, Options{Path: c.opts.Path, Owner: "node"})
	wantInUse(t, next, "img-1", true)
	for _, holder := range []string{"token", "token", "nobody", "token2"} {
		wantInUse(t, next, "img-1", true)
		if err := next.Unuse(holder); err != nil {
			t.Errorf("Unuse(%q) = %v", holder, err)
		}
	}
	wantInUse(t, next, "img-1", false)
	for _, holder := range []string{"", "../x", "a/b", strings.Repeat("x", 65)} {
		if err := next.Unuse(holder); err == nil {
			t.Errorf("Unuse(%q) = nil", holder)
		}
	}
	if _, _, err := newCache(t, Options{Path: c.opts.Path}).Use(deadline(t), image, Holder{Name: "token"}); err == nil {
		t.Error("a holder without an owner is known by nobody")
	}
}

// Of the holders on disk only those of the same owner that are gone lose what
// they hold, and one that comes while they are counted is not lost.
func TestSweepUses(t *testing.T) {
	c, image := stocked(t, Options{Owner: "node"})
	other := newCache(t, Options{Path: c.opts.Path, Owner: "other"})
	for holder, by := range map[string]*Cache{"live": c, "dead": c, "theirs": other} {
		_, release := mustUse(t, by, image, holder)
		release()
	}
	err := c.SweepUses(deadline(t), func(context.Context) ([]string, error) {
		_, release := mustUse(t, c, image, "comes")
		release()
		return []string{"live", "unheard"}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := filepath.Glob(c.uses("*", claimMark+"*"))
	for i := range got {
		got[i] = filepath.Base(got[i])
	}
	if want := []string{"by-comes", "by-live", "by-theirs"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("holders are %v, %v, want %v", got, err, want)
	}
	broken := errors.New("not now")
	if err := c.SweepUses(deadline(t), func(context.Context) ([]string, error) { return nil, broken }); !errors.Is(err, broken) {
		t.Errorf("SweepUses = %v, want what went wrong", err)
	}
	wantInUse(t, c, "img-1", true)
}

// An image that goes between the look and the use is got again.
func TestUseOfWhatGoes(t *testing.T) {
	body := plainImage(t, "img", 1000)
	s := newServer(t, false, map[string][]byte{"/img-1.tar": body})
	c := newCache(t, Options{})
	image := Image{URL: s.URL + "/img-1.tar"}
	laid := mustGet(t, c, image)
	if err := c.Remove(deadline(t), "img-1"); err != nil {
		t.Fatal(err)
	}
	p, _ := image.parse()
	if held, err := c.hold(deadline(t), p, laid, Holder{}); held != nil || err != nil {
		t.Errorf("hold of what is gone = %v, %v", held, err)
	}
	if laid, release := mustUse(t, c, image, ""); laid.Archive() == "" {
		t.Error("the image is not there")
	} else {
		release()
	}
	if n := len(s.requests()); n != 2 {
		t.Errorf("asked %d times", n)
	}
}

// What has just come stays until all who waited for it have taken it, and no
// longer.
func TestWhatComesStays(t *testing.T) {
	s := newServer(t, false, map[string][]byte{"/img-1.tar": plainImage(t, "img", 1000)})
	open := make(chan struct{})
	s.meddle = func(http.ResponseWriter, *http.Request, int) bool { <-open; return false }
	c := newCache(t, Options{})
	image := Image{URL: s.URL + "/img-1.tar"}
	p, _ := image.parse()
	var leave []func()
	got := make(chan func())
	for range 2 {
		go func() {
			_, landed, err := c.get(deadline(t), p)
			if err != nil {
				t.Error(err)
			}
			got <- landed
		}()
	}
	gone, give := context.WithCancel(t.Context())
	go func() {
		_, _, err := c.get(gone, p)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("who gave up got %v", err)
		}
		got <- func() {}
	}()
	waitFor(t, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		f := c.flights[p.key()]
		return f != nil && f.waiters == 3
	})
	if err := c.Remove(deadline(t), "img-1"); !errors.Is(err, drivers.ErrImageInUse) {
		t.Errorf("Remove of what is on its way = %v", err)
	}
	give()
	leave = append(leave, <-got)
	close(open)
	leave = append(leave, <-got, <-got)
	for _, landed := range leave {
		wantInUse(t, c, "img-1", true)
		landed()
	}
	wantInUse(t, c, "img-1", false)
}

// What is read of a folder while it is evicted, and another laid out in its
// place, is neither an error nor believed to be an admin's.
func TestFindWhileItGoes(t *testing.T) {
	c, image := stocked(t, Options{})
	place := filepath.Join(c.opts.Path, "img-1")
	root, err := os.OpenRoot(place)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if !stays(root, place) {
		t.Error("the folder stays")
	}
	if err := c.Remove(deadline(t), "img-1"); err != nil {
		t.Fatal(err)
	}
	if stays(root, place) {
		t.Error("the folder is gone")
	}
	if err := os.MkdirAll(filepath.Join(place, "img-1"), 0o700); err != nil {
		t.Fatal(err)
	}
	if stays(root, place) {
		t.Error("the folder is another")
	}
	// Over and over, beside who looks.
	again := Image{URL: image.URL, Name: "loop", Version: "1"}
	other := filepath.Join(c.opts.Path, "loop-1")
	p, _ := again.parse()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 300 {
			tmp := filepath.Join(c.opts.Path, hidden, "tmp")
			err := errors.Join(os.MkdirAll(filepath.Join(tmp, "loop-1"), 0o700),
				os.WriteFile(filepath.Join(tmp, markFile), []byte(`{"name":"loop","version":"1","url":"http://elsewhere/`+strings.Repeat("x", i)+`"}`), 0o600),
				os.Rename(tmp, other), os.Rename(other, tmp), os.RemoveAll(tmp))
			if err != nil {
				t.Error(err)
			}
		}
	}()
	for {
		if laid, found, err := c.find(p); found || err != nil {
			<-done
			t.Fatalf("find of another image = %+v, %v", laid, err)
		}
		select {
		case <-done:
			return
		default:
		}
	}
}
