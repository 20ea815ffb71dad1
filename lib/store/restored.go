package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/glebarez/sqlite"
)

// A copy of a database says so in a row of meta, with its time. A node that
// runs on one knows less than what it made: an environment that is younger
// than the copy looks like a stray. As long as the row is there the node
// removes none.

// markCopy notes that the database is a copy of that time. The first mark
// stays: a copy of a copy is as old as that.
func markCopy(ctx context.Context, db execer, now time.Time) error {
	_, err := db.ExecContext(ctx, "INSERT OR IGNORE INTO meta (key, value) VALUES ('restored', ?)", now.UnixNano())
	if err != nil {
		return fmt.Errorf("note that it is a copy: %w", err)
	}
	return nil
}

// Restored tells whether the database is a copy that was put back and that
// nobody has confirmed since, and of when. It reads the file: another process
// confirms.
func (s *Store) Restored(ctx context.Context) (taken time.Time, restored bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	return restoredMark(ctx, s.readers)
}

func restoredMark(ctx context.Context, db querier) (time.Time, bool, error) {
	marks, err := column[int64](ctx, db, "SELECT value FROM meta WHERE key = 'restored'")
	if err != nil {
		return time.Time{}, false, fmt.Errorf("read whether the database was restored: %w", err)
	}
	if len(marks) == 0 {
		return time.Time{}, false, nil
	}
	return time.Unix(0, marks[0]).UTC(), true, nil
}

// Confirm says that nothing runs that the database in the folder does not know
// and that must be kept. It reports whether the database was a copy, and of
// when. A node may have it open: this row is no part of its read model.
func Confirm(ctx context.Context, folder string) (taken time.Time, was bool, err error) {
	path := filepath.Join(folder, fileName)
	db, err := sql.Open(sqlite.DriverName, uri(path)+"?mode=rw&_txlock=immediate&_pragma=synchronous(FULL)&_pragma=fullfsync(1)"+commonPragmas())
	if err != nil {
		return time.Time{}, false, explain(path, err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if taken, was, err = restoredMark(ctx, db); err != nil || !was {
		return taken, was, err
	}
	if _, err := db.ExecContext(ctx, "DELETE FROM meta WHERE key = 'restored'"); err != nil {
		return time.Time{}, false, fmt.Errorf("confirm the restored database: %w", err)
	}
	return taken, true, nil
}
