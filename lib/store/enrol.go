package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// schemaRows returns the second migration's schema. A row's id is its origin's
// id in the bits above seqBits, and its sequence number. A row without a body is
// a tombstone. Nothing of a row is NOT NULL: a statement that could fail half-way
// keeps a copy of each page that it touches, a tenth of a write.
func schemaRows() []string {
	return []string{
		`CREATE TABLE sync_origins (
  id INTEGER PRIMARY KEY,
  node_uid BLOB NOT NULL,
  incarnation INTEGER NOT NULL,
  seq INTEGER NOT NULL
)`,
		`CREATE TABLE sync_rows (
  id INTEGER PRIMARY KEY,
  kind INTEGER,
  key BLOB,
  hlc INTEGER,
  body BLOB,
  parent BLOB,
  since INTEGER
)`,
		`CREATE UNIQUE INDEX sync_rows_key ON sync_rows (kind, key)`,
		`CREATE INDEX sync_rows_parent ON sync_rows (parent) WHERE parent IS NOT NULL`,
		`CREATE INDEX sync_rows_waiting ON sync_rows (since) WHERE since IS NOT NULL`,
		`CREATE INDEX sync_rows_deleted ON sync_rows (hlc) WHERE body IS NULL`,
		`INSERT INTO meta (key, value) VALUES ('incarnation', 1)`,
	}
}

// migrateRows makes the tables of the rows, and a row of everything that is
// alive: this node wrote it, so that it can tell others.
func (s *Store) migrateRows(ctx context.Context) error {
	db := s.db.writer
	for _, statement := range schemaRows() {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	e := &enrolment{db: db, node: s.opts.Node, rows: s.db, batches: make(chan []*syncRow, enrolAhead)}
	e.origin = replica.Origin{Node: s.opts.Node, Incarnation: 1}
	e.told, e.tell = time.Now(), func(rows int64) {
		s.log.Info("the upgraded database is made ready to be shared with other nodes, which is done once", "rows", rows)
	}
	if s.opts.Retention > 0 {
		e.since = s.stamp().Add(-s.opts.Retention)
	}
	if err := s.runEnrolment(ctx, e); err != nil {
		return fmt.Errorf("enrol: %w", err)
	}
	if e.seq > 0 {
		s.log.Info("the database can be shared with other nodes now", "rows", e.written, "left_out", int64(e.seq)-e.written) //nolint:gosec // far below
	}
	return nil
}

// runEnrolment reads, and writes what is read beside that, where it can be read
// from another connection: not what this very transaction has adopted.
func (s *Store) runEnrolment(ctx context.Context, e *enrolment) (err error) {
	pool, err := sql.Open(driverName, readerDSN(s.db.path))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pool.Close()) }()
	tables, err := tablesOf(ctx, pool)
	if err != nil {
		return err
	}
	if shapeOf(tables) != shapeOurs || !slices.Contains(tables, "applications") {
		e.write = e.insert
		return errors.Join(e.all(ctx), e.end())
	}
	e.db, e.write = pool, e.queue
	var writing sync.WaitGroup
	var failed error
	writing.Go(func() {
		for batch := range e.batches {
			if failed == nil {
				failed = e.insert(batch)
				e.failed.Store(failed != nil)
			}
		}
	})
	err = e.all(ctx)
	close(e.batches)
	writing.Wait()
	if err := errors.Join(failed, err); err != nil {
		return err
	}
	return e.end()
}

// enrolAhead is how many batches are read ahead of the writing.
const enrolAhead = 16

var errEnrolment = errors.New("rows could not be written")

// queue hands a batch to who writes.
func (e *enrolment) queue(batch []*syncRow) error {
	if e.failed.Load() {
		return errEnrolment
	}
	e.batches <- batch
	return nil
}

// enrolment makes the rows of what a node wrote before there were any.
type enrolment struct {
	db      querier // where the nouns are read
	node    model.UID
	origin  replica.Origin
	since   time.Time // what closed earlier is about to be removed
	rows    *database // for its statements, on the connection of the migration
	write   func([]*syncRow) error
	batches chan []*syncRow // read, and not yet written
	failed  atomic.Bool     // the writing
	batch   []*syncRow
	seq     uint64
	written int64
	tell    func(rows int64) // how far it is; nil tells nobody
	told    time.Time
	last    model.HLC
}

// add notes a row. It has the noun's own clock reading as its version, which is
// as old as what it says. What other nodes would refuse, such as a user without
// a name, stays this node's alone.
func (e *enrolment) add(kind replica.Kind, key []byte, hlc model.HLC, body []byte, app model.UID) error {
	e.seq++
	e.last = max(e.last, hlc)
	row := &syncRow{Row: replica.Row{
		Kind: kind, Key: key, Version: replica.Version{HLC: max(0, hlc), Origin: e.origin, Seq: e.seq}, Body: body, Deleted: body == nil,
	}, app: app}
	if row.Validate() == nil {
		e.batch = append(e.batch, row)
	}
	if len(e.batch) < enrolRows {
		return nil
	}
	return e.flush()
}

// enrolRows is how many rows one statement writes.
const enrolRows = 100

// flush gives away what was noted to be written.
func (e *enrolment) flush() error {
	batch := e.batch
	e.batch = nil
	if len(batch) == 0 {
		return nil
	}
	return e.write(batch)
}

// insert writes a batch. A key that is there already, which only a database
// that was damaged has, leaves its row out.
func (e *enrolment) insert(batch []*syncRow) error {
	for _, r := range batch {
		n, err := e.rows.putRow(keepRow, r)
		if err != nil {
			return err
		}
		e.written += n
	}
	if e.tell != nil && time.Since(e.told) > enrolTell {
		e.told = time.Now()
		e.tell(e.written)
	}
	return nil
}

// enrolTell is how often an enrolment says how far it is: a million applications
// take minutes, in which the node answers nobody.
const enrolTell = 10 * time.Second

// enrol makes the row of a noun. One that is too large for it stays this
// node's alone.
func enrol[T replica.Noun](e *enrolment, noun T, hlc model.HLC, encode func(T) ([]byte, error), app model.UID) error {
	kind, key := replica.KeyOf(noun)
	body, err := encode(noun)
	if errors.Is(err, replica.ErrTooLarge) {
		e.seq++
		return nil
	}
	if err != nil {
		return err
	}
	return e.add(kind, key, hlc, body, app)
}

// enrolTable makes the rows of a small table.
func enrolTable[T replica.Noun](
	ctx context.Context, e *enrolment, query string, scan func(scanner) (T, error), encode func(T) ([]byte, error), hlc func(T) model.HLC,
) error {
	nouns, err := collect(ctx, e.db, scan, query)
	if err != nil {
		return fmt.Errorf("run %q: %w", query, err)
	}
	for _, noun := range nouns {
		if err := enrol(e, noun, hlc(noun), encode, model.NilUID); err != nil {
			return err
		}
	}
	return nil
}

func (e *enrolment) all(ctx context.Context) error {
	for _, step := range []func(context.Context) error{e.small, e.applications, e.deletedLabels} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return e.flush()
}

// end notes how far the rows go.
func (e *enrolment) end() error {
	if e.seq == 0 {
		return nil
	}
	if err := e.rows.execFunc.step("advance clock", "UPDATE meta SET value = max(value, ?) WHERE key = 'hlc'", int64(e.last)); err != nil {
		return err
	}
	return e.rows.execFunc.step("store vector", "INSERT INTO sync_origins (id, node_uid, incarnation, seq) VALUES (?,?,?,?)",
		e.rows.origins.id(e.origin), key(e.origin.Node), int64(e.origin.Incarnation), int64(e.seq)) //nolint:gosec // far below
}

func (e *enrolment) small(ctx context.Context) error {
	return errors.Join(
		enrolTable(ctx, e, "SELECT "+userColumns+" FROM users", scanUser, replica.EncodeUser, func(u model.User) model.HLC { return u.HLC }),
		enrolTable(ctx, e, "SELECT "+labelColumns+" FROM labels", scanLabel, replica.EncodeLabel, func(l model.Label) model.HLC { return l.HLC }),
		enrolTable(ctx, e, "SELECT "+locationColumns+" FROM locations", scanLocation, replica.EncodeLocation,
			func(l model.Location) model.HLC { return l.HLC }),
		enrolTable(ctx, e, "SELECT "+mappingColumns+" FROM service_mappings", scanMapping, replica.EncodeServiceMapping,
			func(m model.ServiceMapping) model.HLC { return m.HLC }),
		e.self(ctx),
	)
}

// self is the node's own row: those of others are theirs.
func (e *enrolment) self(ctx context.Context) error {
	nodes, err := collect(ctx, e.db, scanNode, "SELECT "+nodeColumns+" FROM nodes WHERE uid = ?", key(e.node))
	if err != nil || len(nodes) == 0 {
		return err
	}
	return enrol(e, nodes[0], nodes[0].HLC, replica.EncodeNode, model.NilUID)
}

// applications makes the rows of whole lives, page by page.
func (e *enrolment) applications(ctx context.Context) error {
	since := int64(math.MinInt64)
	if !e.since.IsZero() {
		since = e.since.UnixNano()
	}
	last := model.Application{HLC: math.MinInt64}
	for {
		which := fmt.Sprintf("a.uid IN (SELECT uid FROM applications WHERE (hlc, uid) > (?, ?) AND (closed_at IS NULL OR closed_at >= ?) "+
			"ORDER BY hlc, uid LIMIT %d)", checkPage)
		entries, err := readEntries(ctx, e.db, which, int64(last.HLC), key(last.UID), since)
		if err != nil || len(entries) == 0 {
			return err
		}
		for _, entry := range entries {
			if err := e.life(entry); err != nil {
				return fmt.Errorf("application %s: %w", entry.Application.UID, err)
			}
		}
		last = entries[len(entries)-1].Application
	}
}

func (e *enrolment) life(entry *model.Entry) error {
	app := entry.Application
	if err := enrol(e, app, app.HLC, replica.EncodeApplication, app.UID); err != nil {
		return err
	}
	if r := entry.Resource; r != nil && r.NodeUID == e.node {
		if err := enrol(e, *r, r.HLC, replica.EncodeResource, app.UID); err != nil {
			return err
		}
	}
	for _, s := range entry.States {
		if err := enrol(e, s, s.HLC, replica.EncodeApplicationState, app.UID); err != nil {
			return err
		}
	}
	for _, task := range entry.Tasks {
		if err := enrol(e, task, task.HLC, replica.EncodeApplicationTask, app.UID); err != nil {
			return err
		}
	}
	return nil
}

// deletedLabels makes tombstones of labels that were deleted while an
// application of them lives: others would wait for such a label for ever.
func (e *enrolment) deletedLabels(ctx context.Context) error {
	uids, err := column[model.UID](ctx, e.db, "SELECT DISTINCT label_uid FROM applications a WHERE closed_at IS NULL "+
		"AND NOT EXISTS (SELECT 1 FROM labels l WHERE l.uid = a.label_uid)")
	if err != nil {
		return err
	}
	for _, uid := range uids {
		if err := e.add(replica.KindLabel, key(uid), e.last+1, nil, model.NilUID); err != nil {
			return err
		}
	}
	return nil
}
