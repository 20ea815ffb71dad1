package native

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
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

// TestClaimKeepsTheSize: what counts as written is bounded by it, also for the
// next process.
func TestClaimKeepsTheSize(t *testing.T) {
	d := newSite(t, process).start(t)
	req, name := mustAllocate(t, d, disked(map[string]model.Disk{"a": {Type: "raw", Size: 3}, "b": {Type: "dir", Size: 2, Reuse: true}}))
	c, ok, err := d.workspace.Read(name)
	if err != nil || !ok || c.DiskGB != 3 {
		t.Errorf("claim is %+v, %v, %v, want 3 GB", c, ok, err)
	}
	if err := d.Deallocate(t.Context(), drivers.Ref{Token: req.Token}); err != nil {
		t.Error(err)
	}
}
