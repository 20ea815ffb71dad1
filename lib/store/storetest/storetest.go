// Package storetest fills the database of a stopped node with what years of
// use would leave there, for benchmarks and tests that need a long history. It
// copies rows that a real node wrote, so they are what such a node would have
// written, and it belongs to the store, which alone knows the schema.
package storetest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	_ "modernc.org/sqlite" // registers driverName
)

// driverName is what database/sql knows the driver by.
const driverName = "sqlite"

const (
	// chunk is how many copies one statement makes: a cancellation is noticed
	// within a second.
	chunk = 20_000
	// spacing is the time between two copies in nanoseconds: a million of them
	// span 28 hours, less than any retention.
	spacing = 100_000_000
)

// Copies says what to copy.
type Copies struct {
	// User is an existing user. Each copy is a user of its own with the same
	// password, named UserName(i).
	User string
	// Users is how many copies of the user to make.
	Users int
	// Applications is how many copies of the applications' template to make:
	// the one closed application in the database. The first Users of them
	// belong to the copied users, one each, the others to User.
	Applications int
}

// UserName is the name of the i-th copy of a user, from 0.
func UserName(i int) string { return fmt.Sprintf("copy-%06d", i) }

// Fill adds the copies to the database in the file and returns the UIDs of the
// copied applications as they are written in a path: the i-th is uid(i), from
// 0. The node must not be running. A failure leaves a database that is not to
// be used: for speed there is no journal.
func Fill(ctx context.Context, file string, c Copies) (uid func(i int) string, err error) {
	return fillBy(ctx, file, c, chunk)
}

// fillBy is Fill with the number of copies that one statement makes.
func fillBy(ctx context.Context, file string, c Copies, chunk int) (uid func(i int) string, err error) {
	db, err := sql.Open(driverName, file)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	defer func() {
		if err = errors.Join(err, db.Close()); err == nil {
			err = remark(file)
		}
	}()
	db.SetMaxOpenConns(1) // the pragmas are the connection's
	for _, pragma := range []string{"journal_mode = DELETE", "journal_mode = OFF", "synchronous = OFF", "cache_size = -100000"} {
		if _, err := db.ExecContext(ctx, "PRAGMA "+pragma); err != nil {
			return nil, fmt.Errorf("set pragma %s: %w", pragma, err)
		}
	}
	f := filler{db: db, copies: c, chunk: chunk}
	if err := errors.Join(f.findTemplate(ctx), f.findRows(ctx)); err != nil {
		return nil, err
	}
	if err := f.fill(ctx); err != nil {
		return nil, err
	}
	return f.uid, nil
}

// filler makes the copies.
type filler struct {
	db       *sql.DB
	copies   Copies
	chunk    int
	template []byte // UID of the application to copy
	rows     []templateRow
	place    int64 // of the last row in the database
}

// uid is the i-th copy's, in step with copiedUID.
func (f *filler) uid(i int) string {
	p := fmt.Sprintf("%x", f.template[:6])
	n := fmt.Sprintf("%010xff", i)
	return fmt.Sprintf("%s-%s-4000-8000-%s", p[:8], p[8:], n)
}

// copiedUID is SQL for the UID of a row of copy i: the maker's prefix as ever,
// then in the order of creation, as UIDs are.
func copiedUID(i, ordinal string) string {
	return "unhex(substr(hex(?4), 1, 12) || printf('40008000%010x%02x', " + i + ", " + ordinal + "))"
}

// earlier is SQL for a time or clock reading of copy i: all lie before the
// template's, in order.
func earlier(column string) string {
	return fmt.Sprintf("%s - (?3 - n.i) * %d", column, spacing)
}

// findTemplate finds the closed application, and insists that it is the only
// one: the copies' UIDs would collide with those of an earlier fill.
func (f *filler) findTemplate(ctx context.Context) error {
	var closed int
	err := f.db.QueryRowContext(ctx, "SELECT count(*), max(uid) FROM applications WHERE closed_at IS NOT NULL").
		Scan(&closed, &f.template)
	if err != nil {
		return fmt.Errorf("find application to copy: %w", err)
	}
	if closed != 1 || len(f.template) != 16 {
		return fmt.Errorf("find application to copy: got %d closed ones, want 1", closed)
	}
	return nil
}

// fill makes the indexes anew at the end, which is quicker than keeping them.
func (f *filler) fill(ctx context.Context) error {
	if err := f.users(ctx); err != nil {
		return err
	}
	indexes, err := f.dropIndexes(ctx)
	if err != nil {
		return fmt.Errorf("drop indexes: %w", err)
	}
	for from := 0; from < f.copies.Applications; from += f.chunk {
		if err := f.applications(ctx, from, min(from+f.chunk, f.copies.Applications)); err != nil {
			return fmt.Errorf("copy applications: %w", err)
		}
	}
	if err := f.noteRows(ctx); err != nil {
		return err
	}
	for _, create := range indexes {
		if _, err := f.db.ExecContext(ctx, create); err != nil {
			return fmt.Errorf("create index: %w", err)
		}
	}
	return nil
}

// dropIndexes drops those that are not part of a table, and returns how to make
// them again.
func (f *filler) dropIndexes(ctx context.Context) (create []string, err error) {
	rows, err := f.db.QueryContext(ctx, "SELECT 'DROP INDEX ' || name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	var drop []string
	for rows.Next() {
		var d, c string
		if err := rows.Scan(&d, &c); err != nil {
			return nil, err
		}
		drop, create = append(drop, d), append(create, c)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, err
	}
	for _, statement := range drop {
		if _, err := f.db.ExecContext(ctx, statement); err != nil {
			return nil, err
		}
	}
	return create, nil
}

func (f *filler) users(ctx context.Context) error {
	for i := range f.copies.Users {
		res, err := f.db.ExecContext(ctx, "INSERT INTO users SELECT ?, algo, prop_memory, prop_iterations, prop_threads, salt, hash, "+
			"created_at, updated_at, hlc FROM users WHERE name = ?", UserName(i), f.copies.User)
		if err != nil {
			return fmt.Errorf("copy user: %w", err)
		}
		if n, err := res.RowsAffected(); err != nil || n != 1 {
			return errors.Join(fmt.Errorf("copy user: there is no %q", f.copies.User), err)
		}
		if err := f.copyUserRow(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

// series is SQL for the copies from ?1 (inclusive) to ?2 (exclusive).
func series() string {
	return "WITH RECURSIVE n(i, uid) AS (SELECT ?1, " + copiedUID("?1", "255") +
		" UNION ALL SELECT i + 1, " + copiedUID("i + 1", "255") + " FROM n WHERE i + 1 < ?2) "
}

// applications makes the copies from (inclusive) to (exclusive), whole lives:
// the application, its states and its allocations.
func (f *filler) applications(ctx context.Context, from, to int) error {
	series := series()
	for _, statement := range []string{
		"INSERT INTO applications (uid, label_uid, owner_name, metadata, created_at, hlc, arbiter, closed_at) " + series +
			"SELECT n.uid, t.label_uid, iif(n.i < ?5, printf('copy-%06d', n.i), t.owner_name), t.metadata, " +
			earlier("t.created_at") + ", " + earlier("t.hlc") + ", t.arbiter, " + earlier("t.closed_at") +
			" FROM n CROSS JOIN applications t WHERE t.uid = ?4",
		"INSERT INTO application_states (uid, application_uid, status, description, created_at, hlc, epoch, node_uid, decision) " + series +
			"SELECT " + copiedUID("n.i", "t.ordinal") + ", n.uid, t.status, t.description, " +
			earlier("t.created_at") + ", " + earlier("t.hlc") + ", t.epoch, t.node_uid, t.decision " +
			"FROM n CROSS JOIN (SELECT *, row_number() OVER (ORDER BY id) AS ordinal FROM application_states WHERE application_uid = ?4) t",
		"INSERT INTO allocations (application_uid, epoch, node_uid, token, meta_token, label_uid, definition_index, definition, " +
			"metadata, label_metadata, identifier, failure, created_at, released_at) " + series +
			"SELECT n.uid, t.epoch, t.node_uid, t.token, t.meta_token, t.label_uid, t.definition_index, t.definition, " +
			"t.metadata, t.label_metadata, t.identifier, t.failure, " + earlier("t.created_at") + ", " + earlier("t.released_at") +
			" FROM n CROSS JOIN allocations t WHERE t.application_uid = ?4",
	} {
		if _, err := f.db.ExecContext(ctx, statement, from, to, f.copies.Applications, f.template, f.copies.Users); err != nil {
			return err
		}
	}
	return f.copyRows(ctx, from, to)
}
