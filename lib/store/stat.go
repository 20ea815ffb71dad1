package store

import (
	"context"
	"database/sql"
	"errors"
)

// Stat counts what a database holds. A node may have it open.
func Stat(ctx context.Context, file string) (s Stats, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	db, err := sql.Open(driverName, uri(file)+"?mode=rw&_pragma=query_only(1)"+commonPragmas())
	if err != nil {
		return s, explain(file, err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if s, err = statsOf(ctx, db); err != nil {
		return s, explain(file, err)
	}
	return s, nil
}
