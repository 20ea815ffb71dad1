package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// Rebuilt says what became of one kind of rows.
type Rebuilt struct {
	Kind string `json:"kind"`
	Rows int64  `json:"rows"` // live ones, for other nodes and from them
	// Missing were not in the table, Changed were other than the row says, and
	// are both as it says now. Removed were in the table without a row.
	Missing int64 `json:"missing"`
	Changed int64 `json:"changed"`
	Removed int64 `json:"removed"`
	// Waiting belong to what is not here yet, and Unreadable are of a newer
	// version: both stay rows.
	Waiting    int64 `json:"waiting"`
	Unreadable int64 `json:"unreadable"`
}

// RebuildReport is what Rebuild did.
type RebuildReport struct {
	Kinds []Rebuilt `json:"kinds"`
	// Unshared are applications without a row, whose retention was over when the
	// database was first shared: they stay as they are.
	Unshared int64 `json:"unshared"`
	// Closed are applications whose end was noted otherwise than their states say.
	Closed int64 `json:"closed"`
	// After is what Check says of the database now.
	After CheckReport `json:"after"`
}

// Changed is how much of the tables was otherwise.
func (r RebuildReport) Changed() int64 {
	n := r.Closed
	for _, k := range r.Kinds {
		n += k.Missing + k.Changed + k.Removed
	}
	return n
}

var errUnshared = errors.New("the database has no rows to rebuild it from: start the node once with this version, which makes them")

// Rebuild brings the tables of the nouns in step with the rows that other nodes
// have too, of which they are a view. What only this node knows, the records of
// its environments, stays as it is. No node may have the database open
// (ErrInUse); an error leaves it as it was, as a crash does: all is done in one
// transaction.
func Rebuild(ctx context.Context, o Options) (report RebuildReport, err error) {
	s, err := newStore(o)
	if err != nil {
		return report, err
	}
	file := filepath.Join(o.Folder, fileName)
	if err := shared(ctx, file); err != nil {
		return report, explain(file, err)
	}
	s.db = newDatabase(file)
	s.engine = rowsOnly{s.db}
	if err := s.open(ctx); err != nil {
		return report, errors.Join(explain(file, err), s.db.shut(), s.db.free())
	}
	go s.write()
	err = s.do(ctx, func(t *tx) error {
		r := &rebuild{tx: t, ctx: ctx}
		err := r.all()
		report = r.report
		return err
	})
	if err := errors.Join(err, s.Close()); err != nil {
		return RebuildReport{}, fmt.Errorf("rebuild %s, which is as it was: %w", file, err)
	}
	report.After, err = Check(ctx, CheckOptions{File: file, Node: o.Node})
	return report, err
}

// shared refuses a database that has no rows yet, before it is opened, which
// would change it.
func shared(ctx context.Context, file string) error {
	if _, err := os.Stat(file); err != nil {
		return fmt.Errorf("find the database: %w", err)
	}
	pool, err := sql.Open(driverName, readerDSN(file))
	if err != nil {
		return err
	}
	tables, err := tablesOf(ctx, pool)
	if err == nil && shapeOf(tables) == shapeOurs {
		err = refuseNewer(ctx, pool)
	}
	if err == nil && !slices.Contains(tables, "sync_rows") {
		err = errUnshared
	}
	return errors.Join(err, pool.Close())
}

// rowsOnly is a database of which the rows alone are read at the start: the
// tables may be such that they can not be read.
type rowsOnly struct{ *database }

func (r rowsOnly) load(ctx context.Context) (*contents, error) {
	c, err := r.loadStart(ctx)
	if err != nil {
		return nil, err
	}
	return c, r.loadRows(ctx, c)
}

// rebuild is one, within its transaction.
type rebuild struct {
	*tx
	ctx    context.Context
	report RebuildReport
	newest model.HLC
}

// all takes the applications before what belongs to them.
func (r *rebuild) all() error {
	if _, err := r.db().writer.ExecContext(r.ctx, fmt.Sprintf("PRAGMA cache_size(-%d)", rebuildCache)); err != nil {
		return fmt.Errorf("set cache: %w", err)
	}
	if err := r.touch(); err != nil {
		return err
	}
	kinds, err := column[int64](r.ctx, r.db().writer, "SELECT DISTINCT kind FROM sync_rows ORDER BY kind")
	if err != nil {
		return fmt.Errorf("list kinds: %w", err)
	}
	for _, v := range views() {
		if err := r.view(v); err != nil {
			return fmt.Errorf("rebuild %s: %w", v.name, err)
		}
		kinds = slices.DeleteFunc(kinds, func(k int64) bool { return k == int64(v.kind) })
	}
	for _, k := range kinds {
		if err := r.view(view{kind: replica.Kind(k), name: fmt.Sprintf("rows of kind %d", k)}); err != nil { //nolint:gosec // it was stored from one
			return err
		}
	}
	if err := r.removeStrays(); err != nil {
		return fmt.Errorf("remove strays: %w", err)
	}
	if err := r.applications(); err != nil {
		return fmt.Errorf("rebuild applications: %w", err)
	}
	r.store.clock.Observe(r.newest)
	damage, err := integrity(r.ctx, r.db().writer)
	if err == nil && len(damage) > 0 {
		err = fmt.Errorf("the file itself is damaged, restore a backup: %v", damage)
	}
	return err
}

func (r *rebuild) db() *database { return r.store.db }

// rebuildCache is the page cache of a rebuild in KiB: it looks things up all
// over the file, and nothing else runs.
const rebuildCache = 64 << 10

// rebuildPage is how many rows are looked at together.
const rebuildPage = 500

// view goes through the rows of a kind. One without a table only counts them.
func (r *rebuild) view(v view) error {
	done := Rebuilt{Kind: v.name}
	after := []byte{}
	for {
		if err := r.ctx.Err(); err != nil {
			return err
		}
		rows, err := r.db().selectRows("WHERE kind = ? AND key > ? ORDER BY key LIMIT ?", int64(v.kind), after, rebuildPage)
		if err != nil {
			return err
		}
		for i := range rows {
			r.newest = max(r.newest, rows[i].Version.HLC)
			if err := r.viewRow(v, &rows[i], &done); err != nil {
				return fmt.Errorf("row %x: %w", rows[i].Key, err)
			}
		}
		if len(rows) < rebuildPage {
			break
		}
		after = rows[len(rows)-1].Key
	}
	r.report.Kinds = append(r.report.Kinds, done)
	return nil
}

func (r *rebuild) viewRow(v view, row *syncRow, done *Rebuilt) error {
	if row.Deleted {
		return nil
	}
	done.Rows++
	if !row.since.IsZero() {
		done.Waiting++
		return nil
	}
	if v.mend == nil {
		return nil
	}
	outcome, err := v.mend(r, row)
	if err != nil {
		return err
	}
	switch outcome {
	case rowMissing:
		done.Missing++
	case rowChanged:
		done.Changed++
	case rowUnreadable:
		done.Unreadable++
	case rowWaits:
		done.Waiting++
	case rowSound:
	}
	return nil
}

// removed counts what is taken out of the table of a kind.
func (r *rebuild) removed(kind string, n int64) {
	for i := range r.report.Kinds {
		if r.report.Kinds[i].Kind == kind {
			r.report.Kinds[i].Removed += n
		}
	}
}
