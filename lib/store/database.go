package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/glebarez/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// database is the engine over SQLite.
type database struct {
	execFunc // of the writer's transaction, for the noun's statements

	path       string
	found      *marker // before it was opened
	file       fileMark
	unlock     func() error         // gives the folder back
	writers    *sql.DB              // one connection
	writer     *sql.Conn            // it; the writer goroutine's own once that runs
	statements map[string]*sql.Stmt // of writer
	fleeting   bool                 // the writer's transactions may be lost with the power
	readers    *sql.DB
	lists      *gorm.DB // over readers

	origins *origins
	inserts map[insertShape]string
	args    []any // of the last insert, for the next one
}

var _ engine = (*database)(nil)

// newDatabase is the engine over a file that is not open yet.
func newDatabase(path string) *database {
	d := &database{path: path, statements: make(map[string]*sql.Stmt), origins: newOrigins(), inserts: make(map[insertShape]string)}
	for n := 1; n <= manyRows; n++ {
		d.inserts[insertShape{n, false}], d.inserts[insertShape{n, true}] = insertRows(n, false), insertRows(n, true)
	}
	d.execFunc = d.exec
	return d
}

// openPools opens what runs beside the migrations' connection.
func (d *database) openPools(ctx context.Context) (err error) {
	if d.writer, err = d.writers.Conn(ctx); err != nil {
		return err
	}
	if d.readers, err = sql.Open(sqlite.DriverName, readerDSN(d.path)); err != nil {
		return err
	}
	d.readers.SetMaxOpenConns(max(4, runtime.NumCPU()))
	d.lists, err = openGorm(d.readers)
	return err
}

// openGorm puts GORM over a pool. It stays silent: errors are returned.
func openGorm(pool *sql.DB) (*gorm.DB, error) {
	return gorm.Open(&sqlite.Dialector{Conn: pool}, &gorm.Config{
		Logger: logger.Discard, SkipDefaultTransaction: true, TranslateError: false,
	})
}

func (d *database) close(m marker) error {
	err := d.shut()
	if err == nil {
		err = d.markStopped(m)
	}
	return errors.Join(err, d.free())
}

// shut closes the file.
func (d *database) shut() error {
	var errs []error
	for _, stmt := range d.statements {
		errs = append(errs, stmt.Close())
	}
	if d.writer != nil {
		errs = append(errs, d.writer.Close())
	}
	for _, pool := range []*sql.DB{d.readers, d.writers} { // the last one to close empties the -wal
		if pool != nil {
			errs = append(errs, pool.Close())
		}
	}
	return errors.Join(errs...)
}

// free gives the folder back.
func (d *database) free() error {
	if d.unlock == nil {
		return nil
	}
	return d.unlock()
}

// exec runs a prepared statement on the writing connection.
func (d *database) exec(query string, args ...any) (sql.Result, error) {
	stmt, err := d.statement(query) //nolint:sqlclosecheck // kept until the store closes
	if err != nil {
		return nil, err
	}
	return stmt.Exec(args...)
}

// statement returns the prepared statement for a query. Only the writer calls
// it; the queries are constants, so the cache is bounded by the code.
func (d *database) statement(query string) (*sql.Stmt, error) {
	if stmt := d.statements[query]; stmt != nil {
		return stmt, nil
	}
	stmt, err := d.writer.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, fmt.Errorf("prepare %q: %w", query, err)
	}
	d.statements[query] = stmt
	return stmt, nil
}

func (d *database) begin(durable bool) error {
	if d.fleeting == durable { // only between transactions can it be changed
		mode := "PRAGMA synchronous = FULL"
		if !durable {
			mode = "PRAGMA synchronous = NORMAL"
		}
		if err := d.step("set durability", mode); err != nil {
			return err
		}
		d.fleeting = !durable
	}
	return d.step("begin transaction", "BEGIN IMMEDIATE")
}

func (d *database) commit(clock model.HLC) error {
	if err := d.step("store clock", "UPDATE meta SET value = ? WHERE key = 'hlc'", int64(clock)); err != nil {
		return err
	}
	return d.step("commit", "COMMIT")
}

// rollback leaves the connection without a transaction, also after a BEGIN that
// failed because an earlier ROLLBACK had. SQLite may have ended it already; if
// it does not end, the next BEGIN fails, and the next batch tries again.
func (d *database) rollback() { _, _ = d.exec("ROLLBACK") }

func (d *database) savepoint() error { return d.step("set savepoint", "SAVEPOINT request") }

func (d *database) undo() error { return d.step("roll back to savepoint", "ROLLBACK TO request") }

func (d *database) release() error { return d.step("release savepoint", "RELEASE request") }

func (d *database) entry(app model.UID) (*model.Entry, error) {
	return readEntry(context.Background(), d.writer, app)
}

func (d *database) closedBefore(before time.Time, limit int) (apps []model.UID, last time.Time, err error) {
	// Not under a request's ctx: an interrupt would take the batch along.
	apps, err = collect(context.Background(), d.writer, func(row scanner) (uid model.UID, err error) {
		err = row.Scan(&uid, nanos{&last})
		return uid, err
	}, "SELECT uid, closed_at FROM applications WHERE closed_at < ? ORDER BY closed_at LIMIT ?", before.UnixNano(), limit)
	return apps, last, err
}

func (d *database) putSession(incarnation uint32, session int64) error {
	return d.step("store incarnation", "INSERT INTO meta (key, value) VALUES ('incarnation', ?), ('session', ?) "+
		"ON CONFLICT (key) DO UPDATE SET value = excluded.value", int64(incarnation), session)
}

func (d *database) putRemoved(last time.Time) error {
	return d.step("store what was removed", "INSERT INTO meta (key, value) VALUES ('removed', ?) "+
		"ON CONFLICT (key) DO UPDATE SET value = max(value, excluded.value)", last.UnixNano())
}

func (d *database) putDate(name dateName, at time.Time) error {
	return d.step("store a time", "INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", string(name), at.UnixNano())
}

func (d *database) readEntry(ctx context.Context, app model.UID) (e *model.Entry, err error) {
	err = d.snapshot(ctx, func(ctx context.Context, db querier) error {
		e, err = readEntry(ctx, db, app)
		return err
	})
	return e, err
}

func (d *database) readEnded(ctx context.Context, since time.Time, limit int) (ended []*model.Entry, err error) {
	err = d.snapshot(ctx, func(ctx context.Context, db querier) error {
		ended, err = readEntries(ctx, db, whichEnded, toNanos(since), limit)
		return err
	})
	return ended, err
}

// snapshot reads one moment of what is committed.
func (d *database) snapshot(ctx context.Context, read func(context.Context, querier) error) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	tx, err := d.readers.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return fmt.Errorf("begin to read: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // it only read
	return read(ctx, tx)
}
