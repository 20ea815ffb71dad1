package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// comparedRows are the statements that together find each row that is compared
// once; those with a place get the horizon. Rows of what closed long ago, which
// are most, are not touched. CROSS JOIN is SQLite's word for "in this order".
func comparedRows() []string {
	const row = "SELECT r.id, r.kind, r.key, r.hlc FROM "
	statements := []string{
		row + fmt.Sprintf("sync_rows r WHERE r.kind < %d", replica.KindServiceMapping),
		row + fmt.Sprintf("sync_rows r WHERE r.kind > %d AND r.kind < %d", lastPart, replica.KindResourceAccess),
		row + fmt.Sprintf("sync_rows r WHERE r.kind > %d", replica.KindAccessUse),
		row + fmt.Sprintf("sync_rows r LEFT JOIN service_mappings m ON m.uid = r.key LEFT JOIN applications a ON a.uid = m.application_uid "+
			"WHERE r.kind = %d AND CASE WHEN a.uid IS NOT NULL THEN a.closed_at IS NULL OR a.closed_at >= ?1 "+
			"ELSE m.application_uid IS NULL OR m.application_uid = zeroblob(16) OR r.hlc >= ?1 END", replica.KindServiceMapping),
		row + fmt.Sprintf("sync_rows r INDEXED BY sync_rows_deleted WHERE r.body IS NULL AND r.parent IS NULL AND r.kind BETWEEN %d AND %d", firstPart, lastPart),
		row + "sync_rows r WHERE r.since IS NOT NULL AND r.hlc >= ?", // their application is not here
	}
	for _, which := range []string{"a.closed_at IS NULL", "a.closed_at >= ?"} {
		for _, join := range []string{
			fmt.Sprintf("CROSS JOIN sync_rows r ON r.kind = %d AND r.key = a.uid AND r.body IS NOT NULL", replica.KindApplication),
			"CROSS JOIN application_states s ON s.application_uid = a.uid " +
				fmt.Sprintf("CROSS JOIN sync_rows r ON r.kind = %d AND r.key = s.uid AND r.body IS NOT NULL", replica.KindApplicationState),
			"CROSS JOIN application_tasks s ON s.application_uid = a.uid " +
				fmt.Sprintf("CROSS JOIN sync_rows r ON r.kind = %d AND r.key = s.uid AND r.body IS NOT NULL", replica.KindApplicationTask),
			fmt.Sprintf("CROSS JOIN sync_rows r ON r.parent = a.uid AND +r.kind IN (%d, %d, %d)",
				replica.KindResource, replica.KindResourceAccess, replica.KindAccessUse), // by the parent, not all of a kind
		} {
			statements = append(statements, row+"applications a "+join+" WHERE "+which+" AND r.since IS NULL")
		}
	}
	return statements
}

func (d *database) eachVersion(ctx context.Context, horizon time.Time, use func(replica.Kind, []byte, replica.Version)) error {
	return d.within(ctx, func(db querier) error {
		for _, query := range comparedRows() {
			if err := d.versionsOf(ctx, db, query, horizon, use); err != nil {
				return fmt.Errorf("run %q: %w", query, err)
			}
		}
		return nil
	})
}

// within reads one moment of what is committed, as long as it takes.
func (d *database) within(ctx context.Context, read func(querier) error) error {
	tx, err := d.readers.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return fmt.Errorf("begin to read: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // it only read
	return read(tx)
}

func (d *database) versionsOf(
	ctx context.Context, db querier, query string, horizon time.Time, use func(replica.Kind, []byte, replica.Version),
) (err error) {
	var args []any
	if strings.Contains(query, "?") {
		args = append(args, horizon.UnixNano())
	}
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var place int64
		var kind replica.Kind
		var key sql.RawBytes
		var hlc model.HLC
		if err := rows.Scan(&place, &kind, &key, &hlc); err != nil {
			return fmt.Errorf("read row: %w", err)
		}
		use(kind, key, d.origins.version(place, hlc))
	}
	return rows.Err()
}

// bucketPage is how many keys are looked at with one statement; one in 256 is
// of the bucket.
const bucketPage = 20_000

func (d *database) readBucket(ctx context.Context, bucket replica.Bucket, after []byte, use func(replica.Row) bool) error {
	if after == nil {
		after = []byte{}
	}
	for {
		places, last, err := d.bucketPlaces(ctx, bucket, after)
		if err != nil {
			return err
		}
		for _, place := range places {
			r, err := d.comparedRow(ctx, place, bucket.Horizon)
			if err != nil {
				return err
			}
			if r != nil && !use(r.Row) {
				return nil
			}
		}
		if last == nil {
			return nil
		}
		after = last
	}
}

// bucketPlaces are the places of the bucket's rows in a page of keys, and its
// last key; nil after the last page. It reads the index alone.
func (d *database) bucketPlaces(ctx context.Context, bucket replica.Bucket, after []byte) (places []int64, last []byte, err error) {
	rows, err := d.readers.QueryContext(ctx, "SELECT id, key FROM sync_rows WHERE kind = ? AND key > ? ORDER BY key LIMIT ?",
		int64(bucket.Kind), after, bucketPage)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for n := 1; rows.Next(); n++ {
		var place int64
		var key sql.RawBytes
		if err := rows.Scan(&place, &key); err != nil {
			return nil, nil, fmt.Errorf("read row: %w", err)
		}
		if replica.BucketOf(key) == bucket.Number {
			places = append(places, place)
		}
		if n == bucketPage {
			last = bytes.Clone(key)
		}
	}
	return places, last, rows.Err()
}

// comparedRow is the row at a place, nil if it is not compared, or has gone.
func (d *database) comparedRow(ctx context.Context, place int64, horizon time.Time) (*syncRow, error) {
	rows, err := collect(ctx, d.readers, d.scanRow, "SELECT "+syncColumns+" FROM sync_rows WHERE id = ?", place)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	r := &rows[0]
	app := appOf(r)
	var is standing
	if app != model.NilUID && r.since.IsZero() {
		is, err = readStanding(ctx, d.readers, app)
	}
	if err != nil || !compared(r, app, is, horizon) {
		return nil, err
	}
	return r, nil
}

// readStanding is what is here of an application.
func readStanding(ctx context.Context, db querier, app model.UID) (is standing, err error) {
	rows, err := collect(ctx, db, func(row scanner) (closed time.Time, err error) {
		err = row.Scan(nanos{&closed})
		return closed, err
	}, "SELECT closed_at FROM applications WHERE uid = ?", key(app))
	if err == nil && len(rows) > 0 {
		is = standing{known: true, closed: rows[0]}
	}
	return is, err
}

func (d *database) closedAt(app model.UID) (time.Time, error) {
	is, err := readStanding(context.Background(), d.writer, app)
	return is.closed, err
}
