package status_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/status"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

func members() []status.Member {
	return []status.Member{
		{UID: model.UID{1, 1, 1, 1, 1, 1, 9}, Name: "mac-1", State: status.StateRetired},
		{UID: model.UID{2, 2, 2, 2, 2, 2, 9}, Name: "linux", State: status.StateUnreachable},
		{UID: model.UID{3, 3, 3, 3, 3, 3, 9}, Name: "mac-1", State: status.StateActive},
		{UID: model.UID{0xaa, 0xaa, 0xaa, 0xaa}, Name: "b", State: status.StateActive},
	}
}

func TestMakerOf(t *testing.T) {
	for _, tt := range []struct {
		name string
		uid  model.UID
		want string
	}{
		{"of a member that is not there", model.UID{2, 2, 2, 2, 2, 2, 0x40, 5}, "linux"},
		{"a member's own", model.UID{3, 3, 3, 3, 3, 3, 9}, "mac-1"},
		{"of a retired one", model.UID{1, 1, 1, 1, 1, 1, 0x40}, ""},
		{"of nobody", model.UID{2, 2, 2, 2, 2, 3, 0x40}, ""},
	} {
		got, ok := status.MakerOf(members(), tt.uid)
		if got.Name != tt.want || ok != (tt.want != "") {
			t.Errorf("%s: MakerOf() = %q, %v, want %q", tt.name, got.Name, ok, tt.want)
		}
	}
}

func TestFind(t *testing.T) {
	for _, tt := range []struct {
		ref  string
		want int // index, -1 for nobody
	}{
		{"linux", 1},
		{"mac-1", 2}, // the name of a retired node is free again
		{members()[0].UID.String(), 0},
		{"AAAAAAAA-0000-0000-0000-000000000000", 3}, // as some tools write UIDs
		{"windows", -1},
		{"", -1},
	} {
		got, ok := status.Find(members(), tt.ref)
		if ok != (tt.want >= 0) || ok && got.UID != members()[tt.want].UID {
			t.Errorf("Find(%q) = %v, %v, want member %d", tt.ref, got, ok, tt.want)
		}
	}
}

func TestSort(t *testing.T) {
	list := members()
	status.Sort(list)
	var got []byte
	for _, m := range list {
		got = append(got, m.UID[0])
	}
	if diff := cmp.Diff([]byte{0xaa, 2, 1, 3}, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}
