package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/aquarium-fish/aquarium-fish/lib/durable"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// A node writes of everything a row for other nodes, in the order of their
// numbers, and keeps a marker that tells its database from another one. Both are
// made for the copies as well: else the node would take the database for one
// that was put back from elsewhere.

// seqBits is where the number of a row ends, and its origin begins.
const seqBits = 40

// resourceOrdinal is that of a copied Resource among the UIDs of its copy.
const resourceOrdinal = 254

// templateRow is a row of the application to copy.
type templateRow struct {
	kind    replica.Kind
	ordinal int // of a part among the UIDs of its copy
	body    []byte
}

// findRows reads the template's rows, and where the next ones go.
func (f *filler) findRows(ctx context.Context) error {
	var tables int
	if err := f.db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_master WHERE name = 'sync_rows'").Scan(&tables); err != nil || tables == 0 {
		return err // the version before rows
	}
	err := f.db.QueryRowContext(ctx, fmt.Sprintf("SELECT o.id << %d | o.seq FROM sync_rows r JOIN sync_origins o ON o.id = r.id >> %d WHERE r.kind = %d AND r.key = ?",
		seqBits, seqBits, replica.KindApplication), f.template).Scan(&f.place)
	if err != nil {
		return fmt.Errorf("find the row of the application to copy: %w", err)
	}
	rows, err := f.db.QueryContext(ctx, "SELECT r.kind, coalesce(s.ordinal, ?2), r.body FROM sync_rows r LEFT JOIN "+
		"(SELECT uid, row_number() OVER (ORDER BY id) AS ordinal FROM application_states WHERE application_uid = ?1) s ON r.key = s.uid "+
		"WHERE r.key = ?1 OR s.uid IS NOT NULL OR r.parent = ?1 AND r.kind = ?3 ORDER BY r.id", f.template, resourceOrdinal, replica.KindResource)
	if err != nil {
		return fmt.Errorf("read the rows of the application to copy: %w", err)
	}
	defer func() { _ = rows.Close() }() // it only read
	for rows.Next() {
		var r templateRow
		if err := rows.Scan(&r.kind, &r.ordinal, &r.body); err != nil {
			return fmt.Errorf("read the rows of the application to copy: %w", err)
		}
		if r.kind == replica.KindApplicationState {
			if r.body, err = spelledOut(r.body); err != nil {
				return err
			}
		}
		f.rows = append(f.rows, r)
	}
	return rows.Err()
}

// spelledOut names the votes of a decision, which are left out where they follow
// from the application: the copy has those of the template.
func spelledOut(body []byte) ([]byte, error) {
	s, err := replica.DecodeApplicationState(body)
	if err != nil {
		return nil, err
	}
	s.ApplicationUID = model.UID{1}
	return replica.EncodeApplicationState(s)
}

// text is SQL for a UID as it is written in JSON.
func text(uid string) string {
	part := func(from, n int) string { return fmt.Sprintf("substr(hex(%s), %d, %d)", uid, from, n) }
	return "lower(" + part(1, 8) + " || '-' || " + part(9, 4) + " || '-' || " + part(13, 4) + " || '-' || " + part(17, 4) + " || '-' || " + part(21, 12) + ")"
}

// copyRows makes the rows of the copies from (inclusive) to (exclusive).
func (f *filler) copyRows(ctx context.Context, from, to int) error {
	for i, r := range f.rows {
		key, parent := copiedUID("n.i", fmt.Sprint(r.ordinal)), "NULL"
		set := "'$.created', " + earlier("json_extract(?8, '$.created')") + ", '$.hlc', " + earlier("json_extract(?8, '$.hlc')")
		switch r.kind {
		case replica.KindApplication:
			key = "n.uid"
			set += ", '$.owner', iif(n.i < ?5, printf('copy-%06d', n.i), json_extract(?8, '$.owner'))"
		case replica.KindResource:
			parent = "n.uid"
			set += ", '$.app', " + text("n.uid") + ", '$.updated', " + earlier("json_extract(?8, '$.updated')")
		default:
			set += ", '$.app', " + text("n.uid")
		}
		statement := "INSERT INTO sync_rows (id, kind, key, hlc, body, parent) " + series() + fmt.Sprintf(
			"SELECT ?6 + n.i * ?7, %d, %s, %s, CAST(json_set(?8, '$.uid', %s, %s) AS BLOB), %s FROM n",
			r.kind, key, earlier("json_extract(?8, '$.hlc')"), text(key), set, parent)
		_, err := f.db.ExecContext(ctx, statement, from, to, f.copies.Applications, f.template, f.copies.Users,
			f.place+int64(i)+1, len(f.rows), string(r.body))
		if err != nil {
			return fmt.Errorf("copy rows of kind %d: %w", r.kind, err)
		}
	}
	return nil
}

// copyUserRow makes the row of the i-th copy of the user.
func (f *filler) copyUserRow(ctx context.Context, i int) error {
	if len(f.rows) == 0 {
		return nil
	}
	_, err := f.db.ExecContext(ctx, fmt.Sprintf("INSERT INTO sync_rows (id, kind, key, hlc, body) SELECT ?1, kind, CAST(?2 AS BLOB), hlc, "+
		"CAST(json_set(CAST(body AS TEXT), '$.name', ?2) AS BLOB) FROM sync_rows WHERE kind = %d AND key = CAST(?3 AS BLOB)", replica.KindUser),
		f.place+int64(f.copies.Applications*len(f.rows)+i)+1, UserName(i), f.copies.User)
	if err != nil {
		return fmt.Errorf("copy row of user: %w", err)
	}
	return nil
}

// noteRows notes how far the rows go.
func (f *filler) noteRows(ctx context.Context) error {
	if len(f.rows) == 0 {
		return nil
	}
	_, err := f.db.ExecContext(ctx, "UPDATE sync_origins SET seq = seq + ? WHERE id = ?", f.copies.Applications*len(f.rows)+f.copies.Users, f.place>>seqBits)
	if err != nil {
		return fmt.Errorf("note how far the rows go: %w", err)
	}
	return nil
}

// remark notes in the node's marker how the file is now; a node of the version
// before has none.
func remark(file string) error {
	path := filepath.Join(filepath.Dir(file), "sqlite.db.marker")
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	info, err2 := os.Stat(file)
	if err := errors.Join(err, err2); err != nil {
		return fmt.Errorf("read the marker: %w", err)
	}
	marker, mark := map[string]json.RawMessage{}, map[string]json.RawMessage{}
	if err := errors.Join(json.Unmarshal(data, &marker), json.Unmarshal(marker["file"], &mark)); err != nil {
		return fmt.Errorf("read the marker: %w", err)
	}
	mark["size"], mark["mtime"] = fmt.Append(nil, info.Size()), fmt.Append(nil, info.ModTime().UnixNano())
	if marker["file"], err = json.Marshal(mark); err != nil {
		return err
	}
	if data, err = json.Marshal(marker); err != nil {
		return err
	}
	if err := durable.WriteFile(path, data, 0o600); err != nil {
		return fmt.Errorf("write the marker: %w", err)
	}
	return nil
}
