package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/replica"
	"github.com/aquarium-fish/aquarium-fish/lib/store/compiled"
)

// maxRowReaders is how many links are read for at a time: a read is some 100 us,
// and one that the disk holds up must not hold up all.
const maxRowReaders = 2

// rowReader is a connection that reads rows for other nodes. Its one statement
// stays compiled: to compile it took as long as to run it, for each link at each
// write.
type rowReader struct {
	conn *sql.Conn
	kept *compiled.Conn
}

// rowReaders holds those that nobody uses; nil is one that is not open yet. On a
// node that is alone none ever is.
type rowReaders chan *rowReader

func newRowReaders() rowReaders {
	free := make(rowReaders, maxRowReaders)
	for range maxRowReaders {
		free <- nil
	}
	return free
}

// use has a reader read. One that failed is opened anew the next time.
func (free rowReaders) use(ctx context.Context, pool *sql.DB, read func(*compiled.Conn) error) (err error) {
	var r *rowReader
	select {
	case next, open := <-free:
		if !open {
			return ErrClosed
		}
		r = next
	case <-ctx.Done():
		return fmt.Errorf("wait for a connection: %w", ctx.Err())
	}
	defer func() { free <- r }()
	if r == nil {
		if r, err = openRowReader(ctx, pool); err != nil {
			return err
		}
	}
	if err = read(r.kept); err != nil {
		err = errors.Join(err, r.close())
		r = nil
	}
	return err
}

// close waits for those that are used. None is opened any more.
func (free rowReaders) close() (err error) {
	for range maxRowReaders {
		r, open := <-free
		if !open { // closed before
			return err
		}
		err = errors.Join(err, r.close())
	}
	close(free)
	return err
}

func openRowReader(ctx context.Context, pool *sql.DB) (*rowReader, error) {
	conn, err := pool.Conn(ctx)
	if err != nil {
		return nil, err
	}
	kept, err := compiled.On(conn)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &rowReader{conn: conn, kept: kept}, nil
}

func (r *rowReader) close() error {
	if r == nil {
		return nil
	}
	return errors.Join(r.kept.Close(), r.conn.Close())
}

// errEnough ends a read that has what it came for.
var errEnough = errors.New("enough was read")

// readRows reads in pages, so that no cursor is open longer than for one.
func (d *database) readRows(origin replica.Origin, after, to uint64, use func(replica.Row) bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	if after >= maxSeq {
		return nil
	}
	id := d.origins.id(origin) << seqBits
	return d.rowReaders.use(ctx, d.readers, func(kept *compiled.Conn) error {
		deadline := time.Now().Add(readTimeout)
		err := kept.Query("SELECT "+syncColumns+" FROM sync_rows WHERE id > ? AND id <= ? ORDER BY id", func(row compiled.Row) error {
			r, err := d.scanRow(row)
			switch {
			case err != nil:
				return fmt.Errorf("read row: %w", err)
			case time.Now().After(deadline):
				return fmt.Errorf("read rows: %w", context.DeadlineExceeded)
			case !use(r.Row):
				return errEnough
			}
			return nil
		}, id|int64(after), id|int64(min(to, maxSeq)))
		if errors.Is(err, errEnough) {
			err = nil
		}
		return err
	})
}
