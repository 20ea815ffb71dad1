package native

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/claims"
)

// TestUnreadableClaim: it keeps none of the others from being listed, and none
// from the node's start.
func TestUnreadableClaim(t *testing.T) {
	s := newSite(t, process)
	d := s.start(t)
	well := drivers.Request{ApplicationUID: uuid.New(), Token: strings.Repeat("3c", 16), Definition: definition(`{}`)}
	if _, err := d.workspace.Claim(t.Context(), well); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(s.workspace(), "fish-aaaaaa", specFile)
	if err := errors.Join(os.Mkdir(filepath.Dir(path), folderMode), os.WriteFile(path, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	d = s.start(t)
	refs, err := d.List(t.Context())
	var u *claims.UnreadableError
	if len(refs) != 1 || refs[0].Token != well.Token || !errors.As(err, &u) || u.Path != path {
		t.Errorf("List() = %+v, %v, want the other one, and which can not be read", refs, err)
	}
	if err := d.Deallocate(t.Context(), refs[0]); err != nil {
		t.Error(err)
	}
}
