package native

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/volume"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/google/uuid"
)

func disked(disks map[string]model.Disk) model.LabelDefinition {
	def := definition(`{"entry":"sleep 100"}`)
	def.Resources.Disks = disks
	return def
}

// TestDiskNeed: a reused disk is counted until it is made.
func TestDiskNeed(t *testing.T) {
	s := newSite(t, process)
	d := s.start(t)
	def := disked(map[string]model.Disk{
		"ws": {Type: "dir", Size: 20}, "free": {Type: "dir"}, "cache": {Type: "raw", Size: 5, Reuse: true, Label: "shared"},
	})
	if gb, on := d.DiskNeed(def); gb != 25 || on == "" {
		t.Errorf("DiskNeed() = %d GB on %q, want 25", gb, on)
	}
	kept := d.shelf.Folder("shared")
	if err := os.MkdirAll(kept, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(kept, "image"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if gb, _ := s.open(t, "native/other", node).DiskNeed(def); gb != 25 {
		t.Errorf("DiskNeed() = %d GB, want 25, as the reused disk may grow", gb)
	}
	if err := os.RemoveAll(kept); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(kept, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	def.Resources.Disks["cache"] = model.Disk{Type: "dir", Size: 5, Reuse: true, Label: "shared"}
	if gb, _ := s.open(t, "native/third", node).DiskNeed(def); gb != 20 {
		t.Errorf("DiskNeed() = %d GB, want 20, as the reused folder is there", gb)
	}
}

// TestWrittenIsNotTakenTwice: what an environment writes to its disks is part
// of what it was promised, and no more of it than that.
func TestWrittenIsNotTakenTwice(t *testing.T) {
	d := newSite(t, process).start(t)
	place := func(o owner, token string, gb uint, bytes int) {
		c, err := d.workspace.claim(claim{owner: o, Token: token, DiskGB: gb}, func(string) (bool, error) { return false, nil })
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(volume.DisksOf(d.workspace.folder(c.Identifier)), "d", "data", "f"), string(make([]byte, bytes)), 0o600)
	}
	token := func(last string) string { return strings.Repeat("ab", 15) + "c" + last }
	const mb = 1 << 20
	written := func() int64 {
		t.Helper()
		n, err := d.workspace.written(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := written(); n != 0 {
		t.Errorf("written() of the empty workspace = %d", n)
	}
	place(d.workspace.owner, token("0"), 1, 8*mb)
	place(owner{d.workspace.owner.Node, "native/other"}, token("1"), 1, 8*mb) // counted by that one
	place(owner{uuid.New(), "native"}, token("2"), 1, 8*mb)                   // another node's promises are not ours
	place(d.workspace.owner, token("3"), 0, 8*mb)                             // promised nothing
	if n := written(); n < 8*mb || n > 9*mb {
		t.Errorf("written() = %d, want 8 MB and some folders", n)
	}
	if err := os.RemoveAll(d.workspace.path); err != nil { // somebody cleans up
		t.Fatal(err)
	}
	room, err := d.DiskRoom()
	if err != nil || room.Total == 0 || room.Free > room.Total {
		t.Errorf("DiskRoom() = %+v, %v", room, err)
	}
}

// TestClaimKeepsTheSize: what counts as written is bounded by it, also for the
// next process.
func TestClaimKeepsTheSize(t *testing.T) {
	d := newSite(t, process).start(t)
	req, name := mustAllocate(t, d, disked(map[string]model.Disk{"a": {Type: "raw", Size: 3}, "b": {Type: "dir", Size: 2, Reuse: true}}))
	c, ok, err := d.workspace.read(name)
	if err != nil || !ok || c.DiskGB != 3 {
		t.Errorf("claim is %+v, %v, %v, want 3 GB", c, ok, err)
	}
	if err := d.Deallocate(t.Context(), drivers.Ref{Token: req.Token}); err != nil {
		t.Error(err)
	}
}
