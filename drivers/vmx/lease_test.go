//go:build unix

package vmx

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/images"
)

// TestImageOfANodeThatIsAway: an environment keeps its image however long its
// node is away, and a node that lives says so.
func TestImageOfANodeThatIsAway(t *testing.T) {
	t.Parallel()
	s := newSite(t, short)
	d := s.start(t)
	req := request()
	if _, err := d.Allocate(within(t, time.Minute), req); err != nil {
		t.Fatal(err)
	}
	marks, err := filepath.Glob(filepath.Join(d.settings.ImagesPath, ".fish", "use", "*", "by-"+req.Token))
	if err != nil || len(marks) != 1 {
		t.Fatalf("the environment holds %v, %v", marks, err)
	}
	long := time.Now().Add(-10 * 365 * 24 * time.Hour)
	if err := os.Chtimes(marks[0], long, long); err != nil {
		t.Fatal(err)
	}
	other, err := images.New(images.Options{Path: d.settings.ImagesPath, Logger: d.log})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := d.List(within(t, time.Minute)); err != nil {
		t.Fatal(err)
	}
	s.await(t, "renewal", func() bool {
		info, err := os.Stat(marks[0])
		if err != nil {
			t.Fatalf("the image is not held any more: %v", err)
		}
		return time.Since(info.ModTime()) < time.Hour
	})
	if err := d.Deallocate(within(t, time.Minute), reference(req)); err != nil {
		t.Error(err)
	}
	s.wantNothing(t)
}
