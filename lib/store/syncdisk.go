package store

import (
	"cmp"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// diskPlace is where a row was put in the order of its origin.
type diskPlace struct {
	seq uint64
	key rowKey
}

func bySeq(p diskPlace, seq uint64) int { return cmp.Compare(p.seq, seq) }

func (m *memoryEngine) findRow(kind replica.Kind, key []byte) (*syncRow, error) {
	defer m.reading()()
	if r, ok := m.disk.rows.sync[rowKey{kind, string(key)}]; ok {
		return &r, nil
	}
	return nil, nil //nolint:nilnil // none is no error
}

func (m *memoryEngine) readRow(kind replica.Kind, key []byte) (*syncRow, error) {
	m.disk.mu.RLock()
	defer m.disk.mu.RUnlock()
	if r, ok := m.disk.rows.sync[rowKey{kind, string(key)}]; ok {
		return &r, nil
	}
	return nil, nil //nolint:nilnil // none is no error
}

func (m *memoryEngine) rowsAhead(limit model.HLC) (rows []syncRow, newest model.HLC, err error) {
	defer m.reading()()
	for _, r := range m.disk.rows.sync {
		if r.Version.HLC > limit {
			rows = append(rows, r)
		} else {
			newest = max(newest, r.Version.HLC)
		}
	}
	slices.SortFunc(rows, func(a, b syncRow) int { return a.Version.Compare(b.Version) })
	return rows, newest, nil
}

func (m *memoryEngine) keyAt(v replica.Version) (k rowKey, found bool, err error) {
	defer m.reading()()
	order := m.disk.rows.orders[v.Origin]
	at, found := slices.BinarySearchFunc(order, v.Seq, bySeq)
	if !found {
		return rowKey{}, false, nil
	}
	r, current := m.disk.rows.sync[order[at].key]
	return order[at].key, current && r.Version.SameNumber(v), nil
}

// reading holds the lock where no transaction does.
func (m *memoryEngine) reading() (end func()) {
	if m.within {
		return func() {}
	}
	m.disk.mu.RLock()
	return m.disk.mu.RUnlock
}

func (m *memoryEngine) rowsOf(parent model.UID) ([]syncRow, error) {
	defer m.reading()()
	var rows []syncRow
	for _, k := range m.disk.rows.parents[parent] {
		rows = append(rows, m.disk.rows.sync[k])
	}
	slices.SortStableFunc(rows, func(a, b syncRow) int { return cmp.Compare(a.Version.HLC, b.Version.HLC) })
	return rows, nil
}

func (m *memoryEngine) putRows(rows []*syncRow) error {
	for _, r := range rows {
		k := keyOf(r)
		if err := m.dropRow(k); err != nil {
			return err
		}
		stored := *r
		stored.noun = nil
		set(m.disk, m.disk.rows.sync, k, stored)
		if p := r.parent(); p != model.NilUID {
			set(m.disk, m.disk.rows.parents, p, append(slices.Clip(m.disk.rows.parents[p]), k))
		}
		order := m.disk.rows.orders[r.Version.Origin]
		at, found := slices.BinarySearchFunc(order, r.Version.Seq, bySeq)
		switch {
		case found && order[at].key == k: // what waited is written again, in its place
			continue
		case found: // the number was taken back, and came again from elsewhere
			if other := m.disk.rows.sync[order[at].key]; other.Version.SameNumber(r.Version) {
				if err := m.dropRow(order[at].key); err != nil { // it has one place, as in SQLite
					return err
				}
			}
			order = slices.Clone(order)
			order[at].key = k
		case at == len(order):
			order = append(order, diskPlace{r.Version.Seq, k})
		default:
			order = slices.Insert(slices.Clone(order), at, diskPlace{r.Version.Seq, k})
		}
		set(m.disk, m.disk.rows.orders, r.Version.Origin, order)
	}
	return nil
}

func (m *memoryEngine) dropRow(k rowKey) error {
	old, ok := m.disk.rows.sync[k]
	if !ok {
		return nil
	}
	unset(m.disk, m.disk.rows.sync, k)
	if p := old.parent(); p != model.NilUID {
		rest := slices.DeleteFunc(slices.Clone(m.disk.rows.parents[p]), func(o rowKey) bool { return o == k })
		if len(rest) == 0 {
			unset(m.disk, m.disk.rows.parents, p)
		} else {
			set(m.disk, m.disk.rows.parents, p, rest)
		}
	}
	return nil
}

// dropRowsOf takes the rows of an application along.
func (m *memoryEngine) dropRowsOf(e *model.Entry) {
	app := e.Application.UID
	keys := slices.Clone(m.disk.rows.parents[app])
	keys = append(keys, rowKey{replica.KindApplication, string(app[:])})
	for _, s := range e.AllStates() {
		keys = append(keys, rowKey{replica.KindApplicationState, string(s.UID[:])})
	}
	for _, t := range e.Tasks {
		keys = append(keys, rowKey{replica.KindApplicationTask, string(t.UID[:])})
	}
	for _, k := range keys {
		_ = m.dropRow(k) // it has no way to fail
	}
}

func (m *memoryEngine) putVector(origin replica.Origin, seq uint64) error {
	set(m.disk, m.disk.rows.vector, origin, seq)
	return nil
}

func (m *memoryEngine) tombstones(before model.HLC, limit int) ([]rowKey, error) {
	return m.rowKeys(limit, func(r syncRow) (int64, bool) { return int64(r.Version.HLC), r.Deleted && r.Version.HLC < before })
}

func (m *memoryEngine) abandoned(before time.Time, limit int) ([]rowKey, error) {
	return m.rowKeys(limit, func(r syncRow) (int64, bool) { return r.since.UnixNano(), !r.since.IsZero() && r.since.Before(before) })
}

// rowKeys are those that match, the oldest first.
func (m *memoryEngine) rowKeys(limit int, match func(syncRow) (at int64, ok bool)) ([]rowKey, error) {
	defer m.reading()()
	type aged struct {
		key rowKey
		at  int64
	}
	var found []aged
	for k, r := range m.disk.rows.sync {
		if at, ok := match(r); ok {
			found = append(found, aged{k, at})
		}
	}
	slices.SortFunc(found, func(a, b aged) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.key.key, b.key.key)) })
	var keys []rowKey
	for _, f := range found[:min(limit, len(found))] {
		keys = append(keys, f.key)
	}
	return keys, nil
}

func (m *memoryEngine) readRows(origin replica.Origin, after, to uint64, use func(replica.Row) bool) error {
	m.disk.mu.RLock()
	defer m.disk.mu.RUnlock()
	order := m.disk.rows.orders[origin]
	at, _ := slices.BinarySearchFunc(order, after+1, bySeq)
	for _, p := range order[at:] {
		if p.seq > to {
			return nil
		}
		r, ok := m.disk.rows.sync[p.key]
		if current := ok && r.Version.Origin == origin && r.Version.Seq == p.seq; current && !use(r.Row) {
			return nil
		}
	}
	return nil
}
