// Package replica holds what the nodes of a cluster tell each other about
// their data: rows, their versions, and who has seen what. It is pure: what
// writes rows is lib/store, what carries them is lib/cluster.
//
// The data is state, not a log. A row has one current version; a superseded
// one is never sent. So a batch says "of this origin, everything after From up
// to To", and holds those rows of that span that are still current.
package replica

import (
	"bytes"
	"cmp"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// Origin is one life of a node's data. The incarnation grows whenever the
// node's database may have lost what others saw of it (restored, copied,
// rolled back), so that no sequence number is used for two different rows.
type Origin struct {
	Node        model.UID
	Incarnation uint32
}

// Compare orders origins by node, then incarnation.
func (o Origin) Compare(p Origin) int {
	return cmp.Or(bytes.Compare(o.Node[:], p.Node[:]), cmp.Compare(o.Incarnation, p.Incarnation))
}

// Version tells which of two rows with one key is newer, the same on every
// node and whatever the order of arrival.
type Version struct {
	HLC    model.HLC // read anew for each write
	Origin Origin
	Seq    uint64 // of the origin, from 1
}

// Compare orders versions by clock, node, incarnation, sequence.
func (v Version) Compare(w Version) int {
	return cmp.Or(cmp.Compare(v.HLC, w.HLC), v.Origin.Compare(w.Origin), cmp.Compare(v.Seq, w.Seq))
}

// SameNumber reports whether both are of one origin and sequence number, of which
// a row has its own unless the origin's disk was put back.
func (v Version) SameNumber(w Version) bool { return v.Origin == w.Origin && v.Seq == w.Seq }

// Row is the current version of one fact. Body is JSON exactly as the origin
// wrote it: a node that knows fewer fields, or not even the Kind, still passes
// on what it got.
type Row struct {
	Kind    Kind
	Key     []byte // of the noun: 16 bytes of a UID, or a name in UTF-8
	Version Version
	Deleted bool
	Body    []byte // nil if Deleted
}

// Batch is what one origin wrote after From, up to and including To, as far as
// it is still current, in the order of Seq. Who takes it in knows afterwards
// everything of that origin up to To. All rows have the batch's Origin.
type Batch struct {
	Origin   Origin
	From, To uint64
	Rows     []Row
}

// Vector says up to which sequence number everything of each origin is known.
// An origin that is absent stands at 0.
type Vector map[Origin]uint64

// Covers reports whether v knows all that w knows.
func (v Vector) Covers(w Vector) bool {
	for origin, seq := range w {
		if v[origin] < seq {
			return false
		}
	}
	return true
}
