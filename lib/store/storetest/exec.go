package storetest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// Exec runs statements on the database of a stopped node, as somebody would who
// damages it.
func Exec(ctx context.Context, file string, statements ...string) (err error) {
	db, err := sql.Open(driverName, file)
	if err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	for _, statement := range statements {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("run %q: %w", statement, err)
		}
	}
	return nil
}
