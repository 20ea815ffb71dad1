package compiled

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"reflect"

	sqlite3 "modernc.org/sqlite/lib"
)

// statement is one that stays compiled.
type statement struct {
	conn    *Conn
	at      uintptr
	places  int // how many arguments it takes
	columns int
}

func (s *statement) finalize() error {
	if rc := sqlite3.Xsqlite3_finalize(s.conn.tls, s.at); rc != sqlite3.SQLITE_OK {
		return s.conn.failure(rc)
	}
	return nil
}

// step runs it up to its next row, and reports whether there is one.
func (s *statement) step() (more bool, err error) {
	switch rc := sqlite3.Xsqlite3_step(s.conn.tls, s.at); rc {
	case sqlite3.SQLITE_ROW:
		return true, nil
	case sqlite3.SQLITE_DONE:
		return false, nil
	default:
		return false, s.conn.failure(rc)
	}
}

// reset makes it ready to run again; until then it holds its locks. Its error is
// that of the step before. It points to no argument any more.
func (s *statement) reset() error {
	rc := sqlite3.Xsqlite3_reset(s.conn.tls, s.at)
	if rc == sqlite3.SQLITE_OK {
		sqlite3.Xsqlite3_clear_bindings(s.conn.tls, s.at)
		return nil
	}
	err := s.conn.failure(rc)
	sqlite3.Xsqlite3_clear_bindings(s.conn.tls, s.at)
	return err
}

// bind hands the arguments over. Their bytes are copied to where SQLite reads
// them, for all in one piece, which stays until the next statement is run.
func (s *statement) bind(args []any) error {
	if len(args) != s.places {
		return fmt.Errorf("statement takes %d arguments, not %d", s.places, len(args))
	}
	size := 0
	for _, a := range args {
		size += bytesOf(a)
	}
	if err := s.conn.args.grow(s.conn, size); err != nil {
		return err
	}
	free := s.conn.args.part(0, size)
	for i, a := range args {
		n := bytesOf(a)
		if err := s.bindOne(int32(i+1), a, free[:n]); err != nil {
			return err
		}
		free = free[n:]
	}
	return nil
}

// bytesOf is how many bytes an argument needs beside the statement.
func bytesOf(arg any) int {
	switch v := arg.(type) {
	case string:
		return len(v)
	case []byte:
		return len(v)
	}
	return 0
}

// bindOne hands over one argument, the place-th from 1; room is for its bytes.
func (s *statement) bindOne(place int32, arg any, room []byte) error {
	var rc int32
	tls := s.conn.tls
	switch v := arg.(type) {
	case nil:
		rc = sqlite3.Xsqlite3_bind_null(tls, s.at, place)
	case int64:
		rc = sqlite3.Xsqlite3_bind_int64(tls, s.at, place, v)
	case string:
		copy(room, v)
		rc = sqlite3.Xsqlite3_bind_text(tls, s.at, place, s.conn.args.address(room), int32(len(v)), 0) //nolint:gosec // bounded by SQLite's own limit
	case []byte:
		if v == nil {
			rc = sqlite3.Xsqlite3_bind_null(tls, s.at, place)
			break
		}
		copy(room, v)
		rc = sqlite3.Xsqlite3_bind_blob(tls, s.at, place, s.conn.args.address(room), int32(len(v)), 0) //nolint:gosec // as above
	default:
		n, err := integer(v)
		if err != nil {
			return err
		}
		rc = sqlite3.Xsqlite3_bind_int64(tls, s.at, place, n)
	}
	if rc != sqlite3.SQLITE_OK {
		return s.conn.failure(rc)
	}
	return nil
}

// integer is an argument of any other integer type, or of bool.
func integer(arg any) (int64, error) {
	v := reflect.ValueOf(arg)
	switch {
	case v.CanInt():
		return v.Int(), nil
	case v.CanUint():
		return int64(v.Uint()), nil //nolint:gosec // no column holds more
	case v.Kind() == reflect.Bool && v.Bool():
		return 1, nil
	case v.Kind() == reflect.Bool:
		return 0, nil
	}
	return 0, fmt.Errorf("an argument of type %T can not be bound", arg)
}

// Row is the row that a statement is at.
type Row struct{ s *statement }

// Scan reads the columns: into []byte (nil for NULL, and for none), integers
// and what scans for itself, of which text comes as a string.
func (r Row) Scan(dest ...any) error {
	if len(dest) != r.s.columns {
		return fmt.Errorf("row has %d columns, not %d", r.s.columns, len(dest))
	}
	for i, d := range dest {
		if err := r.scanOne(int32(i), d); err != nil {
			return fmt.Errorf("read column %d: %w", i, err)
		}
	}
	return nil
}

func (r Row) scanOne(i int32, dest any) error {
	switch d := dest.(type) {
	case sql.Scanner:
		return d.Scan(r.value(i))
	case *[]byte:
		*d = r.bytes(i)
		return nil
	case *json.RawMessage:
		*d = r.bytes(i)
		return nil
	}
	v := reflect.ValueOf(dest)
	if v.Kind() != reflect.Pointer {
		return fmt.Errorf("%T is no place for it", dest)
	}
	v = v.Elem()
	n := sqlite3.Xsqlite3_column_int64(r.s.conn.tls, r.s.at, i)
	switch {
	case v.Kind() == reflect.String:
		v.SetString(string(r.bytes(i)))
	case v.CanInt():
		v.SetInt(n)
	case v.CanUint():
		v.SetUint(uint64(n)) //nolint:gosec // as it was written
	default:
		return fmt.Errorf("%T is no place for it", dest)
	}
	return nil
}

// value is a column as a sql.Scanner gets it.
func (r Row) value(i int32) any {
	switch sqlite3.Xsqlite3_column_type(r.s.conn.tls, r.s.at, i) {
	case sqlite3.SQLITE_NULL:
		return nil
	case sqlite3.SQLITE_INTEGER:
		return sqlite3.Xsqlite3_column_int64(r.s.conn.tls, r.s.at, i)
	case sqlite3.SQLITE_TEXT:
		return string(r.bytes(i))
	}
	return r.bytes(i)
}

// bytes is a copy of a column's text or blob.
func (r Row) bytes(i int32) []byte {
	at := sqlite3.Xsqlite3_column_blob(r.s.conn.tls, r.s.at, i)
	n := sqlite3.Xsqlite3_column_bytes(r.s.conn.tls, r.s.at, i)
	if at == 0 || n == 0 {
		return nil
	}
	return append([]byte(nil), bytesAt(at, int(n))...)
}
