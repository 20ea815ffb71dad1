package images

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
)

// The size of an admin's folder is found beside a list, which waits for it only
// so long.
func TestMeasure(t *testing.T) {
	c := newCache(t, Options{})
	folder := filepath.Join(c.opts.Path, "own-1")
	if err := errors.Join(os.MkdirAll(filepath.Join(folder, "own"), 0o755), os.WriteFile(filepath.Join(folder, "own", "f"), []byte(noise(1<<20, 1)), 0o600)); err != nil {
		t.Fatal(err)
	}
	over := make(chan time.Time)
	close(over)
	c.mu.Lock()
	c.sizes[folder] = &measured{walk: make(chan struct{})} // one that hangs
	c.mu.Unlock()
	if got := c.measure(folder, over); got != 0 {
		t.Errorf("measure() = %d while nobody knows", got)
	}
	c.mu.Lock()
	delete(c.sizes, folder)
	c.mu.Unlock()
	first := listed1(t, c, "own-1")
	if first.Size < 1<<20 || first.Size > 2<<20 || first.State != drivers.ImageReady {
		t.Errorf("the folder is %+v", first)
	}
	if err := os.WriteFile(filepath.Join(folder, "own", "g"), []byte(noise(1<<20, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if s := listed1(t, c, "own-1"); s.Size != first.Size {
		t.Errorf("walked again at once: %d", s.Size)
	}
	c.mu.Lock()
	c.sizes[folder].at = time.Now().Add(-measureEvery)
	c.mu.Unlock()
	if s := listed1(t, c, "own-1"); s.Size < 2<<20 {
		t.Errorf("the folder is %+v later", s)
	}
}

// A file counts once, whatever names it has, and holes in it for nothing.
func TestSizeOf(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "f")
	if err := errors.Join(
		os.WriteFile(file, []byte(noise(1<<20, 1)), 0o600), os.Link(file, filepath.Join(dir, "g")), os.Symlink("f", filepath.Join(dir, "l")),
		os.Truncate(file, 1<<30),
	); err != nil {
		t.Fatal(err)
	}
	if got := sizeOf(dir, nil); got < 1<<20 || got > 1<<20+100_000 {
		t.Errorf("sizeOf() = %d, want about 1 MB", got)
	}
	if got := sizeOf(dir, func() bool { return true }); got > 100_000 {
		t.Errorf("sizeOf() that is ended = %d", got)
	}
}

// An image that an admin moved to another disk is an admin's.
func TestMovedImageIsKept(t *testing.T) {
	c, image := stocked(t, Options{})
	place, away := filepath.Join(c.opts.Path, "img-1"), filepath.Join(t.TempDir(), "away")
	if err := errors.Join(os.Rename(place, away), os.Symlink(away, place)); err != nil {
		t.Fatal(err)
	}
	if !c.Have(image) {
		t.Error("it is not used any more")
	}
	if err := c.Remove(deadline(t), "img-1"); !errors.Is(err, drivers.ErrImageForeign) {
		t.Errorf("Remove = %v", err)
	}
	if lack, err := c.evict(deadline(t), func(int64) int64 { return 1 }, false); lack != 1 || err != nil || !c.Have(image) {
		t.Errorf("evict = %d, %v", lack, err)
	}
	if s := listed1(t, c, "img-1"); s.Name != "img" || s.Size == 0 {
		t.Errorf("it is listed as %+v", s)
	}
}

// TestLinkIsNotReplaced: a link that leads nowhere is that of a disk that is not
// mounted yet, and one to another image is as much an admin's.
func TestLinkIsNotReplaced(t *testing.T) {
	_, image := shelf(t)
	c := newCache(t, Options{})
	mustGet(t, c, image("a"))
	links := map[string]string{"b": filepath.Join(t.TempDir(), "nowhere"), "c": filepath.Join(c.opts.Path, "a-1")}
	for name, to := range links {
		link := filepath.Join(c.opts.Path, name+"-1")
		if err := os.Symlink(to, link); err != nil {
			t.Fatal(err)
		}
		mustGet(t, c, image(name))
		if got, err := os.Readlink(link); got != to || err != nil {
			t.Errorf("the link to %s became %q, %v", to, got, err)
		}
	}
}
