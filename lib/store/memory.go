package store

import (
	"bytes"
	"cmp"
	"slices"
	"sync"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// keepClosed is how many applications stay in memory after they are done, so
// that clients that still poll them do not cost a read through SQL each.
const keepClosed = 4096

// memory is the read model: the state after the newest commit of all that is
// alive. Only the writer changes it, a whole batch under one lock; entries and
// lists are replaced, never changed.
type memory struct {
	mu        sync.RWMutex
	open      map[model.UID]*model.Entry // not Done
	queue     []*model.Entry             // open in queue order
	shared    []*model.Entry             // copy of queue that readers hold; nil if stale
	recent    ring                       // Done most recently
	resources map[model.UID]model.UID    // Resource to Application
	users     *table[string, model.User]
	labels    *table[model.UID, model.Label]
	nodes     *table[model.UID, model.Node]
	locations *table[string, model.Location]
	mappings  *table[model.UID, model.ServiceMapping]

	retirements *table[deposed, model.Retirement]
	handovers   *table[model.UID, model.Handover]
	ownerships  *table[model.UID, model.Ownership]
	accesses    *accessBook
	vector      replica.Vector
}

func newMemory() *memory {
	return &memory{
		open:      make(map[model.UID]*model.Entry),
		recent:    ring{entries: make(map[model.UID]*model.Entry)},
		resources: make(map[model.UID]model.UID),
		users:     newTable[string](byCreation(func(u model.User) (int64, string) { return u.CreatedAt.UnixNano(), u.Name })),
		labels:    newLabelTable(),
		nodes:     newTable[model.UID](byCreation(func(n model.Node) (int64, string) { return n.CreatedAt.UnixNano(), string(n.UID[:]) })),
		locations: newTable[string](byCreation(func(l model.Location) (int64, string) { return l.CreatedAt.UnixNano(), l.Name })),
		mappings: newTable[model.UID](byCreation(func(m model.ServiceMapping) (int64, string) {
			return m.CreatedAt.UnixNano(), string(m.UID[:])
		})),
		retirements: newTable[deposed](byCreation(func(r model.Retirement) (int64, string) {
			return int64(r.HLC), string(r.NodeUID[:]) + string(r.Successor[:])
		})),
		handovers:  newTable[model.UID](byCreation(func(h model.Handover) (int64, string) { return int64(h.HLC), string(h.UID[:]) })),
		ownerships: newTable[model.UID](byCreation(func(o model.Ownership) (int64, string) { return int64(o.HLC), string(o.UID[:]) })),
		accesses:   newAccessBook(),
		vector:     replica.Vector{},
	}
}

// byCreation orders rows as the lists do: by creation, then key. Rows that are
// changed in place have a new clock reading each time, so time of day is what
// is left of their creation.
func byCreation[V any](key func(V) (int64, string)) func(a, b V) int {
	return func(a, b V) int {
		an, ak := key(a)
		bn, bk := key(b)
		return cmp.Or(cmp.Compare(an, bn), cmp.Compare(ak, bk))
	}
}

// entry is the application's newest entry in memory, nil if it is not there.
func (m *memory) entry(uid model.UID) *model.Entry {
	if e := m.open[uid]; e != nil {
		return e
	}
	return m.recent.entries[uid]
}

// apply takes over a committed batch.
func (m *memory) apply(b *batch) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.take(b)
}

// take is apply for who holds the lock.
func (m *memory) take(b *batch) {
	for uid, e := range b.entries {
		m.replace(uid, e)
	}
	m.users.apply(b.users.changed)
	m.labels.apply(b.labels.changed)
	m.nodes.apply(b.nodes.changed)
	m.locations.apply(b.locations.changed)
	m.mappings.apply(b.mappings.changed)
	m.retirements.apply(b.retirements.changed)
	m.handovers.apply(b.handovers.changed)
	m.ownerships.apply(b.ownerships.changed)
	for app, set := range b.accesses {
		m.accesses.put(app, set)
		m.accesses.keepOf(app, m.open[app])
	}
	if b.begun {
		m.vector.Merge(b.vector)
	}
}

// replace makes e the newest entry of the application; nil forgets it.
func (m *memory) replace(uid model.UID, e *model.Entry) {
	old := m.entry(uid)
	if old != nil && old.Resource != nil {
		delete(m.resources, old.Resource.UID)
	}
	if e != nil && e.Resource != nil {
		m.resources[e.Resource.UID] = uid
	}
	m.accesses.keepOf(uid, e)
	wasOpen, isOpen := m.open[uid] != nil, e != nil && !e.Done()
	if wasOpen && isOpen && queueOrder(old, e) != 0 { // its row was replaced: another place in the queue
		m.dequeue(old)
		wasOpen = false
	}
	switch {
	case isOpen:
		m.recent.remove(uid)
		m.enqueue(e, wasOpen)
		m.open[uid] = e
	case wasOpen:
		m.dequeue(old)
		delete(m.open, uid)
	}
	switch {
	case e == nil:
		m.recent.remove(uid)
	case !isOpen:
		m.recent.add(uid, e)
	}
}

func queueOrder(a, b *model.Entry) int {
	x, y := &a.Application, &b.Application
	return cmp.Or(cmp.Compare(x.HLC, y.HLC), bytes.Compare(x.UID[:], y.UID[:]))
}

func (m *memory) enqueue(e *model.Entry, known bool) {
	i, found := slices.BinarySearchFunc(m.queue, e, queueOrder)
	if found && known {
		m.queue[i] = e
	} else {
		m.queue = slices.Insert(m.queue, i, e)
	}
	m.shared = nil
}

func (m *memory) dequeue(e *model.Entry) {
	if i, found := slices.BinarySearchFunc(m.queue, e, queueOrder); found {
		m.queue = slices.Delete(m.queue, i, i+1)
	}
	m.shared = nil
}

// snapshot returns the queue for keeping.
func (m *memory) snapshot() []*model.Entry {
	m.mu.RLock()
	shared := m.shared
	m.mu.RUnlock()
	if shared != nil {
		return shared
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.shared == nil {
		m.shared = slices.Clip(append(make([]*model.Entry, 0, len(m.queue)), m.queue...))
	}
	return m.shared
}

// ring keeps the newest keepClosed entries, oldest out first.
type ring struct {
	entries map[model.UID]*model.Entry
	order   [keepClosed]model.UID
	next    int
}

func (r *ring) add(uid model.UID, e *model.Entry) {
	if _, known := r.entries[uid]; !known {
		delete(r.entries, r.order[r.next])
		r.order[r.next] = uid
		r.next = (r.next + 1) % keepClosed
	}
	r.entries[uid] = e
}

// remove forgets an entry. Its place in the order stays taken until its turn
// comes: by then the UID is gone, or back at a later place and lost a little
// early, which costs a read through SQL.
func (r *ring) remove(uid model.UID) { delete(r.entries, uid) }
