package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

const labelColumns = "uid, name, version, definitions, metadata, created_at, hlc"

func scanLabel(row scanner) (l model.Label, err error) {
	err = row.Scan(&l.UID, &l.Name, &l.Version, jsonOf{&l.Definitions}, raw(&l.Metadata), nanos{&l.CreatedAt}, &l.HLC)
	return l, err
}

// newLabelTable lists of the labels with one name and version, which nodes that
// were cut off from each other may both have made, the oldest: it owns the
// name. The others are in rows, for who knows their UID.
func newLabelTable() *table[model.UID, model.Label] {
	t := newTable[model.UID](byCreation(func(l model.Label) (int64, string) { return int64(l.HLC), string(l.UID[:]) }))
	type name struct {
		name    string
		version int
	}
	t.shown = func(list []model.Label) []model.Label {
		owned := make(map[name]bool, len(list))
		return slices.DeleteFunc(list, func(l model.Label) bool {
			n := name{l.Name, l.Version}
			shadowed := owned[n]
			owned[n] = true
			return shadowed
		})
	}
	return t
}

// shadowed reports whether a label that was read from SQL is not to be listed.
func (s *Store) shadowed(l model.Label) bool {
	s.memory.mu.RLock()
	defer s.memory.mu.RUnlock()
	_, listed := slices.BinarySearchFunc(s.memory.labels.list, l, s.memory.labels.order)
	_, known := s.memory.labels.rows[l.UID]
	return known && !listed
}

// Label returns a label, also one whose name an older one owns.
func (s *Store) Label(uid model.UID) (model.Label, bool) {
	s.memory.mu.RLock()
	defer s.memory.mu.RUnlock()
	l, ok := s.memory.labels.rows[uid]
	return l, ok
}

// LabelDeleted reports whether a label was deleted, on any node, as far as that
// is known here; tombstones are kept for keepDeleted.
func (s *Store) LabelDeleted(uid model.UID) bool {
	row, err := s.engine.readRow(replica.KindLabel, uid[:])
	if err != nil {
		s.log.Warn("can not look whether a label was deleted; it is taken for one that is still to come", "label", uid, "error", err)
		return false
	}
	return row != nil && row.Deleted
}

// Labels returns all labels in creation order, but those whose name and version
// an older one owns. The slice is shared: it must
// not be changed.
func (s *Store) Labels() []model.Label {
	s.memory.mu.RLock()
	defer s.memory.mu.RUnlock()
	return s.memory.labels.list
}

// CreateLabel stores a new label, with UID, time and clock reading filled in.
// ErrExists if there is one with its name and version.
func (s *Store) CreateLabel(ctx context.Context, l model.Label) (model.Label, error) {
	var created model.Label
	err := s.do(ctx, func(t *tx) (err error) {
		created, err = t.createLabel(l)
		return err
	})
	if err != nil {
		return model.Label{}, err
	}
	return created, nil
}

func (t *tx) createLabel(l model.Label) (model.Label, error) {
	if _, taken := t.labels.find(func(o model.Label) bool { return o.Name == l.Name && o.Version == l.Version }); taken {
		return l, fmt.Errorf("label %q version %d: %w", l.Name, l.Version, ErrExists)
	}
	l.UID, l.CreatedAt, l.HLC, l.Metadata = t.store.uids.New(t.now), t.now, t.store.clock.Next(t.now), orEmpty(l.Metadata)
	if l.Definitions == nil {
		l.Definitions = []model.LabelDefinition{}
	}
	if err := record(t, l, replica.EncodeLabel, model.NilUID); err != nil {
		return l, err
	}
	return l, t.putLabel(l)
}

func (t *tx) putLabel(l model.Label) error {
	if err := t.run(func(w nounWriter) error { return w.insertLabel(l) }); err != nil {
		return err
	}
	t.then(Key{Kind: KindLabel, UID: l.UID}, func() { t.labels.changed[l.UID] = &l })
	return nil
}

func (exec execFunc) insertLabel(l model.Label) error {
	definitions, err := toJSON(l.Definitions)
	if err != nil {
		return fmt.Errorf("label definitions: %w", err)
	}
	return exec.insertLabelText(l, definitions)
}

// insertLabelText takes the definitions as they are stored.
func (exec execFunc) insertLabelText(l model.Label, definitions string) error {
	_, err := exec("INSERT OR REPLACE INTO labels ("+labelColumns+") VALUES (?,?,?,?,?,?,?)",
		key(l.UID), l.Name, l.Version, definitions, rawText(l.Metadata), toNanos(l.CreatedAt), int64(l.HLC))
	return exists(err, "insert label")
}

func (t *tx) deleteLabel(uid model.UID) error {
	if err := t.run(func(w nounWriter) error { return w.deleteLabel(uid) }); err != nil {
		return err
	}
	t.then(Key{Kind: KindLabel, UID: uid}, func() { t.labels.changed[uid] = nil })
	return nil
}

func (exec execFunc) deleteLabel(uid model.UID) error {
	return exec.step("delete label", "DELETE FROM labels WHERE uid = ?", key(uid))
}

// DeleteLabel removes a label, and reports whether there was one.
func (s *Store) DeleteLabel(ctx context.Context, uid model.UID) (bool, error) {
	var existed bool
	err := s.do(ctx, func(t *tx) error {
		if _, existed = t.labels.get(uid); !existed {
			return nil
		}
		if err := t.recordDeleted(replica.KindLabel, uid[:]); err != nil {
			return err
		}
		return t.deleteLabel(uid)
	})
	if err != nil {
		return false, err
	}
	return existed, nil
}
