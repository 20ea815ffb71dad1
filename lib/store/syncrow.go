package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// syncRow is a row for the other nodes as it is kept here.
type syncRow struct {
	replica.Row
	// app is the application that the row belongs to, NilUID for none.
	app model.UID
	// noun is what the body says, where it was read already; nil else.
	noun any
	// since is when the row began to wait for what it belongs to; zero if it
	// does not wait.
	since time.Time
}

// parent is the application under which the row is found: of a Resource, which
// is in no table while it can not be shown, of credentials, which are in none, and
// of a row that waits.
func (r *syncRow) parent() model.UID {
	if underParent(r.Kind) || !r.since.IsZero() {
		return r.app
	}
	return model.NilUID
}

// rowKey is what there is one row of.
type rowKey struct {
	kind replica.Kind
	key  string
}

func keyOf(r *syncRow) rowKey { return rowKey{r.Kind, string(r.Key)} }

// rowStore keeps the rows. What replaces a row has its kind and key.
type rowStore interface {
	// These are the writer's; they see the transaction. findRow returns nil if
	// there is none; rowsOf are those found under the parent.
	findRow(kind replica.Kind, key []byte) (*syncRow, error)
	rowsOf(parent model.UID) ([]syncRow, error)
	// keyAt is the key of the row that has a version's number.
	keyAt(v replica.Version) (key rowKey, found bool, err error)
	putRows(rows []*syncRow) error
	dropRow(key rowKey) error
	putVector(origin replica.Origin, seq uint64) error
	// tombstones are of what was deleted before then; abandoned is what has
	// waited since before then.
	tombstones(before model.HLC, limit int) ([]rowKey, error)
	abandoned(before time.Time, limit int) ([]rowKey, error)
	// rowsAhead are those of anybody after a clock reading, the oldest first, and
	// the newest reading of all others.
	rowsAhead(limit model.HLC) (rows []syncRow, newest model.HLC, err error)
	// readRow reads the committed row under a key; nil if there is none.
	readRow(kind replica.Kind, key []byte) (*syncRow, error)
	// readRows reads what is committed of the origin in (after, to].
	readRows(origin replica.Origin, after, to uint64, use func(replica.Row) (more bool)) error
	// eachVersion visits the committed rows, without those of applications that
	// were closed before the horizon. The key is the caller's for the call only.
	eachVersion(ctx context.Context, horizon time.Time, use func(kind replica.Kind, key []byte, version replica.Version)) error
	// readBucket visits the committed rows of a bucket in the order of their
	// keys, after one.
	readBucket(ctx context.Context, bucket replica.Bucket, after []byte, use func(replica.Row) (more bool)) error
}

// rowsInBatch are the rows that a batch will write, in the order of writing.
type rowsInBatch struct {
	list  []*syncRow // nil: replaced by a later one
	place map[rowKey]int
}

func (r *rowsInBatch) put(row *syncRow) {
	k := keyOf(row)
	if r.place == nil {
		r.place = make(map[rowKey]int)
	}
	if i, known := r.place[k]; known {
		r.list[i] = nil
	}
	r.place[k] = len(r.list)
	r.list = append(r.list, row)
}

func (r *rowsInBatch) get(k rowKey) *syncRow {
	if i, ok := r.place[k]; ok {
		return r.list[i]
	}
	return nil
}

func (r *rowsInBatch) clone() rowsInBatch {
	return rowsInBatch{list: slices.Clone(r.list), place: maps.Clone(r.place)}
}

// drop forgets those that match.
func (r *rowsInBatch) drop(match func(*syncRow) bool) {
	for i, row := range r.list {
		if row != nil && match(row) {
			r.list[i] = nil
			delete(r.place, keyOf(row))
		}
	}
}

// nextVersion is that of the next row that this node writes.
func (t *tx) nextVersion() replica.Version {
	seq := t.seen(t.store.origin) + 1
	t.vector[t.store.origin] = seq
	return replica.Version{HLC: t.store.clock.Next(t.now), Origin: t.store.origin, Seq: seq}
}

// seen is up to where everything of an origin is known, the batch included.
func (t *tx) seen(origin replica.Origin) uint64 {
	if seq, ok := t.vector[origin]; ok {
		return seq
	}
	return t.store.memory.vector[origin]
}

// record notes the row of a noun that this node writes. It comes before the
// noun itself: what is too large for a row must not be written at all.
func record[T replica.Noun](t *tx, noun T, encode func(T) ([]byte, error), app model.UID) error {
	kind, key := replica.KeyOf(noun)
	body, err := encode(noun)
	if err != nil {
		return err
	}
	return t.stageOwn(&syncRow{Row: replica.Row{Kind: kind, Key: key, Version: t.nextVersion(), Body: body}, app: app})
}

// recordChange is record for a noun that is changed in place: what a newer
// program wrote into it stays.
func recordChange[T replica.Noun](t *tx, noun T, encode func(T) ([]byte, error), app model.UID) error {
	kind, key := replica.KeyOf(noun)
	old, err := t.findRow(kind, key)
	if err != nil || old == nil || old.Deleted {
		return firstError(err, func() error { return record(t, noun, encode, app) })
	}
	return record(t, noun, func(noun T) ([]byte, error) {
		body, err := encode(noun)
		if err != nil {
			return nil, err
		}
		return replica.Rewrite(old.Body, body)
	}, app)
}

func firstError(err error, next func() error) error {
	if err != nil {
		return err
	}
	return next()
}

// recordDeleted notes the tombstone of a noun that this node deletes.
func (t *tx) recordDeleted(kind replica.Kind, key []byte) error {
	return t.stageOwn(&syncRow{Row: replica.Row{Kind: kind, Key: key, Version: t.nextVersion(), Deleted: true}})
}

// stageOwn is stage for a row of nextVersion. One that every receiver would
// refuse, and end its link with this node for, is not written; its number is the
// next row's then.
func (t *tx) stageOwn(row *syncRow) error {
	if err := row.Validate(); err != nil {
		t.vector[t.store.origin]--
		return err
	}
	return t.stage(row)
}

// stage notes a row; the end of the batch writes it.
func (t *tx) stage(row *syncRow) error {
	if err := t.touch(); err != nil {
		return err
	}
	t.rows.put(row)
	return nil
}

// findRow is the newest row under a key; nil if there is none.
func (t *tx) findRow(kind replica.Kind, key []byte) (*syncRow, error) {
	if row := t.rows.get(rowKey{kind, string(key)}); row != nil {
		return row, nil
	}
	row, err := t.store.engine.findRow(kind, key)
	if err != nil {
		return nil, t.fail(fmt.Errorf("find row: %w", err))
	}
	return row, nil
}

// rowsOf are the rows of an application that are found under it.
func (t *tx) rowsOf(app model.UID) ([]*syncRow, error) {
	var stored []syncRow
	if !t.began[app] {
		var err error
		if stored, err = t.store.engine.rowsOf(app); err != nil {
			return nil, t.fail(fmt.Errorf("find rows of application: %w", err))
		}
	}
	var rows []*syncRow
	for i := range stored {
		if _, newer := t.rows.place[keyOf(&stored[i])]; !newer {
			rows = append(rows, &stored[i])
		}
	}
	for _, row := range t.rows.list {
		if row != nil && row.parent() == app {
			rows = append(rows, row)
		}
	}
	return rows, nil
}

// writeRows writes what the batch noted, before its COMMIT.
func (b *batch) writeRows() error {
	rows := b.rows.list[:0:0]
	for _, row := range b.rows.list {
		if row != nil {
			rows = append(rows, row)
		}
	}
	if len(rows) > 0 {
		if err := b.store.engine.putRows(rows); err != nil {
			return fmt.Errorf("write rows: %w", err)
		}
	}
	for origin, seq := range b.vector {
		if err := b.store.engine.putVector(origin, seq); err != nil {
			return fmt.Errorf("write vector: %w", err)
		}
	}
	return nil
}
