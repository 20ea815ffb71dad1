package store

import (
	"context"
	"fmt"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

const labelColumns = "uid, name, version, definitions, metadata, created_at, hlc"

func scanLabel(row scanner) (l model.Label, err error) {
	err = row.Scan(&l.UID, &l.Name, &l.Version, jsonOf{&l.Definitions}, raw(&l.Metadata), nanos{&l.CreatedAt}, &l.HLC)
	return l, err
}

// Label returns a label.
func (s *Store) Label(uid model.UID) (model.Label, bool) {
	s.memory.mu.RLock()
	defer s.memory.mu.RUnlock()
	l, ok := s.memory.labels.rows[uid]
	return l, ok
}

// Labels returns all labels in creation order. The slice is shared: it must
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
	if err := t.run(func(w nounWriter) error { return w.insertLabel(l) }); err != nil {
		return l, err
	}
	t.then(Key{Kind: KindLabel, UID: l.UID}, func() { t.labels.changed[l.UID] = &l })
	return l, nil
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
	_, err := exec("INSERT INTO labels ("+labelColumns+") VALUES (?,?,?,?,?,?,?)",
		key(l.UID), l.Name, l.Version, definitions, rawText(l.Metadata), toNanos(l.CreatedAt), int64(l.HLC))
	return exists(err, "insert label")
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
		if err := t.run(func(w nounWriter) error { return w.deleteLabel(uid) }); err != nil {
			return err
		}
		t.then(Key{Kind: KindLabel, UID: uid}, func() { t.labels.changed[uid] = nil })
		return nil
	})
	if err != nil {
		return false, err
	}
	return existed, nil
}
