package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// database is the engine over SQLite.
type database struct {
	execFunc // of the writer's transaction, for the noun's statements

	path      string
	found     *marker // before it was opened
	file      fileMark
	unlock    func() error // gives the folder back
	writers   *sql.DB      // one connection
	writer    *sql.Conn    // it; the writer goroutine's own once that runs
	kept      *kept        // writer with its statements compiled
	fleeting  bool         // the writer's transactions may be lost with the power
	readers   *sql.DB
	rowsAfter *sql.Stmt // selectRowsAfter, compiled once for each of the readers

	origins *origins
}

var _ engine = (*database)(nil)

// newDatabase is the engine over a file that is not open yet.
func newDatabase(path string) *database {
	d := &database{path: path, origins: newOrigins()}
	d.execFunc = d.exec
	return d
}

// openWriter opens the one connection that writes, which migrates first.
func (d *database) openWriter(ctx context.Context) (err error) {
	if d.writers, err = sql.Open(driverName, writerDSN(d.path)); err != nil {
		return err
	}
	d.writers.SetMaxOpenConns(1)
	if d.writer, err = d.writers.Conn(ctx); err != nil {
		return err
	}
	d.kept = keepStatements(d.writer)
	return nil
}

// openReaders opens what reads beside the writer.
func (d *database) openReaders(ctx context.Context) (err error) {
	if d.readers, err = sql.Open(driverName, readerDSN(d.path)); err != nil {
		return err
	}
	most := max(4, runtime.NumCPU())
	d.readers.SetMaxOpenConns(most)
	d.readers.SetMaxIdleConns(most) // to open one again costs more than most reads
	d.rowsAfter, err = d.readers.PrepareContext(ctx, selectRowsAfter)
	return err
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
	if d.rowsAfter != nil {
		errs = append(errs, d.rowsAfter.Close())
	}
	if d.kept != nil {
		errs = append(errs, d.kept.close())
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

// exec runs a statement of the writer's. The queries are constants, so that what
// is kept compiled is bounded by the code.
func (d *database) exec(query string, args ...any) (int64, error) { return d.kept.Exec(query, args...) }

func (d *database) begin(durable bool) error {
	if d.fleeting == durable { // only between transactions can it be changed
		mode := "PRAGMA synchronous = FULL"
		if !durable {
			mode = "PRAGMA synchronous = NORMAL"
		}
		if _, err := d.writer.ExecContext(context.Background(), mode); err != nil {
			return fmt.Errorf("set durability: %w", err)
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
	here := false // mostly not: who asks has new rows of another node
	err := d.kept.Query("SELECT uid FROM applications WHERE uid = ?", func(scanner) error { here = true; return nil }, key(app))
	if err != nil || !here {
		return nil, firstError(err, func() error { return ErrNotFound })
	}
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
