package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// errDisk is a write that a Disk refused.
var errDisk = errors.New("disk in memory")

// maxFleeting is how many changes a loss of power may take back: as SQLite's
// checkpoints do, a Disk makes them durable when there are more.
const maxFleeting = 100_000

// Disk is a database in memory: what outlives the Store that OpenMemory puts
// over it, as a file outlives a process. It is for simulations of many nodes
// in one process: it starts no goroutine, and it can lose power, be full, and
// be put back to an older state. It is safe for use by many goroutines.
//
// A write of a transaction changes the maps at once and notes how to take it
// back; what was noted since the last durable commit is what a loss of power
// takes back.
type Disk struct {
	mu     sync.RWMutex
	rows   diskRows
	undos  []func() // newest last, of what is not durable yet
	user   *memoryEngine
	broken error // what writes fail with
	marker *marker
	file   fileMark
}

// diskRows is what a Disk holds. Values are never changed, only replaced.
type diskRows struct {
	clock        model.HLC
	users        map[string]model.User
	labels       map[model.UID]model.Label
	nodes        map[model.UID]model.Node
	locations    map[string]model.Location
	mappings     map[model.UID]model.ServiceMapping
	applications map[model.UID]diskApplication
	tasks        map[model.UID]model.UID // to their application

	sync    map[rowKey]syncRow
	parents map[model.UID][]rowKey
	orders  map[replica.Origin][]diskPlace // rising; places of replaced rows stay
	vector  replica.Vector
	removed time.Time
	dates   dates

	incarnation uint32
	session     int64
	lapse       model.HLC
	untold      untold
}

// diskApplication is all that belongs to one application.
type diskApplication struct {
	entry  model.Entry // without its Fold
	closed time.Time   // zero while it is open
}

// NewDisk returns an empty disk.
func NewDisk() *Disk {
	return &Disk{file: fileMark{Boot: "I", Inode: 1}, rows: diskRows{
		users: make(map[string]model.User), labels: make(map[model.UID]model.Label), nodes: make(map[model.UID]model.Node),
		locations: make(map[string]model.Location), mappings: make(map[model.UID]model.ServiceMapping),
		applications: make(map[model.UID]diskApplication), tasks: make(map[model.UID]model.UID),
		sync: make(map[rowKey]syncRow), parents: make(map[model.UID][]rowKey), orders: make(map[replica.Origin][]diskPlace), vector: replica.Vector{},
		dates: make(dates),
	}}
}

func (r diskRows) clone() diskRows {
	r.users, r.labels, r.nodes = maps.Clone(r.users), maps.Clone(r.labels), maps.Clone(r.nodes)
	r.locations, r.mappings = maps.Clone(r.locations), maps.Clone(r.mappings)
	r.applications, r.tasks = maps.Clone(r.applications), maps.Clone(r.tasks)
	r.dates = maps.Clone(r.dates)
	r.sync, r.parents, r.orders, r.vector = maps.Clone(r.sync), maps.Clone(r.parents), maps.Clone(r.orders), maps.Clone(r.vector)
	for origin, order := range r.orders {
		r.orders[origin] = slices.Clone(order) // it is appended to in place
	}
	return r
}

// Crash is a loss of power: what was committed after the last durable commit
// is gone. A Store that is open over the disk can write no more; Close it, and
// open another.
func (d *Disk) Crash() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.takeBack(0)
	d.user = nil
	d.file.Boot += "I" // another run of the system
}

// Fail makes all writes fail with the error, as a full disk does, until it is
// called with nil.
func (d *Disk) Fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.broken = err
}

// Copy is a disk with the same contents: a backup.
func (d *Disk) Copy() *Disk {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return &Disk{rows: d.rows.clone(), file: fileMark{Boot: "I", Inode: 1}}
}

// Restore puts the contents of a copy back, durable. A Store that is open over
// the disk can write no more.
func (d *Disk) Restore(from *Disk) {
	rows := from.Copy().rows
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rows, d.undos, d.user = rows, nil, nil
	d.file.Inode++ // another file
}

// takeBack undoes everything after the given number of steps.
func (d *Disk) takeBack(to int) {
	for len(d.undos) > to {
		last := len(d.undos) - 1
		d.undos[last]()
		d.undos[last] = nil
		d.undos = d.undos[:last]
	}
}

// set replaces a value, and notes how to take that back.
func set[K comparable, V any](d *Disk, rows map[K]V, key K, value V) {
	old, had := rows[key]
	rows[key] = value
	d.undos = append(d.undos, func() { restore(rows, key, old, had) })
}

// unset removes a value, and notes how to take that back.
func unset[K comparable, V any](d *Disk, rows map[K]V, key K) {
	if old, had := rows[key]; had {
		delete(rows, key)
		d.undos = append(d.undos, func() { restore(rows, key, old, had) })
	}
}

func restore[K comparable, V any](rows map[K]V, key K, old V, had bool) {
	if had {
		rows[key] = old
	} else {
		delete(rows, key)
	}
}

// OpenMemory opens a store over a disk in memory; of the Options the Folder and
// the MaxSize mean nothing. It is the store of Open in all but this: lists
// through SQL (with a filter, of all applications, of votes) fail, and a
// decide function must not read from the store that it runs in.
func OpenMemory(ctx context.Context, o Options, disk *Disk) (*Store, error) {
	s, err := newStore(o)
	if err != nil {
		return nil, err
	}
	e := &memoryEngine{disk: disk, log: s.log}
	if err := e.attach(); err != nil {
		return nil, err
	}
	s.engine = e
	if err := s.load(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open database in memory: %w", err), e.abandon())
	}
	go s.write()
	return s, nil
}

// memoryEngine is the engine over a Disk: the one Store's that has it open.
// It holds the disk's lock from begin to commit, as readers must see no half of
// a batch.
type memoryEngine struct {
	disk    *Disk
	log     *slog.Logger
	within  bool      // a transaction
	durable bool      // the transaction is
	start   int       // where its undos begin
	point   int       // where those of the savepoint begin
	oldest  time.Time // nothing closed before it
}

var _ engine = (*memoryEngine)(nil)

func (m *memoryEngine) attach() error {
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	if m.disk.user != nil {
		return ErrInUse
	}
	m.disk.user = m
	return nil
}

func (m *memoryEngine) close(mark marker) error {
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	if m.disk.user == m {
		mark.Running, mark.File = false, m.disk.file
		m.disk.marker = &mark
		m.disk.user = nil
	}
	return nil
}

// abandon gives the disk back as it is.
func (m *memoryEngine) abandon() error {
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	if m.disk.user == m {
		m.disk.user = nil
	}
	return nil
}

func (m *memoryEngine) begin(durable bool) error {
	m.disk.mu.Lock()
	m.within, m.durable = true, durable
	m.start = len(m.disk.undos)
	switch {
	case m.disk.user != m:
		return fmt.Errorf("%w: lost power", errDisk)
	case m.disk.broken != nil:
		return fmt.Errorf("%w: %w", errDisk, m.disk.broken)
	}
	return nil
}

func (m *memoryEngine) commit(clock model.HLC) error {
	was := m.disk.rows.clock
	m.disk.undos = append(m.disk.undos, func() { m.disk.rows.clock = was })
	m.disk.rows.clock = clock
	if m.durable || len(m.disk.undos) > maxFleeting {
		clear(m.disk.undos)
		m.disk.undos = m.disk.undos[:0]
	}
	m.end()
	return nil
}

func (m *memoryEngine) end() {
	m.within = false
	m.disk.mu.Unlock()
}

func (m *memoryEngine) rollback() {
	if !m.within {
		return
	}
	m.disk.takeBack(m.start)
	m.end()
}

func (m *memoryEngine) savepoint() error { m.point = len(m.disk.undos); return nil }

func (m *memoryEngine) undo() error { m.disk.takeBack(m.point); return nil }

func (m *memoryEngine) release() error { return nil }

func (m *memoryEngine) entry(app model.UID) (*model.Entry, error) {
	defer m.reading()()
	a, ok := m.disk.rows.applications[app]
	if !ok {
		return nil, fmt.Errorf("application %s: %w", app, ErrNotFound)
	}
	return a.whole(), nil
}

// whole is the entry as it reads back from SQL.
func (a diskApplication) whole() *model.Entry {
	e := a.entry
	e.Tasks = slices.Clone(e.Tasks)
	slices.SortFunc(e.Tasks, byCreation(func(t model.ApplicationTask) (int64, string) { return int64(t.HLC), string(t.UID[:]) }))
	e.Fold = model.FoldStates(e.States)
	return &e
}

func (m *memoryEngine) closedBefore(before time.Time, limit int) (apps []model.UID, last time.Time, err error) {
	defer m.reading()()
	if !m.oldest.IsZero() && !m.oldest.Before(before) {
		return nil, last, nil
	}
	closed := m.closed(func(time.Time) bool { return true })
	m.oldest = time.Time{}
	if len(closed) > 0 {
		m.oldest = closed[0].closed
	}
	for _, a := range closed {
		if len(apps) == limit || !a.closed.Before(before) {
			break
		}
		apps, last = append(apps, a.entry.Application.UID), a.closed
	}
	return apps, last, nil
}

func (m *memoryEngine) putSession(incarnation uint32, session int64) error {
	r := &m.disk.rows
	wasIncarnation, wasSession := r.incarnation, r.session
	m.disk.undos = append(m.disk.undos, func() { r.incarnation, r.session = wasIncarnation, wasSession })
	r.incarnation, r.session = incarnation, session
	return nil
}

func (m *memoryEngine) putRemoved(last time.Time) error {
	was := m.disk.rows.removed
	m.disk.undos = append(m.disk.undos, func() { m.disk.rows.removed = was })
	if last.After(was) {
		m.disk.rows.removed = last
	}
	return nil
}

func (m *memoryEngine) putDate(name dateName, at time.Time) error {
	set(m.disk, m.disk.rows.dates, name, at)
	return nil
}

// closed are those that match, the oldest first.
func (m *memoryEngine) closed(match func(at time.Time) bool) []diskApplication {
	var closed []diskApplication
	for _, a := range m.disk.rows.applications {
		if !a.closed.IsZero() && match(a.closed) {
			closed = append(closed, a)
		}
	}
	slices.SortFunc(closed, func(a, b diskApplication) int {
		return cmp.Or(a.closed.Compare(b.closed), queueOrder(&a.entry, &b.entry))
	})
	return closed
}

func (m *memoryEngine) load(context.Context) (*contents, error) {
	m.disk.mu.RLock()
	defer m.disk.mu.RUnlock()
	r := m.disk.rows
	c := &contents{
		clock: r.clock, users: slices.Collect(maps.Values(r.users)), labels: slices.Collect(maps.Values(r.labels)),
		nodes: slices.Collect(maps.Values(r.nodes)), locations: slices.Collect(maps.Values(r.locations)),
		mappings: slices.Collect(maps.Values(r.mappings)),
	}
	for _, a := range r.applications {
		if a.closed.IsZero() {
			c.open = append(c.open, a.whole())
		}
	}
	slices.SortFunc(c.open, queueOrder)
	c.incarnation, c.session, c.vector, c.removed = max(1, r.incarnation), r.session, r.vector.Clone(), r.removed
	c.dates = maps.Clone(r.dates)
	c.lapse, c.untold = r.lapse, r.untold
	for _, row := range r.sync {
		if !row.since.IsZero() {
			c.waiting = append(c.waiting, row.app)
		}
		if !row.Deleted && slices.Contains(successionKinds(), row.Kind) {
			c.succession = append(c.succession, row)
		}
		if a := r.applications[row.app]; slices.Contains(accessKinds(), row.Kind) && a.entry.Resource != nil {
			c.accesses = append(c.accesses, row)
		}
	}
	return c, nil
}

func (m *memoryEngine) readEntry(_ context.Context, app model.UID) (*model.Entry, error) {
	m.disk.mu.RLock()
	defer m.disk.mu.RUnlock()
	a, ok := m.disk.rows.applications[app]
	if !ok {
		return nil, fmt.Errorf("application %s: %w", app, ErrNotFound)
	}
	return a.whole(), nil
}

func (m *memoryEngine) readEnded(_ context.Context, since time.Time, limit int) ([]*model.Entry, error) {
	m.disk.mu.RLock()
	defer m.disk.mu.RUnlock()
	closed := m.closed(func(at time.Time) bool { return !at.Before(since) })
	closed = closed[max(0, len(closed)-limit):]
	var ended []*model.Entry
	for _, a := range closed {
		ended = append(ended, a.whole())
	}
	slices.SortFunc(ended, queueOrder)
	return ended, nil
}

func (m *memoryEngine) taskApplication(_ context.Context, task model.UID) (model.UID, error) {
	m.disk.mu.RLock()
	defer m.disk.mu.RUnlock()
	app, ok := m.disk.rows.tasks[task]
	if !ok {
		return model.NilUID, fmt.Errorf("task %s: %w", task, ErrNotFound)
	}
	return app, nil
}
