package volume

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

func TestCheck(t *testing.T) {
	rules := Rules{Missing: map[string]string{HFS: "only macOS has it"}}
	paths := Rules{
		Label: func(d model.Disk) error {
			if !strings.HasPrefix(d.Label, "/") {
				return errors.New("label: want a path")
			}
			return nil
		},
		Clone: func(d model.Disk) error {
			if d.Clone != "there" {
				return errors.New("clone: not there")
			}
			return nil
		},
	}
	for _, tt := range []struct {
		name  string
		disk  model.Disk
		rules Rules
		want  string
	}{
		{"data", model.Disk{Type: "dir"}, rules, ""},
		{"data", model.Disk{Type: "raw", Size: 1}, rules, ""},
		{"data", model.Disk{Size: 10}, rules, ""}, // exfat
		{"data", model.Disk{Type: "EXT4", Size: 10, Label: "work"}, rules, ""},
		{"data", model.Disk{Type: "ext4"}, rules, "size 0: want 1 or more GB"},
		{"data", model.Disk{Type: "raw", Size: 1<<20 + 1}, rules, "size"},
		{"data", model.Disk{Type: "zfs", Size: 1}, rules, `type "zfs" is not known; want one of dir, exfat`},
		{"data", model.Disk{Type: "hfs+", Size: 1}, rules, "only macOS has it"},
		{"data", model.Disk{Type: "exfat", Size: 1, Label: "twelve-chars"}, rules, "at most 11 characters"},
		{"data", model.Disk{Type: "dir", Label: "/mnt/x"}, rules, "label"},
		{"data", model.Disk{Type: "dir", Clone: "x"}, rules, "clone is not available"},
		{"../x", model.Disk{Type: "dir"}, rules, "its name"},
		{"-x", model.Disk{Type: "dir"}, rules, "its name"},
		{"data", model.Disk{Type: "exfat", Size: 1, Label: "/mnt/a long path"}, paths, ""},
		{"data", model.Disk{Type: "dir", Label: "word"}, paths, "want a path"},
		{"data", model.Disk{Type: "dir", Clone: "there"}, paths, ""},
		{"data", model.Disk{Type: "dir", Clone: "x"}, paths, "clone: not there"},
	} {
		err := Check(map[string]model.Disk{tt.name: tt.disk}, tt.rules)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Check(%s: %+v) = %v, want %q", tt.name, tt.disk, err, tt.want)
		}
	}
	twice := map[string]model.Disk{"a": {Type: "dir", Reuse: true, Label: "x"}, "x": {Type: "dir", Reuse: true}}
	if err := Check(twice, Rules{}); err == nil || !strings.Contains(err.Error(), "same reused disk") {
		t.Errorf("Check of one disk twice = %v", err)
	}
}

func TestPlan(t *testing.T) {
	got := Plan(map[string]model.Disk{
		"a": {Type: "dir"}, "b": {Type: "RAW", Size: 1, Reuse: true, Label: "/mnt/b"}, "c": {Size: 2, Label: "vol", Reuse: true},
	}, ShelfIn("/w"), "/w/e")
	want := []Disk{
		{Name: "a", Type: Dir, Label: "a", Store: "/w/e/disks/a", Path: "/w/e/disks/a/data"},
		{Name: "b", Type: Raw, Label: "/mnt/b", Size: 1, Reuse: true, Store: "/w/.disks/%2Fmnt%2Fb", Path: "/w/.disks/%2Fmnt%2Fb/image"},
		{Name: "c", Type: ExFAT, Label: "vol", Size: 2, Reuse: true, Store: "/w/.disks/vol", Path: "/w/e/disks/c/mount"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Plan (-want +got):\n%s", diff)
	}
	for label, want := range map[string]string{"/mnt/my cache": "my_cache", "vol": "vol", "/": "_", "a-very-long-volume-name": "a-very-long"} {
		if got := (Disk{Type: ExFAT, Label: label}).volumeName(); got != want {
			t.Errorf("volumeName() of %q = %q, want %q", label, got, want)
		}
	}
}
