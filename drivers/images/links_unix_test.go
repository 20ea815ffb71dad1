//go:build unix

package images

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/aquarium-fish/aquarium-fish/drivers"
)

// TestLinkThatHangs: what an admin's link leads to may be a disk that does not
// answer. Then a list waits for it, and nobody else.
func TestLinkThatHangs(t *testing.T) {
	c, _ := stocked(t, Options{})
	away := t.TempDir()
	pipe := filepath.Join(away, markFile) // whoever opens it waits for a writer, and whoever reads it for bytes
	if err := errors.Join(unix.Mkfifo(pipe, 0o600), os.Symlink(away, filepath.Join(c.opts.Path, "far-1"))); err != nil {
		t.Fatal(err)
	}
	listed := make(chan error, 1)
	go func() {
		_, err := c.List(deadline(t))
		listed <- err
	}()
	writer, err := os.OpenFile(pipe, os.O_WRONLY, 0) // when the list is there
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Remove(deadline(t), "far-1"); !errors.Is(err, drivers.ErrImageForeign) {
		t.Errorf("Remove of the link = %v, want %v", err, drivers.ErrImageForeign)
	}
	if lack, err := c.evict(deadline(t), func(int64) int64 { return 1 }, false); lack > 0 || err != nil {
		t.Errorf("evict = %d, %v, want that the other image went", lack, err)
	}
	if err := errors.Join(writer.Close(), <-listed); err != nil {
		t.Errorf("List = %v", err)
	}
}
