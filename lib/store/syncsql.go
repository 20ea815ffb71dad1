package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// The id of a row is its origin's id and its sequence number: one tree less
// than with an index over both. 40 bits are a million rows a second for 12
// days, or ten a second for 3,000 years.
const seqBits = 40

const maxSeq = 1<<seqBits - 1

// origins are the ids of the origins, which rows are stored with. It is safe
// for use by many goroutines.
type origins struct {
	mu   sync.RWMutex
	ids  map[replica.Origin]int64
	byID map[int64]replica.Origin
}

func newOrigins() *origins {
	return &origins{ids: make(map[replica.Origin]int64), byID: make(map[int64]replica.Origin)}
}

func (o *origins) add(id int64, origin replica.Origin) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ids[origin], o.byID[id] = id, origin
}

// id of an origin; the first time it is given one. If its transaction is
// rolled back the id is kept for it.
func (o *origins) id(origin replica.Origin) int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	id, known := o.ids[origin]
	if !known {
		id = int64(len(o.ids)) + 1
		for o.byID[id] != (replica.Origin{}) {
			id++
		}
		o.ids[origin], o.byID[id] = id, origin
	}
	return id
}

func (o *origins) origin(id int64) replica.Origin {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return o.byID[id]
}

func (o *origins) place(v replica.Version) int64 { return o.id(v.Origin)<<seqBits | int64(v.Seq) }

func (o *origins) version(place int64, hlc model.HLC) replica.Version {
	return replica.Version{HLC: hlc, Origin: o.origin(place >> seqBits), Seq: uint64(place) & maxSeq}
}

const syncColumns = "id, kind, key, hlc, body, parent, since"

// scanRow reads a row. A tombstone has no body, and everything else has one.
func (d *database) scanRow(row scanner) (r syncRow, err error) {
	var place int64
	var hlc model.HLC
	var parent []byte
	err = row.Scan(&place, &r.Kind, &r.Key, &hlc, &r.Body, &parent, nanos{&r.since})
	if err == nil && parent != nil {
		r.app, err = replica.UIDKey(parent)
	}
	r.Version, r.Deleted = d.origins.version(place, hlc), r.Body == nil
	return r, err
}

// selectRowsAfter reads what other nodes lack of an origin, after each write for
// each link: to compile it would take as long as to run it.
const selectRowsAfter = "SELECT " + syncColumns + " FROM sync_rows WHERE id > ? AND id <= ? ORDER BY id"

func (d *database) readRows(origin replica.Origin, after, to uint64, use func(replica.Row) bool) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	if after >= maxSeq {
		return nil
	}
	id := d.origins.id(origin) << seqBits
	cursor, err := d.rowsAfter.QueryContext(ctx, id|int64(after), id|int64(min(to, maxSeq)))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cursor.Close()) }()
	for cursor.Next() {
		r, err := d.scanRow(cursor)
		if err != nil {
			return fmt.Errorf("read row: %w", err)
		}
		if !use(r.Row) {
			return nil
		}
	}
	return cursor.Err()
}

func (d *database) findRow(kind replica.Kind, key []byte) (*syncRow, error) {
	rows, err := d.selectRows("WHERE kind = ? AND key = ?", int64(kind), key)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return &rows[0], nil
}

func (d *database) keyAt(v replica.Version) (k rowKey, found bool, err error) {
	rows, err := d.selectRows("WHERE id = ?", d.origins.place(v))
	if err != nil || len(rows) == 0 {
		return rowKey{}, false, err
	}
	return keyOf(&rows[0]), true, nil
}

func (d *database) readRow(kind replica.Kind, key []byte) (*syncRow, error) {
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	rows, err := collect(ctx, d.readers, d.scanRow, "SELECT "+syncColumns+" FROM sync_rows WHERE kind = ? AND key = ?", int64(kind), key)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return &rows[0], nil
}

func (d *database) rowsOf(parent model.UID) ([]syncRow, error) {
	return d.selectRows("WHERE parent = ? ORDER BY hlc", key(parent))
}

func (d *database) rowsAhead(limit model.HLC) ([]syncRow, model.HLC, error) {
	rows, err := d.selectRows("WHERE hlc > ? ORDER BY hlc, id", int64(limit))
	if err != nil {
		return nil, 0, err
	}
	newest, err := column[int64](context.Background(), d.writer, "SELECT coalesce(max(hlc), 0) FROM sync_rows WHERE hlc <= ?", int64(limit))
	if err != nil || len(newest) != 1 {
		return nil, 0, errors.Join(errors.New("read newest row"), err)
	}
	return rows, model.HLC(newest[0]), nil
}

// selectRows reads in the writer.
func (d *database) selectRows(where string, args ...any) (rows []syncRow, err error) {
	err = d.kept.Query("SELECT "+syncColumns+" FROM sync_rows "+where, func(row scanner) error {
		r, err := d.scanRow(row)
		rows = append(rows, r)
		return err
	}, args...)
	if err != nil {
		return nil, fmt.Errorf("read row: %w", err)
	}
	return rows, nil
}

// What a statement does that meets a row of the same kind and key.
const (
	replaceRow = "INSERT OR REPLACE INTO sync_rows "
	keepRow    = "INSERT OR IGNORE INTO sync_rows "
)

func (d *database) putRows(rows []*syncRow) error {
	for _, r := range rows {
		if _, err := d.putRow(replaceRow, r); err != nil {
			return err
		}
	}
	return nil
}

// putRow writes a row, and reports how many are new. Those that are found under
// a parent have two columns more.
func (d *database) putRow(insert string, r *syncRow) (int64, error) {
	var body []byte // of a tombstone: NULL
	if !r.Deleted {
		body = r.Body
	}
	place, kind, hlc := d.origins.place(r.Version), int64(r.Kind), int64(r.Version.HLC)
	p := r.parent()
	if p == model.NilUID {
		return d.exec(insert+"(id, kind, key, hlc, body) VALUES (?,?,?,?,?)", place, kind, r.Key, hlc, body)
	}
	return d.exec(insert+"("+syncColumns+") VALUES (?,?,?,?,?,?,?)", place, kind, r.Key, hlc, body, key(p), toNanos(r.since))
}

func (d *database) dropRow(k rowKey) error {
	return d.step("drop row", "DELETE FROM sync_rows WHERE kind = ? AND key = ?", int64(k.kind), []byte(k.key))
}

func (d *database) putVector(origin replica.Origin, seq uint64) error {
	if seq > maxSeq {
		return fmt.Errorf("sequence number %d is too large", seq)
	}
	return d.step("store vector", "INSERT INTO sync_origins (id, node_uid, incarnation, seq) VALUES (?,?,?,?) "+
		"ON CONFLICT (id) DO UPDATE SET seq = excluded.seq", d.origins.id(origin), key(origin.Node), int64(origin.Incarnation), int64(seq))
}

func (d *database) tombstones(before model.HLC, limit int) ([]rowKey, error) {
	return d.rowKeys("WHERE body IS NULL AND hlc < ? ORDER BY hlc LIMIT ?", int64(before), limit)
}

func (d *database) abandoned(before time.Time, limit int) ([]rowKey, error) {
	return d.rowKeys("WHERE since < ? ORDER BY since LIMIT ?", before.UnixNano(), limit)
}

func (d *database) rowKeys(where string, args ...any) ([]rowKey, error) {
	return collect(context.Background(), d.writer, func(row scanner) (k rowKey, err error) {
		var b []byte
		err = row.Scan(&k.kind, &b)
		k.key = string(b)
		return k, err
	}, "SELECT kind, key FROM sync_rows "+where, args...)
}

// selectAccesses reads the credentials of what is allocated, and their uses.
func selectAccesses() string {
	return "SELECT r.id, r.kind, r.key, r.hlc, r.body, r.parent, r.since FROM applications a " +
		"CROSS JOIN resources s ON s.application_uid = a.uid CROSS JOIN sync_rows r ON r.parent = a.uid " +
		fmt.Sprintf("AND +r.kind IN (%d, %d) WHERE ", replica.KindResourceAccess, replica.KindAccessUse) + whichOpen
}

// loadRows reads what a store has in memory of the rows.
func (d *database) loadRows(ctx context.Context, c *contents) error {
	incarnation, err := column[uint32](ctx, d.writer, "SELECT value FROM meta WHERE key = 'incarnation'")
	if err != nil || len(incarnation) != 1 {
		return errors.Join(errors.New("read incarnation"), err)
	}
	c.incarnation, c.vector = incarnation[0], replica.Vector{}
	session, err := column[int64](ctx, d.writer, "SELECT value FROM meta WHERE key = 'session'")
	if err != nil {
		return fmt.Errorf("read session: %w", err)
	}
	if len(session) > 0 {
		c.session = session[0]
	}
	removed, err := column[int64](ctx, d.writer, "SELECT value FROM meta WHERE key = 'removed'")
	if err != nil {
		return fmt.Errorf("read what was removed: %w", err)
	}
	if len(removed) > 0 {
		c.removed = time.Unix(0, removed[0])
	}
	if c.dates, err = readDates(ctx, d.writer); err != nil {
		return err
	}
	_, err = collect(ctx, d.writer, func(row scanner) (none struct{}, err error) {
		var id, seq int64
		var o replica.Origin
		if err = row.Scan(&id, &o.Node, &o.Incarnation, &seq); err == nil {
			d.origins.add(id, o)
			c.vector[o] = uint64(seq)
		}
		return none, err
	}, "SELECT id, node_uid, incarnation, seq FROM sync_origins")
	if err != nil {
		return fmt.Errorf("read vector: %w", err)
	}
	if c.waiting, err = column[model.UID](ctx, d.writer, "SELECT DISTINCT parent FROM sync_rows WHERE since IS NOT NULL"); err != nil {
		return fmt.Errorf("read what waits: %w", err)
	}
	c.succession, err = collect(ctx, d.writer, d.scanRow, "SELECT "+syncColumns+" FROM sync_rows WHERE kind IN (?, ?, ?) AND body IS NOT NULL",
		kindArgs(successionKinds())...)
	if err != nil {
		return fmt.Errorf("read retirements: %w", err)
	}
	return nil
}

var _ sql.Scanner = nanos{}
