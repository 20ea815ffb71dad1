package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
)

// kept runs statements on one connection and keeps each compiled: a quarter of
// what a small write costs is its compilation. Transactions, pragmas and errors
// are the connection's, however a statement is run. Only one goroutine may use it
// at a time.
//
// None of it is under the context of a request: an interrupt would take the
// batch along.
type kept struct {
	conn       *sql.Conn
	statements map[string]*sql.Stmt
	reading    bool // a Query is at a row
}

// keepStatements keeps those of a connection. close comes before the
// connection's.
func keepStatements(conn *sql.Conn) *kept {
	return &kept{conn: conn, statements: make(map[string]*sql.Stmt)}
}

// close gives the statements back.
func (k *kept) close() error {
	var errs []error
	for _, s := range k.statements {
		errs = append(errs, s.Close())
	}
	clear(k.statements)
	return errors.Join(errs...)
}

// Exec runs a statement that returns no rows, and reports how many rows it
// changed. The queries are constants, so that what is kept is bounded.
func (k *kept) Exec(query string, args ...any) (changed int64, err error) {
	s, err := k.statement(query) //nolint:sqlclosecheck // kept until close
	if err != nil {
		return 0, err
	}
	result, err := s.ExecContext(context.Background(), args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// Query runs a statement and calls each with every row of its result. each must
// not run another one.
func (k *kept) Query(query string, each func(scanner) error, args ...any) (err error) {
	s, err := k.statement(query) //nolint:sqlclosecheck // kept until close
	if err != nil {
		return err
	}
	rows, err := s.QueryContext(context.Background(), args...)
	if err != nil {
		return err
	}
	k.reading = true
	defer func() {
		k.reading = false
		err = errors.Join(err, rows.Close())
	}()
	for rows.Next() {
		if err := each(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

var (
	// errReading refuses a statement within another one, which could be run again
	// under its own reader.
	errReading = errors.New("another statement is at a row of its result")
	// errPragma refuses what must not be kept: SQLite obeys most pragmas while it
	// compiles them, so that a kept one would do nothing.
	errPragma = errors.New("a pragma can not be kept compiled")
)

// statement is the compiled form of a query.
func (k *kept) statement(query string) (*sql.Stmt, error) {
	if k.reading {
		return nil, errReading
	}
	if s := k.statements[query]; s != nil {
		return s, nil
	}
	if strings.HasPrefix(strings.ToUpper(query), "PRAGMA") {
		return nil, fmt.Errorf("prepare %q: %w", query, errPragma)
	}
	s, err := k.conn.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, fmt.Errorf("prepare %q: %w", query, err)
	}
	k.statements[query] = s
	return s, nil
}
