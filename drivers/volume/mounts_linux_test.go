package volume

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseMounts(t *testing.T) {
	const table = `22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
90 22 7:0 / /w/my\040disks/fish-a/disks/d/mount rw - ext4 /dev/loop0 rw
91 90 0:5 / /w/my\040disks/fish-a/disks/d/mount/proc rw - proc proc rw
92 22 7:1 / /w/my\040disks/fish-ab rw - ext4 /dev/loop1 rw
`
	got, err := parseMounts(strings.NewReader(table), "/w/my disks/fish-a")
	want := []string{"/w/my disks/fish-a/disks/d/mount/proc", "/w/my disks/fish-a/disks/d/mount"}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("parseMounts (-want +got): %v\n%s", err, diff)
	}
}
