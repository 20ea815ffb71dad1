package store

import (
	"context"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// Rows of credentials and of their uses belong to an application, like those of
// its Resources: they are found under it, wait for it, and go with it. They are no
// part of its entry: what reads entries has no use for them.

// accessKinds are those whose rows are all that is stored of a part of an
// application.
func accessKinds() []replica.Kind {
	return []replica.Kind{replica.KindResourceAccess, replica.KindAccessUse}
}

// underParent reports whether rows of the kind are found under their application
// also when that is here.
func underParent(kind replica.Kind) bool {
	return kind == replica.KindResource || slices.Contains(accessKinds(), kind)
}

// accessesOf is the set of the application as the batch has left it.
func (t *tx) accessesOf(app model.UID) *accessSet {
	if set, changed := t.accesses[app]; changed {
		return set
	}
	return t.store.memory.accesses.sets[app]
}

// keepAccess stages that credentials of a Resource that is shown are in memory.
func (t *tx) keepAccess(a model.ResourceAccess, use *model.AccessUse) {
	app, now := a.ApplicationUID, t.now
	t.then(Key{Kind: KindResourceAccess, UID: a.UID}, func() { t.accesses[app] = t.accessesOf(app).withAccess(a, use, now) })
}

// keepUse stages that their use is.
func (t *tx) keepUse(u model.AccessUse) {
	app, now := u.ApplicationUID, t.now
	t.then(Key{Kind: KindResourceAccess, UID: u.AccessUID}, func() { t.accesses[app] = t.accessesOf(app).withUse(u, now) })
}

// takeAccess takes in credentials of another node.
func (t *tx) takeAccess(row *syncRow, a model.ResourceAccess) error {
	e, err := t.mayShow(row)
	if err != nil || !shows(e, a.ResourceUID) {
		return err
	}
	use, err := t.useOf(a) // it may have come before
	if err != nil {
		return err
	}
	t.keepAccess(a, use)
	return nil
}

// takeUse takes in a use that another node wrote.
func (t *tx) takeUse(row *syncRow, u model.AccessUse) error {
	e, err := t.mayShow(row)
	if err != nil || !shows(e, u.ResourceUID) {
		return err
	}
	t.keepUse(u)
	return nil
}

// mayShow is the entry of the row's application. If that is not here the row
// waits: nothing is tried, as it makes no application whole.
func (t *tx) mayShow(row *syncRow) (*model.Entry, error) {
	e, err := t.find(row.app)
	if err == nil && e == nil {
		t.wait(row)
	}
	return e, err
}

// showAccesses stages what is in memory of a Resource that is shown from now on.
func (t *tx) showAccesses(e *model.Entry) error {
	app, resource := e.Application.UID, e.Resource.UID
	rows, err := t.rowsOf(app)
	if err != nil {
		return err
	}
	set := t.store.readAccesses(resource, rows, t.now)
	t.staged = append(t.staged, func() {
		t.accesses[app] = set
		if set == nil {
			return
		}
		for _, v := range set.views {
			t.keys = append(t.keys, Key{Kind: KindResourceAccess, UID: v.UID})
		}
	})
	return nil
}

// readAccesses makes a set of the rows of a Resource's application.
func (s *Store) readAccesses(resource model.UID, rows []*syncRow, now time.Time) *accessSet {
	var accesses []model.ResourceAccess
	var uses []model.AccessUse
	for _, r := range rows {
		var err error
		switch r.Kind {
		case replica.KindResourceAccess:
			var a model.ResourceAccess
			if a, err = storedNoun(r, replica.DecodeResourceAccess); err == nil && a.ResourceUID == resource {
				accesses = append(accesses, a)
			}
		case replica.KindAccessUse:
			var u model.AccessUse
			if u, err = storedNoun(r, replica.DecodeAccessUse); err == nil && u.ResourceUID == resource {
				uses = append(uses, u)
			}
		}
		if err != nil { // it was read before it was stored
			s.log.Error("a stored row can not be read any more", "kind", r.Kind, "error", err)
		}
	}
	return newAccessSet(resource, accesses, uses, now)
}

// loadAccesses makes the sets of what is open of the rows that a start reads.
func (s *Store) loadAccesses(b *batch, rows []syncRow) {
	byApp := make(map[model.UID][]*syncRow)
	for i := range rows {
		byApp[rows[i].app] = append(byApp[rows[i].app], &rows[i])
	}
	for app, of := range byApp {
		if e := s.memory.open[app]; e != nil && e.Resource != nil {
			b.accesses[app] = s.readAccesses(e.Resource.UID, of, s.stamp())
		}
	}
}

// trimAccesses forgets what expired a while ago; the rows stay.
func (s *Store) trimAccesses(ctx context.Context) error {
	s.memory.mu.RLock()
	stale := s.memory.accesses.stale(s.stamp())
	s.memory.mu.RUnlock()
	if !stale {
		return nil
	}
	return s.alone(ctx, func() error {
		s.memory.mu.Lock()
		defer s.memory.mu.Unlock()
		s.memory.accesses.trim(s.stamp())
		return nil
	})
}
