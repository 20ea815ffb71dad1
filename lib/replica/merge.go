package replica

import (
	"bytes"
	"cmp"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// Immutable reports whether rows of this kind are written once. Two different
// ones under one key come only from nodes that could not know of each other.
func (k Kind) Immutable() bool {
	switch k {
	case KindApplication, KindApplicationState, KindLabel, KindRetirement, KindHandover, KindOwnership, KindResourceAccess, KindAccessUse:
		return true
	}
	return false
}

// Owned reports whether rows of this kind are taken only from their owner.
func (k Kind) Owned() bool { return k == KindNode || k == KindResource }

// Authentic reports whether the row was written by who may write it. It
// depends on the row alone, so that all nodes say the same. A row that is not
// authentic is dropped; the vector advances over it.
func Authentic(row Row) bool {
	_, authentic := Examine(row)
	return authentic
}

// Examine is Authentic for who needs to know what the row says as well: noun is
// what had to be read for that, so that it is not read twice; nil if nothing
// had to, or it can not be read.
func Examine(row Row) (noun any, authentic bool) {
	writer := row.Version.Origin.Node
	switch row.Kind {
	case KindNode:
		return nil, model.UID(pad(row.Key)) == writer && len(row.Key) == len(writer)
	case KindResource:
		if row.Deleted { // nothing in it names the owner, who made its UID
			uid, err := UIDKey(row.Key)
			return nil, err == nil && model.SamePrefix(uid, writer)
		}
		resource, err := DecodeResource(row.Body)
		return orNil(resource, err), err == nil && resource.NodeUID == writer
	case KindApplicationState: // none takes it back
		if row.Deleted {
			return nil, false
		}
		s, err := DecodeApplicationState(row.Body)
		return orNil(s, err), err != nil || s.NodeUID == writer && (s.Status != model.StatusElected || model.SamePrefix(s.UID, writer))
	case KindOwnership:
		return examineOwnership(row)
	case KindResourceAccess, KindAccessUse:
		return examineAccess(row)
	}
	return nil, true
}

// examineOwnership is Examine of an ownership. Nobody takes it back: it is followed
// by another one.
func examineOwnership(row Row) (noun any, authentic bool) {
	if row.Deleted {
		return nil, false
	}
	o, err := DecodeOwnership(row.Body)
	return orNil(o, err), err == nil && o.By == row.Version.Origin.Node
}

// examineAccess is Examine of one-time credentials, which only the node that made
// their UID writes, and of their use, which only that of the Resource does. The
// key says who that is, so that nobody else's row, however old it pretends to be,
// takes their place. Neither is taken back.
func examineAccess(row Row) (noun any, authentic bool) {
	if row.Deleted {
		return nil, false
	}
	writer := row.Version.Origin.Node
	if row.Kind == KindResourceAccess {
		a, err := DecodeResourceAccess(row.Body)
		return orNil(a, err), err == nil && isKey(a, row) && model.SamePrefix(a.UID, writer)
	}
	u, err := DecodeAccessUse(row.Body)
	return orNil(u, err), err == nil && isKey(u, row) && model.SamePrefix(u.ResourceUID, writer)
}

// isKey reports whether the row has the key of its noun.
func isKey[T Noun](noun T, row Row) bool {
	_, key := KeyOf(noun)
	return bytes.Equal(key, row.Key)
}

func orNil[T Noun](noun T, err error) any {
	if err != nil {
		return nil
	}
	return noun
}

// pad is the key cut or filled to the length of a UID.
func pad(key []byte) (uid [len(model.UID{})]byte) {
	copy(uid[:], key)
	return uid
}

// Merge reports whether row takes the place of old, the one kept under the
// same key; nil if there is none. Whatever the order in which rows arrive, and
// however often, the same one stays. The rules:
//
//   - a row that is not Authentic never does;
//   - immutable kinds: a deleted row beats a live one, else the lowest version
//     wins, because the first may have had effects already; one row that its node
//     gave another number stays under the later incarnation, so that the earlier
//     number is free again everywhere;
//   - owned kinds: the highest incarnation, then the highest version wins;
//   - all others, those of unknown kinds too: the highest version wins.
func Merge(kind Kind, old *Row, row Row) bool {
	row.Kind = kind
	return Authentic(row) && (old == nil || Beats(row, *old))
}

// Beats reports whether row wins over other, a row of the same kind and key,
// by their versions alone; neither needs its body. A row does not beat itself.
func Beats(row, other Row) bool {
	order := row.Version.Compare(other.Version)
	if row.Kind.Owned() { // by one node, whose clock may have been set right since
		order = cmp.Or(cmp.Compare(row.Version.Origin.Incarnation, other.Version.Origin.Incarnation), order)
	}
	if !row.Kind.Immutable() {
		return order > 0
	}
	if row.Deleted != other.Deleted {
		return row.Deleted
	}
	if row.Version.HLC == other.Version.HLC && row.Version.Origin.Node == other.Version.Origin.Node {
		order = cmp.Or(cmp.Compare(other.Version.Origin.Incarnation, row.Version.Origin.Incarnation), order)
	}
	return order < 0
}
