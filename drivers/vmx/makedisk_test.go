//go:build unix

package vmx

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/images"
	"github.com/aquarium-fish/aquarium-fish/drivers/volume"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// makeOne makes one disk of an environment that is only claimed.
func makeOne(t *testing.T, s site, k model.Disk) (folder string, err error) {
	t.Helper()
	d := s.start(t)
	req := request()
	req.Definition.Resources.Disks = map[string]model.Disk{"d": k}
	c, err := d.workspace.Claim(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	b := build{driver: d, claim: c, req: req, laid: []images.Laid{{Folder: s.image("base"), Name: "base", Version: "1"}}}
	if err := b.layOut(t.Context()); err != nil {
		t.Fatal(err)
	}
	err = b.makeDisks(within(t, time.Minute))
	return filepath.Join(b.folder(), "disks", "d", diskFolder), err
}

// TestFormattedDisk reads what a guest would: a table, and behind it the file
// system, in a file that is mostly holes.
func TestFormattedDisk(t *testing.T) {
	t.Parallel()
	for kind, magic := range map[string]struct {
		at   int64
		text string
	}{volume.FAT32: {82, "FAT32   "}, volume.ExFAT: {3, "EXFAT   "}, volume.Ext4: {1080, "\x53\xef"}} {
		if reason, missing := volume.Find(volume.Options{}).MissingImages()[kind]; missing {
			t.Logf("no %s here: %s", kind, reason)
			continue
		}
		folder, err := makeOne(t, newSite(t, ""), model.Disk{Type: kind, Size: 1, Label: "data"})
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(filepath.Join(folder, "disk-d-flat.vmdk"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		table, got := make([]byte, sector), make([]byte, len(magic.text))
		if _, err := f.ReadAt(table, 0); err != nil {
			t.Fatal(err)
		}
		start := int64(binary.LittleEndian.Uint32(table[454:])) * sector
		if _, err := f.ReadAt(got, start+magic.at); err != nil || string(got) != magic.text {
			t.Errorf("%s: the file system begins with %q, %v, want %q", kind, got, err, magic.text)
		}
		info, _ := f.Stat()
		if want := start + int64(binary.LittleEndian.Uint32(table[458:]))*sector; info.Size() != want || want != 1<<30+1<<20 {
			t.Errorf("%s: the disk has %d bytes, its table says %d", kind, info.Size(), want)
		}
		if used := volume.Used(t.Context(), folder, 1<<40); used > 64<<20 {
			t.Errorf("%s: the disk takes %d bytes, want a sparse one", kind, used)
		}
		text, err := os.ReadFile(filepath.Join(folder, "disk-d.vmdk"))
		if err != nil || !strings.Contains(string(text), fmt.Sprintf("RW %d FLAT %q 0", info.Size()/sector, "disk-d-flat.vmdk")) {
			t.Errorf("%s: VMware is told %q, %v", kind, text, err)
		}
		if left, _ := os.ReadDir(folder); len(left) != 2 {
			t.Errorf("%s: %v is there, want two files", kind, left)
		}
	}
}

func TestCopiedDisk(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	large := strings.Repeat("\x00KDMV and so on", smallFile/10)
	for name, text := range map[string]string{
		"one.vmdk":   large,
		"child.vmdk": "# Disk DescriptorFile\nparentFileNameHint=\"base.vmdk\"\nRW 4 SPARSE \"x.vmdk\"\n",
		"away.vmdk":  "# Disk DescriptorFile\nRW 4 FLAT \"/etc/passwd\" 0\n",
		"lost.vmdk":  "# Disk DescriptorFile\nRW 4 FLAT \"lost-flat.vmdk\" 0\n",
	} {
		write(t, filepath.Join(s.image("base"), name), text)
	}
	for name, want := range map[string]string{
		"one.vmdk": "", "data.vmdk": "", "child.vmdk": "builds on another disk", "away.vmdk": "want files beside it", "lost.vmdk": "no such file",
		"none.vmdk": "no image of the label has such a file",
	} {
		folder, err := makeOne(t, s, model.Disk{Size: 1, Clone: name})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("a copy of %s: %v, want %q", name, err, want)
		}
		if made, _ := exists(folder); made != (want == "") {
			t.Errorf("a copy of %s is there: %v", name, made)
		}
	}
	d := s.start(t)
	refs, err := d.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, ref := range refs {
		if err := d.Deallocate(t.Context(), drivers.Ref{Token: ref.Token}); err != nil {
			t.Error(err)
		}
	}
	s.wantNothing(t)
}

// TestChainOfImages: a disk that builds on one of an earlier image finds it, and
// tells if it can not.
func TestChainOfImages(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	s.host.Image(s.image("app"), "app")
	hint := "# Disk DescriptorFile\nversion=1\nparentCID=1\nparentFileNameHint=\"/build/machine/base_abc/base.vmdk\"\n# Extent description\n"
	write(t, filepath.Join(s.image("app"), "app-delta.vmdk"), hint)
	laid := []images.Laid{{Folder: s.image("base"), Name: "base", Version: "1"}, {Folder: s.image("app"), Name: "app", Version: "1"}}
	into := filepath.Join(t.TempDir(), `with\backslash`) // as every path of Windows
	for _, l := range laid {
		if err := copyImage(t.Context(), l, into); err != nil {
			t.Fatal(err)
		}
	}
	if err := joinChains(into); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(into, "app_abc", "app-delta.vmdk"))
	if want := `parentFileNameHint="` + filepath.Join(into, "base_abc", "base.vmdk") + "\"\n# Extent"; err != nil || !strings.Contains(string(text), want) {
		t.Errorf("the disk says %q, %v, want %q", text, err, want)
	}
	if vmx, err := sourceVMX(into, laid); err != nil || vmx != filepath.Join(into, "app_abc", "app.vmx") {
		t.Errorf("sourceVMX() = %q, %v", vmx, err)
	}
	if err := copyImage(t.Context(), laid[0], into); err == nil || !strings.Contains(err.Error(), "has a folder") {
		t.Errorf("copyImage() of another image of that name = %v", err)
	}
	alone := t.TempDir()
	if err := copyImage(t.Context(), laid[1], alone); err != nil {
		t.Fatal(err)
	}
	if err := joinChains(alone); err == nil || !strings.Contains(err.Error(), "is in no image of the list") {
		t.Errorf("joinChains() without the parent = %v", err)
	}
}

func TestImagesThatAreNone(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	laid := []images.Laid{{Folder: s.image("base"), Name: "base", Version: "1"}}
	into := filepath.Join(s.dir, "images", "base-1")
	write(t, filepath.Join(s.image("base"), "base.vmsd"), "snapshot0.displayName = \"other\"\n")
	if _, err := sourceVMX(into, laid); err == nil || !strings.Contains(err.Error(), `no snapshot named "original"`) {
		t.Errorf("sourceVMX() without the snapshot = %v", err)
	}
	if err := os.Remove(filepath.Join(s.image("base"), "base.vmx")); err != nil {
		t.Fatal(err)
	}
	if _, err := sourceVMX(into, laid); err == nil || !strings.Contains(err.Error(), "holds no base.vmx") {
		t.Errorf("sourceVMX() without a machine = %v", err)
	}
}

// TestDetachKept: however VMware wrote where a reused disk is, the machine's
// removal is not told of it.
func TestDetachKept(t *testing.T) {
	t.Parallel()
	workspace := t.TempDir()
	d := &driver{shelf: volume.ShelfIn(workspace)}
	kept := filepath.Join(d.shelf.Path(), "cache", diskFolder, "kept-cache.vmdk")
	vmx := filepath.Join(workspace, "005056000001", "005056000001.vmx")
	if err := os.Mkdir(filepath.Dir(vmx), 0o700); err != nil {
		t.Fatal(err)
	}
	const own = "scsi0:0.present = \"TRUE\"\nscsi0:0.fileName = \"own.vmdk\"\n"
	for _, path := range []string{kept, "../" + filepath.Base(d.shelf.Path()) + "/cache/disk/kept-cache.vmdk", workspace + "/005056000001/../" + filepath.Base(d.shelf.Path()) + "/cache/disk/kept-cache.vmdk"} {
		write(t, vmx, own+"scsi0:1.present = \"TRUE\"\nscsi0:1.fileName = \""+path+"\"\nscsi0:1.mode = \"independent-persistent\"\n")
		if err := d.detachKept(vmx); err != nil {
			t.Fatal(err)
		}
		if text, err := os.ReadFile(vmx); err != nil || string(text) != own {
			t.Errorf("with %s the machine is left with %s, %v", path, text, err)
		}
	}
}
