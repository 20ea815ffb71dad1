//go:build unix

package vmx

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/claims"
)

// TestUnreadableClaim: it keeps neither the instance from its start nor the
// others from being listed, and its image stays, as nobody knows that it went.
func TestUnreadableClaim(t *testing.T) {
	t.Parallel()
	s := newSite(t, short)
	d := s.start(t)
	broken, well := request(), request()
	for _, req := range []drivers.Request{broken, well} {
		if _, err := d.Allocate(within(t, time.Minute), req); err != nil {
			t.Fatal(err)
		}
	}
	c, _, err := d.workspace.Find(reference(broken))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(d.workspace.Folder(c.Name), specFile)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, "{")

	d = s.start(t)
	unreadable := func(err error) bool { var u *claims.UnreadableError; return errors.As(err, &u) && u.Path == path }
	if refs, err := d.List(within(t, time.Minute)); len(refs) != 1 || refs[0].Token != well.Token || !unreadable(err) {
		t.Errorf("List() = %+v, %v, want the other one, and which can not be read", refs, err)
	}
	if err := d.Deallocate(within(t, time.Minute), reference(broken)); !unreadable(err) {
		t.Errorf("Deallocate() = %v, want what can not be read", err)
	}
	if held, err := filepath.Glob(filepath.Join(d.settings.ImagesPath, ".fish", "use", "*", "by-"+broken.Token)); err != nil || len(held) != 1 {
		t.Errorf("its image is held by %v, %v", held, err)
	}
	write(t, path, string(whole))
	for _, req := range []drivers.Request{broken, well} {
		if err := d.Deallocate(within(t, time.Minute), reference(req)); err != nil {
			t.Error(err)
		}
	}
	s.wantNothing(t)
}
