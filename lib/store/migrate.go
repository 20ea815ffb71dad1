package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// migrationTable notes what was done. Its text is what gormigrate made of it,
// which kept it once.
const (
	migrationTable     = "migrations"
	makeMigrationTable = "CREATE TABLE IF NOT EXISTS `migrations` (`id` text,PRIMARY KEY (`id`))"
)

var errForeign = errors.New("it is no database of Aquarium Fish; move it away")

// migration is one step of the schema.
type migration struct {
	id    string
	apply func(context.Context) error // on the writer's connection, within a transaction
}

// migrations is append-only: one that was released never changes. schema.sql is
// what they amount to; a test compares.
func (s *Store) migrations() []migration {
	return []migration{
		{"20261101_start", s.migrateStart},
		{"20261122_rows", s.migrateRows},
	}
}

// migrate brings the database to the newest schema in one transaction: a crash
// leaves it as it was.
func (s *Store) migrate(ctx context.Context) error {
	found, err := s.shape(ctx)
	if err != nil {
		return err
	}
	switch found {
	case shapeForeign:
		return errForeign
	case shapeOurs:
		err = refuseNewer(ctx, s.db.writer)
	case shapeOld:
		err = s.copyOld(ctx)
	}
	if err != nil {
		return err
	}
	if err := s.applyMigrations(ctx); err != nil {
		return fmt.Errorf("migrate database: %w", err)
	}
	return s.shrink(ctx)
}

// applyMigrations runs those that were not yet. The transaction is begun and
// ended by statements, not by database/sql, which would roll it back the moment
// ctx is done, under a step that goes on.
func (s *Store) applyMigrations(ctx context.Context) (err error) {
	if err := s.db.begin(true); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			s.db.rollback()
		}
	}()
	if _, err := s.db.exec(makeMigrationTable); err != nil {
		return err
	}
	done, err := doneMigrations(ctx, s.db.writer)
	if err != nil {
		return err
	}
	for _, m := range s.migrations() {
		if slices.Contains(done, m.id) {
			continue
		}
		if err := m.apply(ctx); err != nil {
			return err
		}
		if err := s.db.step("note migration", "INSERT INTO "+migrationTable+" (id) VALUES (?)", m.id); err != nil {
			return err
		}
	}
	return s.db.step("commit", "COMMIT")
}

func doneMigrations(ctx context.Context, db querier) ([]string, error) {
	return column[string](ctx, db, "SELECT id FROM "+migrationTable)
}

// migrateStart makes the schema; where it finds a database of v0.7, it moves
// all of it over.
func (s *Store) migrateStart(ctx context.Context) error {
	db := s.db.writer
	tables, err := column[string](ctx, db, "SELECT name FROM sqlite_master WHERE type = 'table' AND name <> ?", migrationTable)
	if err != nil {
		return err
	}
	if err := renameOld(ctx, db); err != nil {
		return err
	}
	for _, statement := range schemaStart() {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	if shapeOf(tables) != shapeOld {
		return nil
	}
	a := &adoption{store: s, db: db, exec: s.db.exec, now: s.stamp(), labels: make(map[model.UID]model.Label)}
	return a.convert(ctx)
}

// refuseNewer fails with ErrNewer if the database has a migration that this
// program does not know.
func refuseNewer(ctx context.Context, db querier) error {
	done, err := doneMigrations(ctx, db)
	if err != nil {
		return err
	}
	known := (&Store{}).migrations() // by their names
	for _, id := range done {
		if !slices.ContainsFunc(known, func(m migration) bool { return m.id == id }) {
			return fmt.Errorf("%w: it has the step %q; start the version that wrote it, "+
				"or put back the copy of the database that you made before the upgrade", ErrNewer, id)
		}
	}
	return nil
}

// column reads the single column of a query.
func column[T any](ctx context.Context, db querier, query string, args ...any) ([]T, error) {
	return collect(ctx, db, func(row scanner) (v T, err error) {
		err = row.Scan(&v)
		return v, err
	}, query, args...)
}

// querier is what can be read from: a pool, a connection, a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// execer is what can be written to.
type execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}
