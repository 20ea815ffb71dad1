package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// scanner is a row, of sql.Row or sql.Rows.
type scanner interface{ Scan(dest ...any) error }

// collect reads all rows of a query.
func collect[T any](ctx context.Context, db querier, scan func(scanner) (T, error), query string, args ...any) (_ []T, err error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	var out []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("read row: %w", err)
		}
		out = append(out, v)
	}
	return out, rows.Err()
}

// nanos reads a time of day, stored as Unix nanoseconds; NULL is the zero time.
type nanos struct{ t *time.Time }

// Scan implements sql.Scanner.
func (n nanos) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*n.t = time.Time{}
	case int64:
		*n.t = time.Unix(0, v).UTC()
	default:
		return fmt.Errorf("time is stored as %T", src)
	}
	return nil
}

// toNanos is the time as it is stored; the zero time is NULL.
func toNanos(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixNano()
}

// raw reads JSON text as it was written.
func raw(m *json.RawMessage) *[]byte { return (*[]byte)(m) }

// rawText is JSON as it is stored: as it was written; {} for none.
func rawText(m json.RawMessage) string {
	if len(m) == 0 {
		return "{}"
	}
	return string(m)
}

// jsonOf reads a value that is stored as JSON; NULL leaves it as it is.
type jsonOf struct{ v any }

// Scan implements sql.Scanner.
func (j jsonOf) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		return nil
	case string:
		return json.Unmarshal([]byte(v), j.v)
	case []byte:
		return json.Unmarshal(v, j.v)
	}
	return fmt.Errorf("JSON is stored as %T", src)
}

// toJSON is a value as it is stored. Raw parts keep their numbers and the
// order of their keys.
func toJSON(v any) (string, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return "", fmt.Errorf("encode JSON: %w", err)
	}
	return string(bytes.TrimSuffix(b.Bytes(), []byte("\n"))), nil
}

// key is a UID as it is stored.
func key(uid model.UID) []byte { return uid[:] }
