package repl

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

type rowKey struct {
	kind replica.Kind
	key  string
}

// memStore is a Store in memory. Own rows are durable at once, what came from
// others only with the next own row: crash loses it, as a database does that
// does not sync such commits.
type memStore struct {
	self     replica.Origin
	skew     time.Duration
	advanced chan struct{}

	mu     sync.Mutex
	rows   map[rowKey]replica.Row
	log    map[replica.Origin][]replica.Row // by seq; superseded ones are left out when read
	vector replica.Vector
	hlc    model.HLC
	undo   []func()                  // of what is not durable
	broken error                     // of every write
	refuse func(replica.Batch) error // of one batch
	seen   func(replica.Row)         // every row that is stored
	writes int
	told   uint64    // up to where others may have the own rows
	gone   time.Time // until when it removed what had closed
}

func newMemStore(node byte) *memStore {
	return &memStore{
		self: replica.Origin{Node: model.UID{node, 15: node}}, advanced: make(chan struct{}, 1),
		rows: map[rowKey]replica.Row{}, log: map[replica.Origin][]replica.Row{}, vector: replica.Vector{},
		seen: func(replica.Row) {}, refuse: func(replica.Batch) error { return nil },
	}
}

func (m *memStore) Origin() replica.Origin {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.self
}

// started is called before an engine runs on the store.
func (m *memStore) started() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.told = m.vector[m.self]
}

func (m *memStore) Forgotten(theirs replica.Vector) (replica.Origin, uint64, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.self, theirs[m.self], theirs[m.self] > m.told
}

func (m *memStore) Advanced() <-chan struct{} { return m.advanced }

func (m *memStore) Vector() replica.Vector {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.vector.Clone()
}

// write stores an own row.
func (m *memStore) write(kind replica.Kind, key string, body string) replica.Row {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hlc = max(m.hlc+1, model.HLC(time.Now().Add(m.skew).UnixNano()))
	m.vector[m.self]++
	row := replica.Row{
		Kind: kind, Key: []byte(key), Deleted: body == "", Body: []byte(body),
		Version: replica.Version{HLC: m.hlc, Origin: m.self, Seq: m.vector[m.self]},
	}
	if row.Deleted {
		row.Body = nil
	}
	m.put(row)
	m.undo = nil // everything is durable
	post(m.advanced)
	return row
}

// put merges a row; the caller holds mu.
func (m *memStore) put(row replica.Row) bool {
	k := rowKey{row.Kind, string(row.Key)}
	old, has := m.rows[k]
	var before *replica.Row
	if has {
		before = &old
	}
	m.hlc = max(m.hlc, row.Version.HLC)
	if !replica.Merge(row.Kind, before, row) {
		return false
	}
	m.rows[k] = row
	m.undo = append(m.undo, func() {
		if has {
			m.rows[k] = old
		} else {
			delete(m.rows, k)
		}
	})
	m.addLog(row)
	m.seen(row)
	return true
}

func (m *memStore) addLog(row replica.Row) {
	o := row.Version.Origin
	log := m.log[o]
	i := sort.Search(len(log), func(i int) bool { return log[i].Version.Seq >= row.Version.Seq })
	if i == len(log) || log[i].Version.Seq != row.Version.Seq {
		m.log[o] = slices.Insert(log, i, row)
	}
}

func (m *memStore) Rows(_ context.Context, o replica.Origin, after uint64, limit replica.Limit) (replica.Batch, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := replica.Batch{Origin: o, From: after, To: m.vector[o]}
	log := m.log[o]
	size := 0
	for i := sort.Search(len(log), func(i int) bool { return log[i].Version.Seq > after }); i < len(log); i++ {
		row := log[i]
		if row.Version.Seq > b.To || m.rows[rowKey{row.Kind, string(row.Key)}].Version != row.Version {
			continue
		}
		if !limit.Fits(len(b.Rows), size, row.Size()) {
			b.To = row.Version.Seq - 1
			break
		}
		b.Rows = append(b.Rows, row)
		size += row.Size()
	}
	if o == m.self {
		m.told = max(m.told, b.To)
	}
	return b, nil
}

func (m *memStore) Replicate(_ context.Context, batches []replica.Batch) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken != nil {
		return m.broken
	}
	reach := replica.Vector{}
	for _, b := range batches {
		if err := errors.Join(b.Validate(), m.refuse(b)); err != nil {
			return err
		}
		if b.From > max(m.vector[b.Origin], reach[b.Origin]) {
			return fmt.Errorf("gap: from %d at %d", b.From, m.vector[b.Origin])
		}
		reach[b.Origin] = b.To
	}
	for _, b := range batches {
		for _, row := range b.Rows {
			m.put(row)
		}
		before := m.vector[b.Origin]
		m.undo = append(m.undo, func() { m.vector[b.Origin] = before })
		m.vector[b.Origin] = max(before, b.To)
	}
	m.writes++
	post(m.advanced)
	return nil
}

// crash loses what is not durable.
func (m *memStore) crash() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, undo := range slices.Backward(m.undo) {
		undo()
	}
	m.undo = nil
}

func (m *memStore) Digests(_ context.Context, horizon time.Time) (map[replica.Kind]*replica.Digest, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[replica.Kind]*replica.Digest{}
	for k, row := range m.rows {
		if m.covered(row, horizon) {
			continue
		}
		if out[k.kind] == nil {
			out[k.kind] = &replica.Digest{}
		}
		out[k.kind].Toggle(row.Key, row.Version)
	}
	return out, nil
}

func (m *memStore) Horizon() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.gone
}

// removed notes that what closed before then was removed; lose does it.
func (m *memStore) removed(until time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gone = until
}

// covered stands for "of an application closed before horizon": here those are
// the rows whose body says so.
func (m *memStore) covered(row replica.Row, horizon time.Time) bool {
	return bytes.Contains(row.Body, []byte("closed")) && time.Unix(0, int64(row.Version.HLC)).Before(horizon)
}

func (m *memStore) Bucket(_ context.Context, b Bucket, after []byte, limit replica.Limit) ([]replica.Row, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var rows []replica.Row
	for k, row := range m.rows {
		if k.kind == b.Kind && replica.BucketOf(row.Key) == b.Number && bytes.Compare(row.Key, after) > 0 && !m.covered(row, b.Horizon) {
			rows = append(rows, row)
		}
	}
	slices.SortFunc(rows, func(a, b replica.Row) int { return bytes.Compare(a.Key, b.Key) })
	return rows[:min(len(rows), limit.Rows)], nil
}

func (m *memStore) MergeRows(_ context.Context, rows []replica.Row, horizon time.Time) ([]replica.Row, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var news []replica.Row
	for _, row := range rows {
		if !m.covered(row, horizon) && m.put(row) {
			news = append(news, row)
		}
	}
	return news, nil
}

// reincarnate is what a database does that was put back from a copy and hears
// of it: what it wrote since it was opened, when it had began rows of its own,
// it writes again under a new origin, and of the old one it knows less.
func (m *memStore) reincarnate(began uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	old := m.self
	m.self.Incarnation++
	m.told = 0
	log := m.log[old]
	for _, row := range log[min(began, uint64(len(log))):] {
		delete(m.rows, rowKey{row.Kind, string(row.Key)})
		m.vector[m.self]++
		row.Version.Origin, row.Version.Seq = m.self, m.vector[m.self]
		m.put(row)
	}
	m.log[old] = log[:min(began, uint64(len(log)))]
	m.vector[old] = began
	if began == 0 {
		delete(m.vector, old)
	}
	m.undo = nil
	post(m.advanced)
}

// lose forgets a row that the vector covers.
func (m *memStore) lose(kind replica.Kind, key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	row := m.rows[rowKey{kind, key}]
	delete(m.rows, rowKey{kind, key})
	m.log[row.Version.Origin] = slices.DeleteFunc(m.log[row.Version.Origin], func(r replica.Row) bool {
		return r.Version.Seq == row.Version.Seq
	})
}

// putBack stores a row as if it had always been there.
func (m *memStore) putBack(row replica.Row) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.put(row)
}

// Writable implements Store.
func (m *memStore) Writable() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.broken
}

// fail makes every write from now on fail.
func (m *memStore) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.broken = err
}

// refuseIf makes the store refuse some batches from now on.
func (m *memStore) refuseIf(bad func(replica.Batch) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refuse = func(b replica.Batch) error {
		if bad(b) {
			return errors.New("constraint failed")
		}
		return nil
	}
}

func (m *memStore) snapshot() map[rowKey]replica.Row {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.rows)
}

func (m *memStore) count() int { return len(m.snapshot()) }

func (m *memStore) written() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.writes
}

// state is all that must be alike on all nodes in the end.
func (m *memStore) state() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var lines []string
	for k, row := range m.rows {
		lines = append(lines, fmt.Sprintf("row %d %x: %d %x/%d %d %t %s", k.kind, k.key, row.Version.HLC,
			row.Version.Origin.Node[:1], row.Version.Origin.Incarnation, row.Version.Seq, row.Deleted, row.Body))
	}
	for o, seq := range m.vector {
		lines = append(lines, fmt.Sprintf("origin %x/%d: %d", o.Node[:1], o.Incarnation, seq))
	}
	slices.Sort(lines)
	return fmt.Sprintf("%d lines\n", len(lines)) + string(bytes.Join(toBytes(lines), []byte("\n")))
}

func toBytes(lines []string) [][]byte {
	out := make([][]byte, len(lines))
	for i, l := range lines {
		out[i] = []byte(l)
	}
	return out
}
