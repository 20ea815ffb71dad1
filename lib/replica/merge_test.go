package replica

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// drawRows draws rows of one kind and key, no two with one version: some
// deleted, some from nodes that may not write them.
func drawRows(t *rapid.T, kind Kind) []Row {
	key := uid(3)
	rows := rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) Row {
		row := Row{
			Kind: kind, Key: key[:], Deleted: rapid.Bool().Draw(t, "deleted"),
			Version: Version{
				HLC:    model.HLC(rapid.IntRange(0, 3).Draw(t, "hlc")),
				Origin: Origin{uid(rapid.ByteRange(1, 4).Draw(t, "node")), uint32(rapid.IntRange(0, 1).Draw(t, "incarnation"))},
				Seq:    rapid.Uint64Range(1, 5).Draw(t, "seq"),
			},
		}
		if !row.Deleted {
			owner := uid(rapid.ByteRange(1, 4).Draw(t, "owner"))
			switch kind {
			case KindOwnership:
				row.Body, _ = EncodeOwnership(model.Ownership{UID: key, By: owner})
			case KindResourceAccess:
				row.Body, _ = EncodeResourceAccess(model.ResourceAccess{UID: key, ResourceUID: uid(9), ApplicationUID: uid(6)})
			case KindAccessUse:
				u := model.AccessUse{AccessUID: uid(5), ResourceUID: key, ApplicationUID: uid(6), SessionUID: owner}
				row.Body, _ = EncodeAccessUse(u)
				_, row.Key = KeyOf(u)
			default:
				row.Body, _ = EncodeResource(model.Resource{UID: key, ApplicationUID: uid(6), NodeUID: owner})
			}
		}
		return row
	}), 1, 8, func(r Row) Version { return r.Version })
	return rows.Draw(t, "rows")
}

// keep is what stays of rows that arrive in this order.
func keep(kind Kind, rows []Row) *Row {
	var kept *Row
	for i := range rows {
		if Merge(kind, kept, rows[i]) {
			kept = &rows[i]
		}
	}
	return kept
}

// TestMergeOrder: neither the order of arrival nor repetition changes what
// stays, for every kind there is and one that is not known.
func TestMergeOrder(t *testing.T) {
	for kind := KindUser; kind <= KindAccessUse+1; kind++ {
		rapid.Check(t, func(t *rapid.T) {
			rows := drawRows(t, kind)
			other := rapid.Permutation(append(rapid.Permutation(rows).Draw(t, "repeated"), rows...)).Draw(t, "other order")
			want, got := keep(kind, rows), keep(kind, other)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("kind %d (-one order +other)\n%s", kind, diff)
			}
			if want != nil && Merge(kind, want, *want) {
				t.Fatalf("kind %d: a row takes its own place", kind)
			}
		})
	}
}

func TestMergeRules(t *testing.T) {
	version := func(hlc model.HLC, node byte) Version {
		return Version{HLC: hlc, Origin: Origin{Node: uid(node)}, Seq: 1}
	}
	key := func(b byte) []byte { return []byte(uidText(b)) }
	resource := func(node byte, hlc model.HLC, writer byte) Row {
		body, err := EncodeResource(model.Resource{UID: uid(9), ApplicationUID: uid(6), NodeUID: uid(node)})
		if err != nil {
			t.Fatal(err)
		}
		return Row{Kind: KindResource, Key: key(9), Version: version(hlc, writer), Body: body}
	}
	live := func(kind Kind, k, writer byte, hlc model.HLC) Row {
		return Row{Kind: kind, Key: key(k), Version: version(hlc, writer), Body: []byte("{}")}
	}
	dead := func(kind Kind, k, writer byte, hlc model.HLC) Row {
		return Row{Kind: kind, Key: key(k), Version: version(hlc, writer), Deleted: true}
	}
	again := func(r Row, incarnation uint32) Row { r.Version.Origin.Incarnation = incarnation; return r }
	none := Row{}
	ownership := func(by, writer byte) Row {
		body, err := EncodeOwnership(model.Ownership{UID: model.UID{7}, Thing: "x", To: model.UID(key(by)), By: model.UID(key(by))})
		if err != nil {
			t.Fatal(err)
		}
		return Row{Kind: KindOwnership, Key: key(7), Version: version(1, writer), Body: body}
	}
	access := func(made, writer byte, hlc model.HLC) Row {
		body, err := EncodeResourceAccess(model.ResourceAccess{UID: uid(made), ResourceUID: uid(9), ApplicationUID: uid(6)})
		if err != nil {
			t.Fatal(err)
		}
		return Row{Kind: KindResourceAccess, Key: key(made), Version: version(hlc, writer), Body: body}
	}
	use := func(resource, writer byte, hlc model.HLC) Row {
		u := model.AccessUse{AccessUID: uid(5), ResourceUID: uid(resource), ApplicationUID: uid(6)}
		body, err := EncodeAccessUse(u)
		if err != nil {
			t.Fatal(err)
		}
		_, k := KeyOf(u)
		return Row{Kind: KindAccessUse, Key: k, Version: version(hlc, writer), Body: body}
	}
	under := func(r Row, k []byte) Row { r.Key = k; return r }
	tests := []struct {
		name     string
		old, row Row
		want     bool
	}{
		{"first of a user", none, live(KindUser, 1, 1, 1), true},
		{"newer user", live(KindUser, 1, 1, 1), live(KindUser, 1, 2, 2), true},
		{"older user", live(KindUser, 1, 1, 2), live(KindUser, 1, 2, 1), false},
		{"equal clocks, higher node", live(KindUser, 1, 1, 1), live(KindUser, 1, 2, 1), true},
		{"deleted user of an older clock", live(KindUser, 1, 1, 2), dead(KindUser, 1, 2, 1), false},
		{"user made anew", dead(KindUser, 1, 1, 1), live(KindUser, 1, 2, 2), true},
		{"unknown kind is last writer wins", live(999, 1, 1, 1), live(999, 1, 2, 2), true},
		{"second grant of an epoch", live(KindApplicationState, 1, 1, 1), live(KindApplicationState, 1, 2, 2), false},
		{"first grant of an epoch comes late", live(KindApplicationState, 1, 2, 2), live(KindApplicationState, 1, 1, 1), true},
		{"state that its node gave another number", again(live(KindApplicationState, 1, 1, 1), 1), again(live(KindApplicationState, 1, 1, 1), 2), true},
		{"state of the earlier number, come late", again(live(KindApplicationState, 1, 1, 1), 2), again(live(KindApplicationState, 1, 1, 1), 1), false},
		{"state of a later incarnation and a later clock", again(live(KindApplicationState, 1, 1, 1), 1), again(live(KindApplicationState, 1, 1, 2), 2), false},
		{"second retirement", live(KindRetirement, 1, 1, 1), live(KindRetirement, 1, 2, 2), false},
		{"deleted label, newer", live(KindLabel, 1, 1, 1), dead(KindLabel, 1, 2, 2), true},
		{"deleted label, older", live(KindLabel, 1, 1, 2), dead(KindLabel, 1, 2, 1), true},
		{"label after its end", dead(KindLabel, 1, 1, 5), live(KindLabel, 1, 2, 1), false},
		{"node by itself", none, live(KindNode, 3, 3, 1), true},
		{"node by another", none, live(KindNode, 3, 4, 1), false},
		{"node by another, newer", live(KindNode, 3, 3, 1), live(KindNode, 3, 4, 9), false},
		{"node deleted by another", live(KindNode, 3, 3, 1), dead(KindNode, 3, 4, 9), false},
		{"node with a short key", none, Row{Kind: KindNode, Key: []byte{3}, Version: version(1, 3), Body: []byte("{}")}, false},
		{"resource by its executor", none, resource(3, 1, 3), true},
		{"resource by another", resource(3, 1, 3), resource(3, 2, 4), false},
		{"resource of an earlier incarnation, whose clock was ahead", again(resource(3, 9, 3), 1), again(resource(3, 1, 3), 2), true},
		{"resource of an earlier incarnation, come late", again(resource(3, 1, 3), 2), again(resource(3, 9, 3), 1), false},
		{"user of an earlier incarnation, whose clock was ahead", again(live(KindUser, 1, 1, 9), 1), again(live(KindUser, 1, 1, 1), 2), false},
		{"resource that can not be read", none, live(KindResource, 9, 3, 1), false},
		{"resource deleted by its maker", resource(9, 1, 9), dead(KindResource, 9, 9, 2), true},
		{"ownership by who says it", none, ownership(3, 3), true},
		{"ownership by another", none, ownership(3, 4), false},
		{"ownership deleted", ownership(3, 3), dead(KindOwnership, 7, 3, 2), false},
		{"ownership once more", ownership(3, 3), ownership(3, 3), false},
		{"access by who made it", none, access(5, 5, 1), true},
		{"access by another", none, access(5, 4, 1), false},
		{"access, a second version", access(5, 5, 1), access(5, 5, 2), false},
		{"access by another that pretends to be older", access(5, 5, 2), access(5, 4, 1), false},
		{"access deleted by who made it", access(5, 5, 1), dead(KindResourceAccess, 5, 5, 2), false},
		{"access under another key", none, under(access(5, 5, 1), key(4)), false},
		{"access that can not be read", none, live(KindResourceAccess, 5, 5, 1), false},
		{"use by the executor", none, use(9, 9, 1), true},
		{"use by another", none, use(9, 4, 1), false},
		{"use, a second one", use(9, 9, 1), use(9, 9, 2), false},
		{"use by another that pretends to be older", use(9, 9, 2), use(9, 4, 1), false},
		{"use of another resource in its place", use(9, 9, 2), under(use(4, 4, 1), use(9, 9, 2).Key), false},
		{"use deleted by the executor", use(9, 9, 1), under(dead(KindAccessUse, 9, 9, 2), use(9, 9, 1).Key), false},
		{"resource deleted by another", resource(9, 1, 9), dead(KindResource, 9, 3, 2), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			old := &tt.old
			if tt.old.Kind == 0 {
				old = nil
			}
			if got := Merge(tt.row.Kind, old, tt.row); got != tt.want {
				t.Errorf("Merge = %t, want %t", got, tt.want)
			}
		})
	}
}
