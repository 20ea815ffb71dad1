package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/loop"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

const (
	// maintainEvery is how often the database is looked after.
	maintainEvery = 5 * time.Second
	// maintainBudget is how much of that it may take, so that expiry keeps up
	// with 500 lives a second and idle means idle.
	maintainBudget = 2 * time.Second
	// expireBatch is how many applications one request removes: some 3 ms of
	// the writer, about what a batch of others takes.
	expireBatch = 20
	// maxLog is the size of the -wal, in bytes, from which it is emptied
	// although the node is busy.
	maxLog = 64 << 20
	// idleLog is the size of the -wal, in bytes, from which it is emptied while
	// the node is idle: a sign of life every 10 s alone is not worth it.
	idleLog = 256 << 10
	// vacuumPages is how many free pages of 4 KB go back to the file system at
	// a time; fewer are kept for the next rows.
	vacuumPages = 500
)

// RunMaintenance removes what is past its retention, empties the -wal, returns
// free space to the file system, in small steps between the writes of others,
// and notices that a restored copy was confirmed, until ctx is done.
func (s *Store) RunMaintenance(ctx context.Context) error {
	loop.Every(ctx, maintainEvery, func(ctx context.Context) {
		if err := s.maintain(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, ErrClosed) {
			s.log.Warn("database maintenance did not finish; it is tried again", "error", err)
		}
	})
	return nil
}

func (s *Store) maintain(ctx context.Context) error {
	if s.Writable() != nil {
		return nil // the writer's own probe is on it
	}
	ctx, cancel := context.WithTimeout(ctx, maintainEvery)
	defer cancel()
	if s.db == nil {
		return errors.Join(s.expire(ctx), s.expireRows(ctx), s.trimAccesses(ctx)) // the rest is the file's
	}
	err := errors.Join(s.refreshMark(ctx), s.expire(ctx), s.expireRows(ctx), s.trimAccesses(ctx))
	commits := s.commits.Load()
	idle := commits == s.maintained.Swap(commits)
	return errors.Join(err, s.emptyLog(ctx, idle), s.vacuum(ctx, idle))
}

// expire removes closed applications that are past their retention, and the
// oldest ones while the database is too large.
func (s *Store) expire(ctx context.Context) error {
	for start := time.Now(); time.Since(start) < maintainBudget; {
		before, err := s.expireBefore(ctx)
		if err != nil || before.IsZero() {
			return err
		}
		removed, err := s.removeClosed(ctx, before)
		if err != nil || removed < expireBatch {
			return err
		}
	}
	return nil
}

// expireBefore is when an application must have closed to be removed now; the
// zero time if none has to go.
func (s *Store) expireBefore(ctx context.Context) (time.Time, error) {
	if s.opts.MaxSize > 0 && s.db != nil {
		size, err := s.used(ctx)
		if err != nil || size > s.opts.MaxSize {
			return s.stamp(), err
		}
	}
	if s.opts.Retention > 0 {
		return s.steady.read(s.stamp(), time.Since(s.opened)).Add(-s.opts.Retention), nil
	}
	return time.Time{}, nil
}

// used is the size of what the database holds, in bytes.
func (s *Store) used(ctx context.Context) (int64, error) {
	size, err := column[int64](ctx, s.db.readers, "SELECT (page_count - freelist_count) * page_size "+
		"FROM pragma_page_count, pragma_freelist_count, pragma_page_size")
	if err != nil {
		return 0, fmt.Errorf("measure database: %w", err)
	}
	return size[0], nil
}

// removeClosed removes the oldest of the applications that closed before then,
// and returns how many.
func (s *Store) removeClosed(ctx context.Context, before time.Time) (int, error) {
	removed := 0
	err := s.do(ctx, func(t *tx) error {
		apps, last, err := s.engine.closedBefore(before, expireBatch)
		if err != nil {
			return t.fail(err)
		}
		if len(apps) > 0 {
			if err := t.noteRemoved(last); err != nil {
				return err
			}
		}
		for _, app := range apps {
			if err := t.remove(app); err != nil {
				return fmt.Errorf("remove application %s: %w", app, err)
			}
		}
		removed = len(apps)
		return nil
	})
	if err != nil {
		return 0, err
	}
	return removed, nil
}

// remove drops an application with all that belongs to it.
func (t *tx) remove(app model.UID) error {
	if err := t.run(func(w nounWriter) error { return w.removeApplication(app) }); err != nil {
		return err
	}
	for uid, m := range t.mappings.base.rows {
		if m.ApplicationUID == app {
			t.then(Key{Kind: KindServiceMapping, UID: uid}, func() { t.mappings.changed[uid] = nil })
		}
	}
	for uid, m := range t.mappings.changed {
		if m != nil && m.ApplicationUID == app {
			t.then(Key{Kind: KindServiceMapping, UID: uid}, func() { t.mappings.changed[uid] = nil })
		}
	}
	t.rows.drop(func(r *syncRow) bool { return r.app == app })
	t.then(Key{Kind: KindApplication, UID: app}, func() { t.entries[app] = nil })
	return nil
}

func (exec execFunc) removeApplication(app model.UID) error {
	for _, statement := range [...]string{
		fmt.Sprintf("DELETE FROM sync_rows WHERE kind = %d AND key IN (SELECT uid FROM application_states WHERE application_uid = ?)",
			replica.KindApplicationState),
		fmt.Sprintf("DELETE FROM sync_rows WHERE kind = %d AND key IN (SELECT uid FROM application_tasks WHERE application_uid = ?)",
			replica.KindApplicationTask),
		fmt.Sprintf("DELETE FROM sync_rows WHERE kind = %d AND key IN (SELECT uid FROM service_mappings WHERE application_uid = ?)",
			replica.KindServiceMapping),
		fmt.Sprintf("DELETE FROM sync_rows WHERE kind = %d AND key = ?", replica.KindApplication),
		"DELETE FROM sync_rows WHERE parent = ?",
		"DELETE FROM application_states WHERE application_uid = ?",
		"DELETE FROM application_tasks WHERE application_uid = ?",
		"DELETE FROM allocations WHERE application_uid = ?",
		"DELETE FROM resources WHERE application_uid = ?",
		"DELETE FROM service_mappings WHERE application_uid = ?",
		"DELETE FROM applications WHERE uid = ?",
	} {
		if _, err := exec(statement, key(app)); err != nil {
			return err
		}
	}
	return nil
}

// emptyLog moves the -wal into the database and truncates it. The bulk is done
// beside the writer; what is left is short.
func (s *Store) emptyLog(ctx context.Context, idle bool) error {
	info, err := os.Stat(s.db.path + "-wal")
	if err != nil || info.Size() < idleLog || !idle && info.Size() < maxLog/2 {
		return nil //nolint:nilerr // an absent log is an empty one
	}
	if _, err := s.db.readers.ExecContext(ctx, "PRAGMA wal_checkpoint(PASSIVE)"); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	if !idle && info.Size() < maxLog {
		return nil
	}
	return s.alone(ctx, func() error { return s.truncateLog(ctx) })
}

// truncateLog runs in the writer. A reader in the way is not waited for:
// writers would wait too. The next round tries again.
func (s *Store) truncateLog(ctx context.Context) (err error) {
	lasting := context.WithoutCancel(ctx) // that a pragma was cut short does not say that it did nothing
	if _, err := s.db.writer.ExecContext(lasting, "PRAGMA busy_timeout(0)"); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	_, err = s.db.writer.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)")
	_, restore := s.db.writer.ExecContext(lasting, fmt.Sprintf("PRAGMA busy_timeout(%d)", busyTimeout.Milliseconds()))
	if err := errors.Join(err, restore); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	return nil
}

// vacuum returns free pages to the file system while the node is idle.
func (s *Store) vacuum(ctx context.Context, idle bool) error {
	for start := time.Now(); idle && time.Since(start) < maintainBudget; {
		free, err := column[int](ctx, s.db.readers, "PRAGMA freelist_count")
		if err != nil {
			return fmt.Errorf("count free pages: %w", err)
		}
		if free[0] < vacuumPages || len(s.requests) > 0 {
			return nil
		}
		if err := s.alone(ctx, func() error { return s.freePages(ctx) }); err != nil {
			return fmt.Errorf("free pages: %w", err)
		}
	}
	return nil
}

// freePages runs in the writer. The pragma frees one page per step.
func (s *Store) freePages(ctx context.Context) (err error) {
	rows, err := s.db.writer.QueryContext(ctx, fmt.Sprintf("PRAGMA incremental_vacuum(%d)", vacuumPages))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
	}
	return rows.Err()
}

// alone runs a job in the writer between two batches.
func (s *Store) alone(ctx context.Context, job func() error) error {
	done := make(chan error, 1)
	select {
	case s.jobs <- func() { done <- job() }:
		return <-done // jobs are bounded by their ctx
	case <-s.closing:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}
