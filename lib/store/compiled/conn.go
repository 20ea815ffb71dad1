// Package compiled keeps the statements of one SQLite connection compiled.
// The driver behind database/sql compiles a statement each time it runs, also
// one that was prepared: a quarter of what a small write costs.
//
// It shares the connection with the driver, which opens, configures and closes
// it, and works on its handle through the same translated C library. So
// transactions, pragmas and errors are the connection's, whoever runs a
// statement; only one goroutine may use a connection at a time, on either way.
package compiled

import (
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// Conn runs kept statements on a connection.
type Conn struct {
	tls  *libc.TLS
	db   uintptr // the connection's handle
	kept map[string]*statement
	args block // what the arguments of the running statement point to
	out  block // where a compilation leaves its result
	busy bool  // a Query is at a row, which points to args
}

// On keeps statements of a connection of the driver. Close comes before the
// connection is closed.
func On(conn *sql.Conn) (*Conn, error) {
	var db uintptr
	err := conn.Raw(func(driverConn any) (err error) {
		db, err = handle(driverConn)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("find the handle of the connection: %w", err)
	}
	c := &Conn{tls: libc.NewTLS(), db: db, kept: make(map[string]*statement)}
	if err := c.out.grow(c, pointerSize); err != nil {
		c.tls.Close()
		return nil, err
	}
	return c, nil
}

// handle is SQLite's of the driver's connection. The driver shows it to nobody;
// its version is pinned, and nothing works if the field moves, so that no test
// passes then.
func handle(driverConn any) (uintptr, error) {
	v := reflect.ValueOf(driverConn)
	if v.Kind() == reflect.Pointer && v.Elem().Kind() == reflect.Struct {
		if db := v.Elem().FieldByName("db"); db.Kind() == reflect.Uintptr && db.Uint() != 0 {
			return uintptr(db.Uint()), nil
		}
	}
	return 0, fmt.Errorf("%T has none; take the version of the driver that go.mod names", driverConn)
}

// Close gives the statements back.
func (c *Conn) Close() error {
	var errs []error
	for _, s := range c.kept {
		errs = append(errs, s.finalize())
	}
	c.kept = nil
	c.args.free(c)
	c.out.free(c)
	c.tls.Close()
	return errors.Join(errs...)
}

// Exec runs a statement that returns no rows, and reports how many rows it
// changed. The queries are constants, so that what is kept is bounded.
//
// Arguments are nil, strings, []byte (nil is NULL), bool and integers.
func (c *Conn) Exec(query string, args ...any) (changed int64, err error) {
	if c.busy {
		return 0, errBusy
	}
	s, err := c.statement(query)
	if err != nil {
		return 0, err
	}
	if err := s.bind(args); err != nil {
		return 0, errors.Join(err, s.reset())
	}
	_, err = s.step()
	if e := s.reset(); err == nil {
		err = e
	}
	if err != nil {
		return 0, err
	}
	return sqlite3.Xsqlite3_changes64(c.tls, c.db), nil
}

// errBusy refuses a statement within another one.
var errBusy = errors.New("another statement is at a row of its result")

// Query runs a statement and calls each with every row of its result. each must
// not run another one.
func (c *Conn) Query(query string, each func(Row) error, args ...any) (err error) {
	if c.busy {
		return errBusy
	}
	s, err := c.statement(query)
	if err != nil {
		return err
	}
	c.busy = true
	defer func() {
		c.busy = false
		if e := s.reset(); err == nil {
			err = e
		}
	}()
	if err := s.bind(args); err != nil {
		return err
	}
	for {
		more, err := s.step()
		if err != nil || !more {
			return err
		}
		if err := each(Row{s}); err != nil {
			return err
		}
	}
}

// errPragma refuses what must not be kept: SQLite obeys most pragmas while it
// compiles them, so that a kept one would do nothing.
var errPragma = errors.New("a pragma can not be kept compiled")

// statement is the compiled form of a query.
func (c *Conn) statement(query string) (*statement, error) {
	if s := c.kept[query]; s != nil {
		return s, nil
	}
	if strings.HasPrefix(strings.ToUpper(query), "PRAGMA") {
		return nil, fmt.Errorf("prepare %q: %w", query, errPragma)
	}
	text, err := libc.CString(query)
	if err != nil {
		return nil, fmt.Errorf("prepare %q: %w", query, err)
	}
	defer libc.Xfree(c.tls, text)
	if rc := sqlite3.Xsqlite3_prepare_v3(c.tls, c.db, text, -1, sqlite3.SQLITE_PREPARE_PERSISTENT, c.out.at, 0); rc != sqlite3.SQLITE_OK {
		return nil, fmt.Errorf("prepare %q: %w", query, c.failure(rc))
	}
	s := &statement{conn: c, at: c.out.pointer()}
	if s.at == 0 {
		return nil, fmt.Errorf("prepare %q: it is empty", query)
	}
	s.places = int(sqlite3.Xsqlite3_bind_parameter_count(c.tls, s.at))
	s.columns = int(sqlite3.Xsqlite3_column_count(c.tls, s.at))
	c.kept[query] = s
	return s, nil
}

// Error is what SQLite says.
type Error struct {
	code    int
	message string
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("%s (%d)", e.message, e.code) }

// Code is SQLite's extended result code.
func (e *Error) Code() int { return e.code }

// failure is the error of the call that failed just now.
func (c *Conn) failure(rc int32) error {
	general := libc.GoString(sqlite3.Xsqlite3_errstr(c.tls, rc))
	detail := libc.GoString(sqlite3.Xsqlite3_errmsg(c.tls, c.db))
	if detail != "" && detail != general {
		general += ": " + detail
	}
	return &Error{code: int(rc), message: general}
}
