package store

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// batch is one transaction of the writer and what it will change in memory.
type batch struct {
	store     *Store
	careful   bool                       // a SAVEPOINT around each request
	begun     bool                       // BEGIN was executed
	fleeting  bool                       // a loss of power may undo it
	entries   map[model.UID]*model.Entry // nil: deleted
	users     overlay[string, model.User]
	labels    overlay[model.UID, model.Label]
	nodes     overlay[model.UID, model.Node]
	locations overlay[string, model.Location]
	mappings  overlay[model.UID, model.ServiceMapping]
	keys      []Key

	retirements overlay[deposed, model.Retirement]
	handovers   overlay[model.UID, model.Handover]
	ownerships  overlay[model.UID, model.Ownership]
	accesses    map[model.UID]*accessSet // by application
	rows        rowsInBatch
	vector      replica.Vector     // what the batch changes of it
	absent      map[model.UID]bool // applications that are known not to be there
	assembled   map[model.UID]bool // applications for which nothing waits any more
	began       map[model.UID]bool // applications that nothing waited for before the batch
}

func newBatch(s *Store) *batch {
	return &batch{
		store: s, entries: make(map[model.UID]*model.Entry),
		users:     newOverlay(s.memory.users),
		labels:    newOverlay(s.memory.labels),
		nodes:     newOverlay(s.memory.nodes),
		locations: newOverlay(s.memory.locations),
		mappings:  newOverlay(s.memory.mappings),

		retirements: newOverlay(s.memory.retirements), handovers: newOverlay(s.memory.handovers), ownerships: newOverlay(s.memory.ownerships),
		accesses: make(map[model.UID]*accessSet),
		vector:   replica.Vector{}, absent: make(map[model.UID]bool),
		assembled: make(map[model.UID]bool), began: make(map[model.UID]bool),
	}
}

func (b *batch) begin() error {
	if b.begun {
		return nil
	}
	if err := b.store.engine.begin(!b.fleeting); err != nil {
		return err
	}
	b.begun = true
	return nil
}

// commit makes the batch durable, with the clock's reading, so that a restart
// never falls back behind it.
func (b *batch) commit() error {
	if !b.begun {
		return nil
	}
	if err := b.writeRows(); err != nil {
		return err
	}
	b.store.crash.point("commit.before")
	if err := b.store.engine.commit(b.store.clock.Last()); err != nil {
		return err
	}
	b.store.crash.point("commit.after")
	return nil
}

func (b *batch) rollback() { b.store.engine.rollback() }

// clone is the batch as it is now.
func (b *batch) clone() *batch {
	c := *b
	c.entries, c.keys, c.vector, c.rows = maps.Clone(b.entries), slices.Clip(b.keys), b.vector.Clone(), b.rows.clone()
	c.users, c.labels, c.nodes = b.users.clone(), b.labels.clone(), b.nodes.clone()
	c.locations, c.mappings = b.locations.clone(), b.mappings.clone()
	c.absent, c.assembled, c.began = maps.Clone(b.absent), maps.Clone(b.assembled), maps.Clone(b.began)
	c.retirements, c.handovers, c.ownerships = b.retirements.clone(), b.handovers.clone(), b.ownerships.clone()
	c.accesses = maps.Clone(b.accesses)
	return &c
}

// tx is one request within a batch.
type tx struct {
	*batch
	now    time.Time // stamp of what the request writes
	wrote  bool      // it executed a statement
	lost   error     // an error that took the whole batch along
	staged []func()  // changes of memory, for when the request succeeds
	before *batch    // as it was, in a careful batch, for when it does not
}

// run makes a write of the request. The first one opens what it needs: a
// request that writes nothing costs no SQL.
func (t *tx) run(write func(nounWriter) error) error {
	if err := t.touch(); err != nil {
		return err
	}
	return t.fail(write(t.store.engine))
}

// touch opens what the request needs to write.
func (t *tx) touch() error {
	if t.wrote {
		return nil
	}
	return t.fail(t.open())
}

// fail notes an error that concerns more than this request.
func (t *tx) fail(err error) error {
	if err != nil && wholeBatch(err) {
		t.lost = err
	}
	return err
}

func (t *tx) open() error {
	if err := t.begin(); err != nil {
		return err
	}
	t.store.crash.point("savepoint.before")
	if t.careful {
		if err := t.store.engine.savepoint(); err != nil {
			return err
		}
		t.before = t.clone()
	}
	t.wrote = true
	return nil
}

// then stages a change of memory and the key that tells of it.
func (t *tx) then(key Key, change func()) {
	t.staged = append(t.staged, func() {
		change()
		t.keys = append(t.keys, key)
	})
}

// flush makes the staged changes seen within the batch.
func (t *tx) flush() {
	for _, change := range t.staged {
		change()
	}
	t.staged = nil
}

// errAgain says that a request failed after it wrote something, in a batch
// without savepoints: the batch has to be run again with them.
var errAgain = errors.New("run the batch again, carefully")

// end closes the request. Its error means that the whole batch is lost.
func (t *tx) end(ok bool) error {
	switch {
	case t.lost != nil:
		return t.lost
	case !ok && t.wrote:
		return t.undo()
	case !ok:
		return nil
	}
	t.flush()
	if !t.wrote {
		return nil
	}
	t.store.crash.point("savepoint.after")
	return t.release()
}

// undo takes back what a failed request wrote.
func (t *tx) undo() error {
	if !t.careful {
		return errAgain
	}
	if err := t.store.engine.undo(); err != nil {
		return err
	}
	*t.batch = *t.before
	return t.release()
}

func (t *tx) release() error {
	if !t.careful {
		return nil
	}
	return t.store.engine.release()
}
