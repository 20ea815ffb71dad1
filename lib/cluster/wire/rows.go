package wire

import (
	"fmt"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// row is a replica.Row as it travels. In a batch the origin is said once.
type row struct {
	Kind        replica.Kind `cbor:"1,keyasint"`
	Key         []byte       `cbor:"2,keyasint"`
	HLC         model.HLC    `cbor:"3,keyasint"`
	Seq         uint64       `cbor:"4,keyasint"`
	Deleted     bool         `cbor:"5,keyasint,omitempty"`
	Body        []byte       `cbor:"6,keyasint,omitempty"`
	Node        *model.UID   `cbor:"7,keyasint,omitempty"`
	Incarnation uint32       `cbor:"8,keyasint,omitempty"`
}

// batch is Rows as it travels.
type batch struct {
	Node        model.UID `cbor:"1,keyasint"`
	Incarnation uint32    `cbor:"2,keyasint"`
	From        uint64    `cbor:"3,keyasint"`
	To          uint64    `cbor:"4,keyasint"`
	Rows        []row     `cbor:"5,keyasint,omitempty"`
}

// bucket is BucketRows as it travels.
type bucket struct {
	ID     uint32       `cbor:"1,keyasint"`
	Kind   replica.Kind `cbor:"2,keyasint"`
	Bucket uint8        `cbor:"3,keyasint"`
	Rows   []row        `cbor:"4,keyasint,omitempty"`
	More   bool         `cbor:"5,keyasint,omitempty"`
}

// pack writes a row without its origin.
func pack(r replica.Row) row {
	return row{Kind: r.Kind, Key: r.Key, HLC: r.Version.HLC, Seq: r.Version.Seq, Deleted: r.Deleted, Body: r.Body}
}

// unpack reads a row of the origin.
func (r row) unpack(origin replica.Origin) (replica.Row, error) {
	if r.Deleted && len(r.Body) > 0 {
		return replica.Row{}, fmt.Errorf("row %d of node %s is deleted and has a body", r.Seq, origin.Node)
	}
	if len(r.Key) == 0 || r.Seq == 0 {
		return replica.Row{}, fmt.Errorf("row %d of node %s has no key or no number", r.Seq, origin.Node)
	}
	return replica.Row{
		Kind: r.Kind, Key: r.Key, Deleted: r.Deleted, Body: r.Body,
		Version: replica.Version{HLC: r.HLC, Origin: origin, Seq: r.Seq},
	}, nil
}

func packRows(m Rows) (batch, error) {
	b := batch{Node: m.Batch.Origin.Node, Incarnation: m.Batch.Origin.Incarnation, From: m.Batch.From, To: m.Batch.To}
	for _, r := range m.Batch.Rows {
		if r.Version.Origin != m.Batch.Origin {
			return b, fmt.Errorf("row %d is of origin %v in a batch of %v", r.Version.Seq, r.Version.Origin, m.Batch.Origin)
		}
		b.Rows = append(b.Rows, pack(r))
	}
	return b, nil
}

func unpackRows(b batch) (Rows, error) {
	origin := replica.Origin{Node: b.Node, Incarnation: b.Incarnation}
	m := Rows{Batch: replica.Batch{Origin: origin, From: b.From, To: b.To}}
	if b.Node == model.NilUID {
		return m, errNode
	}
	last := b.From
	for _, w := range b.Rows {
		r, err := w.unpack(origin)
		if err != nil {
			return m, err
		}
		if r.Version.Seq <= last || r.Version.Seq > b.To {
			return m, fmt.Errorf("row %d is out of order in (%d, %d]", r.Version.Seq, b.From, b.To)
		}
		last = r.Version.Seq
		m.Batch.Rows = append(m.Batch.Rows, r)
	}
	return m, nil
}

func packBucket(m BucketRows) (bucket, error) {
	b := bucket{ID: m.ID, Kind: m.Kind, Bucket: m.Bucket, More: m.More}
	for _, r := range m.Rows {
		if r.Kind != m.Kind {
			return b, fmt.Errorf("row of kind %d in a bucket of kind %d", r.Kind, m.Kind)
		}
		w := pack(r)
		w.Node, w.Incarnation = &r.Version.Origin.Node, r.Version.Origin.Incarnation
		b.Rows = append(b.Rows, w)
	}
	return b, nil
}

func unpackBucket(b bucket) (BucketRows, error) {
	m := BucketRows{ID: b.ID, Kind: b.Kind, Bucket: b.Bucket, More: b.More}
	for _, w := range b.Rows {
		if w.Node == nil || *w.Node == model.NilUID || w.Kind != b.Kind {
			return m, fmt.Errorf("row %d has no origin or another kind than its bucket", w.Seq)
		}
		r, err := w.unpack(replica.Origin{Node: *w.Node, Incarnation: w.Incarnation})
		if err != nil {
			return m, err
		}
		m.Rows = append(m.Rows, r)
	}
	return m, nil
}
