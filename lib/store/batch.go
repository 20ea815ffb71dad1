package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// batch is one transaction of the writer and what it will change in memory.
type batch struct {
	store     *Store
	careful   bool                       // a SAVEPOINT around each request
	begun     bool                       // BEGIN was executed
	entries   map[model.UID]*model.Entry // nil: deleted
	users     overlay[string, model.User]
	labels    overlay[model.UID, model.Label]
	nodes     overlay[model.UID, model.Node]
	locations overlay[string, model.Location]
	mappings  overlay[model.UID, model.ServiceMapping]
	keys      []Key
}

func newBatch(s *Store) *batch {
	return &batch{
		store: s, entries: make(map[model.UID]*model.Entry),
		users:     newOverlay(s.memory.users),
		labels:    newOverlay(s.memory.labels),
		nodes:     newOverlay(s.memory.nodes),
		locations: newOverlay(s.memory.locations),
		mappings:  newOverlay(s.memory.mappings),
	}
}

// exec runs a prepared statement on the writing connection.
func (b *batch) exec(query string, args ...any) (sql.Result, error) {
	stmt, err := b.store.statement(query) //nolint:sqlclosecheck // kept until the store closes
	if err != nil {
		return nil, err
	}
	return stmt.Exec(args...)
}

func (b *batch) begin() error {
	if b.begun {
		return nil
	}
	if _, err := b.exec("BEGIN IMMEDIATE"); err != nil {
		return fmt.Errorf("begin transaction: %w", err)
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
	if _, err := b.exec("UPDATE meta SET value = ? WHERE key = 'hlc'", int64(b.store.clock.Last())); err != nil {
		return fmt.Errorf("store clock: %w", err)
	}
	b.store.crash.point("commit.before")
	if _, err := b.exec("COMMIT"); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	b.store.crash.point("commit.after")
	return nil
}

// rollback leaves the connection without a transaction, also after a BEGIN that
// failed because an earlier ROLLBACK had. SQLite may have ended it already; if
// it does not end, the next BEGIN fails, and the next batch tries again.
func (b *batch) rollback() { _, _ = b.exec("ROLLBACK") }

// tx is one request within a batch.
type tx struct {
	*batch
	now    time.Time // stamp of what the request writes
	wrote  bool      // it executed a statement
	lost   error     // an error that took the whole batch along
	staged []func()  // changes of memory, for when the request succeeds
}

// exec runs a statement of the request. The first one opens what it needs: a
// request that writes nothing costs no SQL.
func (t *tx) exec(query string, args ...any) (sql.Result, error) {
	if !t.wrote {
		if err := t.open(); err != nil {
			return nil, t.fail(err)
		}
	}
	res, err := t.batch.exec(query, args...)
	return res, t.fail(err)
}

// fail notes an error that concerns more than this request.
func (t *tx) fail(err error) error {
	if err != nil && code(err) != 0 && !requestOnly(err) {
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
		if _, err := t.batch.exec("SAVEPOINT request"); err != nil {
			return fmt.Errorf("set savepoint: %w", err)
		}
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
	for _, change := range t.staged {
		change()
	}
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
	if _, err := t.batch.exec("ROLLBACK TO request"); err != nil {
		return fmt.Errorf("roll back to savepoint: %w", err)
	}
	return t.release()
}

func (t *tx) release() error {
	if !t.careful {
		return nil
	}
	if _, err := t.batch.exec("RELEASE request"); err != nil {
		return fmt.Errorf("release savepoint: %w", err)
	}
	return nil
}

// statement returns the prepared statement for a query. Only the writer calls
// it; the queries are constants, so the cache is bounded by the code.
func (s *Store) statement(query string) (*sql.Stmt, error) {
	if stmt := s.statements[query]; stmt != nil {
		return stmt, nil
	}
	stmt, err := s.writer.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, fmt.Errorf("prepare %q: %w", query, err)
	}
	s.statements[query] = stmt
	return stmt, nil
}
