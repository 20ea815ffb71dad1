package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/durable"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// oldPrefix marks the tables of v0.7 while they are being adopted.
const oldPrefix = "v07_"

// oldTables are the tables of v0.7 (contract 31).
var oldTables = [...]string{ //nolint:gochecknoglobals // constant
	"users", "nodes", "labels", "applications", "application_states", "application_tasks", "resources", "resource_accesses",
	"votes", "locations", "service_mappings",
}

// shape is what a database file holds.
type shape int

const (
	shapeEmpty shape = iota
	shapeOurs
	shapeOld // v0.7
	shapeForeign
)

// shapeOf tells by the tables. That of the migrations comes first and last.
func shapeOf(tables []string) shape {
	has := func(name string) bool { return slices.Contains(tables, name) }
	switch {
	case has(migrationTable):
		return shapeOurs
	case len(tables) == 0:
		return shapeEmpty
	case has("users") && has("nodes") && has("labels") && has("applications") && has("application_states") && has("resources"):
		return shapeOld
	}
	return shapeForeign
}

func (s *Store) shape(ctx context.Context) (shape, error) {
	tables, err := tablesOf(ctx, s.db.writer)
	if err != nil {
		return 0, err
	}
	return shapeOf(tables), nil
}

// copyOld leaves a dated copy of a v0.7 database beside it, for going back.
func (s *Store) copyOld(ctx context.Context) error {
	final := s.db.path + ".v0.7-" + s.stamp().Format("20060102T150405Z")
	half := s.db.path + ".v0.7-copying"
	if err := removeCopy(half); err != nil { // of an attempt that was cut short
		return err
	}
	if err := os.WriteFile(half, nil, modeFile); err != nil { // SQLite fills an empty file, and keeps its mode
		return fmt.Errorf("make the copy: %w", err)
	}
	if _, err := s.db.writer.ExecContext(ctx, "VACUUM INTO ?", half); err != nil {
		return errors.Join(fmt.Errorf("copy the v0.7 database to %s: %w", half, err), os.RemoveAll(half))
	}
	if same, err := s.copiedBefore(half); err != nil || same {
		return errors.Join(err, os.Remove(half))
	}
	if err := syncFile(half); err != nil {
		return err
	}
	if err := durable.Rename(half, final); err != nil {
		return fmt.Errorf("name the copy: %w", err)
	}
	s.log.Info("adopting a v0.7 database", "copy", final)
	return nil
}

// copiedBefore reports whether an earlier start left the same copy, and then
// could not adopt: a service that is started again and again would fill the
// disk with them.
func (s *Store) copiedBefore(half string) (bool, error) {
	entries, err := os.ReadDir(s.opts.Folder)
	if err != nil {
		return false, err
	}
	newest := "" // they are named by their time
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), fileName+".v0.7-") && strings.HasSuffix(e.Name(), "Z") {
			newest = filepath.Join(s.opts.Folder, e.Name())
		}
	}
	if newest == "" {
		return false, nil
	}
	return sameContent(half, newest)
}

// sameContent compares two files.
func sameContent(a, b string) (same bool, err error) {
	var sums [2][sha256.Size]byte
	for i, path := range []string{a, b} {
		f, err := os.Open(path)
		if err != nil {
			return false, err
		}
		h := sha256.New()
		_, err = io.Copy(h, f)
		if err := errors.Join(err, f.Close()); err != nil {
			return false, err
		}
		h.Sum(sums[i][:0])
	}
	return sums[0] == sums[1], nil
}

func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("sync file: %w", err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("sync file: %w", err)
	}
	return nil
}

// adoption converts a v0.7 database inside of one transaction.
type adoption struct {
	store *Store
	db    conn
	now   time.Time
	exec  execFunc

	labels  map[model.UID]model.Label
	last    model.HLC // the newest clock reading given
	dropped int       // rows that mean nothing: no application, unknown status
}

// conn is what a connection offers within a transaction.
type conn interface {
	querier
	execer
}

// renameOld gets the tables of v0.7 out of the way of ours.
func renameOld(ctx context.Context, db conn) error {
	have, err := column[string](ctx, db, "SELECT name FROM sqlite_master WHERE type = 'table'")
	if err != nil {
		return err
	}
	for _, table := range oldTables {
		if !slices.Contains(have, table) {
			continue
		}
		if _, err := db.ExecContext(ctx, "ALTER TABLE "+table+" RENAME TO "+oldPrefix+table); err != nil {
			return fmt.Errorf("rename %s: %w", table, err)
		}
	}
	return nil
}

// convert fills our tables from those of v0.7 and drops the latter.
func (a *adoption) convert(ctx context.Context) error {
	have, err := column[string](ctx, a.db, "SELECT substr(name, ?) FROM sqlite_master WHERE type = 'table' AND name GLOB ?",
		len(oldPrefix)+1, oldPrefix+"*")
	if err != nil {
		return err
	}
	for _, step := range [...]struct {
		table   string
		convert func(context.Context) error
	}{
		{"users", a.users}, {"nodes", a.nodes}, {"labels", a.labelRows}, {"locations", a.locations},
		{"service_mappings", a.mappings}, {"applications", a.applications},
	} {
		if !slices.Contains(have, step.table) {
			continue
		}
		if err := step.convert(ctx); err != nil {
			return fmt.Errorf("adopt %s: %w", step.table, err)
		}
	}
	for _, table := range have {
		if _, err := a.db.ExecContext(ctx, "DROP TABLE "+oldPrefix+table); err != nil {
			return fmt.Errorf("drop old %s: %w", table, err)
		}
	}
	if a.dropped > 0 {
		a.store.log.Warn("some rows of the v0.7 database belong to nothing and were left in the copy", "rows", a.dropped)
	}
	_, err = a.exec("UPDATE meta SET value = ? WHERE key = 'hlc'", int64(a.last))
	return err
}

// clock makes a reading from a time of v0.7. One of before there were clocks, or
// of a day to come, would make a row that other nodes refuse.
func (a *adoption) clock(t time.Time) model.HLC {
	if t.After(a.now) {
		t = a.now
	}
	reading := max(0, model.HLC(t.UnixNano()))
	a.last = max(a.last, reading)
	return reading
}

// shrink gives a database that was made without it the ability to return
// space. It costs one rewrite of the file, after its adoption.
func (s *Store) shrink(ctx context.Context) error {
	mode, err := column[int](ctx, s.db.writer, "PRAGMA auto_vacuum")
	if err != nil || len(mode) != 1 || mode[0] != 0 {
		return err
	}
	if _, err := s.db.writer.ExecContext(ctx, "VACUUM"); err != nil {
		s.log.Warn("database file can not shrink yet; the next start tries again", "error", err)
	}
	return nil
}

// oldText reads text or blob; NULL is "".
type oldText struct{ v *string }

// Scan implements sql.Scanner.
func (o oldText) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*o.v = ""
	case string:
		*o.v = v
	case []byte:
		*o.v = string(v)
	default:
		*o.v = fmt.Sprint(v)
	}
	return nil
}

// oldUID reads a UID in text, or as a blob; what is none is NilUID.
type oldUID struct{ v *model.UID }

// Scan implements sql.Scanner.
func (o oldUID) Scan(src any) error {
	*o.v = model.NilUID
	var text string
	if err := (oldText{&text}).Scan(src); err != nil {
		return err
	}
	if len(text) == len(o.v) {
		copy(o.v[:], text)
		return nil
	}
	_ = o.v.UnmarshalText([]byte(text)) // stays NilUID
	return nil
}

// oldTime reads a time as the drivers of v0.7 wrote it; what is none is the
// zero time.
type oldTime struct{ v *time.Time }

// Scan implements sql.Scanner.
func (o oldTime) Scan(src any) error {
	*o.v = time.Time{}
	if t, ok := src.(time.Time); ok { // the column is declared as a time
		*o.v = stamp(t)
		return nil
	}
	var text string
	if err := (oldText{&text}).Scan(src); err != nil {
		return err
	}
	text, _, _ = strings.Cut(text, " m=")
	for _, layout := range [...]string{
		"2006-01-02 15:04:05Z07:00", time.RFC3339, "2006-01-02 15:04:05 -0700 MST", time.DateTime,
	} {
		if t, err := time.Parse(layout, text); err == nil {
			*o.v = stamp(t)
			return nil
		}
	}
	return nil
}
