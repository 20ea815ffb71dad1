package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// A copy of a database says so in rows of meta. A node that runs on one knows
// less than what happened: an environment that is younger than the copy looks
// like a stray, and an application that waits in it may have been run, and
// ended, since. Until an operator confirms, the node removes no stray and runs
// nothing that waited.
const (
	// markTaken has the time of the copy while it is not confirmed.
	markTaken = "restored"
	// markUntil has the newest clock reading in the copy while it is not
	// confirmed: what is younger was asked for on the restored node.
	markUntil = "restored_until"
	// markEnded is what markUntil becomes if what waited has to be ended.
	markEnded = "restored_ended"
)

// Doubt says whether an application that waits can be run.
type Doubt int

const (
	// Certain is one that nobody can have run without this database knowing.
	Certain Doubt = iota
	// Doubtful is one as a restored copy has it, which may have been run, and
	// ended, since. It has to wait until an operator confirms.
	Doubtful
	// Dropped is one that an operator, who confirmed, wants ended.
	Dropped
)

// Choice is what an operator wants of the applications that waited when the
// copy was made.
type Choice string

// The choices. ChoiceNone will do where none waited.
const (
	ChoiceNone Choice = ""
	ChoiceRun  Choice = "run" // also those that were run since the copy: the node can not tell
	ChoiceEnd  Choice = "end" // as ERROR; who still wants one asks again
)

// ErrChoose says that a restored copy can not be confirmed without a Choice.
var ErrChoose = errors.New("applications waited when the copy was made, and may have been run since")

// mark is what a database says of itself as a copy.
type mark struct {
	taken time.Time // zero once it is confirmed
	until model.HLC
}

// doubt about an application of the database.
func (m *mark) doubt(a model.Application) Doubt {
	switch {
	case m == nil || a.HLC > m.until:
		return Certain
	case m.taken.IsZero():
		return Dropped
	}
	return Doubtful
}

// markCopy notes that the database is a copy of that time. The first time
// stays: a copy of a copy that nobody confirmed lacks what happened since then.
func markCopy(ctx context.Context, db execer, now time.Time) error {
	for _, step := range []struct {
		query string
		args  []any
	}{
		{"INSERT OR IGNORE INTO meta (key, value) VALUES (?, ?)", []any{markTaken, now.UnixNano()}},
		{"INSERT OR REPLACE INTO meta (key, value) SELECT ?, value FROM meta WHERE key = 'hlc'", []any{markUntil}},
		{"DELETE FROM meta WHERE key = ?", []any{markEnded}},
	} {
		if _, err := db.ExecContext(ctx, step.query, step.args...); err != nil {
			return fmt.Errorf("note that it is a copy: %w", err)
		}
	}
	return nil
}

// readMark is nil for a database that is no copy, or a confirmed one of which
// nothing has to be ended.
func readMark(ctx context.Context, db querier) (*mark, error) {
	type row struct {
		key   string
		value int64
	}
	rows, err := collect(ctx, db, func(s scanner) (r row, err error) {
		err = s.Scan(&r.key, &r.value)
		return r, err
	}, "SELECT key, value FROM meta WHERE key IN (?, ?, ?)", markTaken, markUntil, markEnded)
	if err != nil {
		return nil, fmt.Errorf("read whether the database was restored: %w", err)
	}
	if len(rows) == 0 {
		return nil, nil //nolint:nilnil // no mark is the usual answer, and no error
	}
	m := &mark{}
	for _, r := range rows {
		switch r.key {
		case markTaken:
			m.taken = time.Unix(0, r.value).UTC()
		case markUntil, markEnded:
			m.until = model.HLC(r.value)
		}
	}
	return m, nil
}

func (d *database) putMarkUntil(until model.HLC) error {
	return d.step("note of when it is a copy", "UPDATE meta SET value = ? WHERE key IN ('"+markUntil+"', '"+markEnded+"')", int64(until))
}

// putMarkUntil has nothing to note: a disk in memory is no copy.
func (m *memoryEngine) putMarkUntil(model.HLC) error { return nil }

// Restored tells whether the database is a copy that was put back and that
// nobody has confirmed since, and of when.
func (s *Store) Restored() (taken time.Time, restored bool) {
	if m := s.mark.Load(); m != nil {
		taken = m.taken
	}
	return taken, !taken.IsZero()
}

// InDoubt is how many applications wait, or are being made, and are in doubt.
func (s *Store) InDoubt() int { return s.mark.Load().waiting(s.Open()) }

// Doubt says whether an application that waits, or is being made, can be run.
// When the answer changes subscribers get a resync.
func (s *Store) Doubt(a model.Application) Doubt { return s.mark.Load().doubt(a) }

// refreshMark notices that another process confirmed. A database that is open
// does not become a copy.
func (s *Store) refreshMark(ctx context.Context) error {
	if _, restored := s.Restored(); !restored {
		return nil
	}
	m, err := readMark(ctx, s.db.readers)
	if err != nil || m != nil && !m.taken.IsZero() {
		return err
	}
	s.mark.Store(m)
	s.log.Info("the restored database was confirmed")
	s.feed.publish(nil, true)
	return nil
}

// Confirmation is what was confirmed.
type Confirmation struct {
	Taken   time.Time // when the copy was made; zero if the database is no copy, or was confirmed before
	Waiting int       // applications that the Choice is about
}

// Confirm says that nothing runs that the database in the folder does not know
// and that must be kept, and what becomes of what waited. ErrChoose if that is
// not said although some did; nothing is changed then. A node may have the
// database open: these rows are no part of its read model, and it looks.
func Confirm(ctx context.Context, folder string, choice Choice) (c Confirmation, err error) {
	path := filepath.Join(folder, fileName)
	db, err := sql.Open(driverName, uri(path)+"?mode=rw&_txlock=immediate&_pragma=synchronous(FULL)&_pragma=fullfsync(1)"+commonPragmas())
	if err != nil {
		return c, explain(path, err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return c, explain(path, err)
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	m, err := readMark(ctx, tx)
	if err != nil || m == nil || m.taken.IsZero() {
		return c, err
	}
	open, err := readEntries(ctx, tx, whichOpen)
	if err != nil {
		return c, err
	}
	if c.Waiting = m.waiting(open); c.Waiting > 0 && choice == ChoiceNone {
		return c, ErrChoose
	}
	c.Taken = m.taken
	if err := confirm(ctx, tx, choice == ChoiceEnd); err != nil {
		return c, fmt.Errorf("confirm the restored database: %w", err)
	}
	return c, tx.Commit()
}

func confirm(ctx context.Context, tx *sql.Tx, end bool) error {
	if end {
		if _, err := tx.ExecContext(ctx, "UPDATE meta SET key = ? WHERE key = ?", markEnded, markUntil); err != nil {
			return err
		}
	}
	_, err := tx.ExecContext(ctx, "DELETE FROM meta WHERE key IN (?, ?)", markTaken, markUntil)
	return err
}

// waiting counts the applications in doubt that wait or are being made.
func (m *mark) waiting(open []*model.Entry) (n int) {
	for _, e := range open {
		if s := e.Fold.Status(); m.doubt(e.Application) == Doubtful && (s == model.StatusNew || s == model.StatusElected) {
			n++
		}
	}
	return n
}
