package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/go-gormigrate/gormigrate/v2"
	"gorm.io/gorm"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// migrationTable is where gormigrate notes what was done.
const migrationTable = "migrations"

var errForeign = errors.New("it is no database of Aquarium Fish; move it away")

// migrations is append-only: one that was released never changes, and none is
// AutoMigrate, whose meaning moves with the types. schema.sql is what they
// amount to; a test compares.
func (s *Store) migrations() []*gormigrate.Migration {
	return []*gormigrate.Migration{
		{ID: "20261101_start", Migrate: s.migrateStart},
		{ID: "20261122_rows", Migrate: s.migrateRows},
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
	db, err := openGorm(s.db.writer)
	if err != nil {
		return err
	}
	options := &gormigrate.Options{TableName: migrationTable, UseTransaction: true}
	if err := gormigrate.New(db.WithContext(ctx), options, s.migrations()).Migrate(); err != nil {
		return fmt.Errorf("migrate database: %w", err)
	}
	return s.shrink(ctx)
}

// migrateStart makes the schema; where it finds a database of v0.7, it moves
// all of it over.
func (s *Store) migrateStart(tx *gorm.DB) error {
	ctx, db := tx.Statement.Context, conn(tx.Statement.ConnPool)
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
	done, err := column[string](ctx, db, "SELECT id FROM "+migrationTable)
	if err != nil {
		return err
	}
	known := (&Store{}).migrations() // by their names
	for _, id := range done {
		if !slices.ContainsFunc(known, func(m *gormigrate.Migration) bool { return m.ID == id }) {
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
