package app

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster"
	"github.com/aquarium-fish/aquarium-fish/lib/cluster/status"
	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// TestSharedThings: each is shown once, whoever is configured for it; what
// nobody has taken yet has no owner.
func TestSharedThings(t *testing.T) {
	member := func(n byte, shares ...string) cluster.MemberStatus {
		var m cluster.MemberStatus
		m.LSA = wire.LSA{Node: model.UID{n}, Name: string(rune('a' + n)), Shares: shares, Flags: wire.FlagReady}
		return m
	}
	s := cluster.Status{Self: model.UID{1}, Members: []cluster.MemberStatus{member(1, "aws/mac=b", "aws/win"), member(2, "aws/mac=b")}}
	want := []status.Ownership{{Thing: "aws/mac"}, {Thing: "aws/win"}}
	if diff := cmp.Diff(want, shared(s, []cluster.Known{{Node: model.UID{9}}}, nil)); diff != "" {
		t.Errorf("shared() (-want +got):\n%s", diff)
	}
	if got := shared(cluster.Status{}, nil, nil); len(got) != 0 {
		t.Errorf("of nobody: %+v", got)
	}
}
