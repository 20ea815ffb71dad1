package compiled

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/glebarez/go-sqlite"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// open makes a database with one table, and keeps statements of a connection.
func open(t *testing.T) (*Conn, *sql.Conn) {
	t.Helper()
	pool, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "test.db"))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pool.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.ExecContext(t.Context(), "CREATE TABLE rows (id INTEGER PRIMARY KEY, n, text, blob UNIQUE)"); err != nil {
		t.Fatal(err)
	}
	c, err := On(conn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(c.Close(), conn.Close(), pool.Close()); err != nil {
			t.Error(err)
		}
	})
	return c, conn
}

const insert = "INSERT INTO rows (n, text, blob) VALUES (?,?,?)"

// stored is what a row of the table has.
type stored struct {
	N    int64
	Text string
	Blob []byte
}

func read(t testing.TB, c *Conn) (rows []stored) {
	t.Helper()
	err := c.Query("SELECT n, text, blob FROM rows ORDER BY id", func(r Row) error {
		var s stored
		err := r.Scan(&s.N, &s.Text, &s.Blob)
		rows = append(rows, s)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// TestRoundTrip: what one statement writes again and again reads back, by way of
// the driver too.
func TestRoundTrip(t *testing.T) {
	c, conn := open(t)
	var want []stored
	rapid.Check(t, func(r *rapid.T) {
		blob := append([]byte{byte(len(want)), byte(len(want) >> 8)}, rapid.SliceOf(rapid.Byte()).Draw(r, "blob")...)
		s := stored{rapid.Int64().Draw(r, "n"), rapid.String().Draw(r, "text"), blob}
		changed, err := c.Exec(insert, s.N, s.Text, s.Blob)
		if err != nil || changed != 1 {
			r.Fatalf("Exec = %d, %v, want one row", changed, err)
		}
		want = append(want, s)
	})
	if diff := cmp.Diff(want, read(t, c)); diff != "" {
		t.Errorf("rows differ (-want +got):\n%s", diff)
	}
	last, other := want[len(want)-1], stored{}
	err := conn.QueryRowContext(t.Context(), "SELECT n, text, blob FROM rows ORDER BY id DESC").Scan(&other.N, &other.Text, &other.Blob)
	if diff := cmp.Diff(last, other); err != nil || diff != "" {
		t.Errorf("the driver reads something else (-want +got): %v\n%s", err, diff)
	}
}

func TestArguments(t *testing.T) {
	type status string
	c, _ := open(t)
	tests := []struct {
		name string
		arg  any
		want string // as SQLite says: its type and value
	}{
		{"nil", nil, "null/"},
		{"no bytes at all", []byte(nil), "null/"},
		{"empty bytes", []byte{}, "blob/"},
		{"empty text", "", "text/"},
		{"text with a zero", "a\x00b", "text/a"}, // printed up to it
		{"true", true, "integer/1"},
		{"false", false, "integer/0"},
		{"small", uint32(7), "integer/7"},
		{"negative", int64(-7), "integer/-7"},
		{"large", strings.Repeat("x", 2*keptBlock), "text/" + strings.Repeat("x", 2*keptBlock)},
		{"after a large one", "y", "text/y"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got string
			err := c.Query("SELECT typeof(?1) || '/' || coalesce(printf('%s', ?1), '')", func(r Row) error { return r.Scan(&got) }, tt.arg)
			if err != nil || got != tt.want {
				t.Errorf("got %.40q, %v, want %.40q", got, err, tt.want)
			}
		})
	}
	if c.args.size > keptBlock {
		t.Errorf("%d bytes are kept for arguments, want %d at most", c.args.size, keptBlock)
	}
	for _, arg := range []any{1.5, status("NEW"), struct{}{}} {
		if err := c.Query("SELECT ?", func(Row) error { return nil }, arg); err == nil {
			t.Errorf("an argument of type %T was taken", arg)
		}
	}
	if _, err := c.Exec(insert, 1); err == nil {
		t.Error("a missing argument was not noticed")
	}
}

// TestFailureLeavesTheStatementUsable: a key that is taken, then others.
func TestFailureLeavesTheStatementUsable(t *testing.T) {
	c, _ := open(t)
	if _, err := c.Exec(insert, 1, "a", []byte("key")); err != nil {
		t.Fatal(err)
	}
	_, err := c.Exec(insert, 2, "b", []byte("key"))
	var failed *Error
	if !errors.As(err, &failed) || failed.Code()&0xff != 19 || !strings.Contains(err.Error(), "rows.blob") {
		t.Errorf("Exec = %v, want SQLite's code 19 and the column", err)
	}
	if _, err := c.Exec(insert, 3, "c", []byte("other")); err != nil {
		t.Errorf("Exec after a failure = %v", err)
	}
	stop := errors.New("stop")
	if err := c.Query("SELECT n, text, blob FROM rows ORDER BY id", func(Row) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("Query = %v, want what its reader returned", err)
	}
	if err := c.Query("SELECT n, text, blob FROM rows", func(Row) error { _, err := c.Exec("BEGIN"); return err }); !errors.Is(err, errBusy) {
		t.Errorf("a statement within another = %v, want it refused", err)
	}
	want := []stored{{1, "a", []byte("key")}, {3, "c", []byte("other")}}
	if diff := cmp.Diff(want, read(t, c)); diff != "" {
		t.Errorf("rows differ (-want +got):\n%s", diff)
	}
}

// TestSchemaChanges under a kept statement.
func TestSchemaChanges(t *testing.T) {
	c, conn := open(t)
	if _, err := c.Exec(insert, 1, "a", []byte("a")); err != nil {
		t.Fatal(err)
	}
	for _, change := range []string{"CREATE INDEX by_n ON rows (n)", "ALTER TABLE rows ADD COLUMN more", "VACUUM"} {
		if _, err := conn.ExecContext(t.Context(), change); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Exec(insert, 1, change, []byte(change)); err != nil {
			t.Errorf("Exec after %q: %v", change, err)
		}
	}
	if rows := read(t, c); len(rows) != 4 || rows[3].Text != "VACUUM" {
		t.Errorf("rows = %v", rows)
	}
	if _, err := conn.ExecContext(t.Context(), "DROP TABLE rows"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Exec(insert, 1, "a", []byte("a")); err == nil {
		t.Error("a statement over a table that is gone succeeded")
	}
}

// TestTransactions are one, whoever of the two runs a statement.
func TestTransactions(t *testing.T) {
	c, conn := open(t)
	for _, query := range []string{"BEGIN IMMEDIATE", "ROLLBACK", "BEGIN IMMEDIATE"} {
		if _, err := c.Exec(query); err != nil {
			t.Fatal(err)
		}
		if query == "BEGIN IMMEDIATE" {
			if _, err := c.Exec(insert, 1, "a", []byte("a")); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := conn.ExecContext(t.Context(), "INSERT INTO rows (text) VALUES ('b')"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Exec("ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if rows := read(t, c); len(rows) != 0 {
		t.Errorf("%d rows are left, want none", len(rows))
	}
	if _, err := c.Exec("ROLLBACK"); err == nil {
		t.Error("a rollback without a transaction succeeded")
	}
}

func TestRefuses(t *testing.T) {
	c, _ := open(t)
	for _, query := range []string{"pragma synchronous = FULL", "", "SELECT nothing FROM nowhere"} {
		if _, err := c.Exec(query); err == nil {
			t.Errorf("Exec(%q) succeeded", query)
		}
	}
	if len(c.kept) != 0 {
		t.Errorf("%d statements are kept, want none", len(c.kept))
	}
	for _, conn := range []any{nil, 5, &struct{ db string }{"x"}, &struct{ db uintptr }{}} {
		if _, err := handle(conn); err == nil {
			t.Errorf("handle(%T) found one", conn)
		}
	}
}

func BenchmarkExec(b *testing.B) {
	pool, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		b.Fatal(err)
	}
	conn, err := pool.Conn(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	if _, err := conn.ExecContext(b.Context(), "CREATE TABLE rows (id INTEGER PRIMARY KEY, n, text, blob)"); err != nil {
		b.Fatal(err)
	}
	c, err := On(conn)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = errors.Join(c.Close(), conn.Close(), pool.Close()) }()
	blob := bytes.Repeat([]byte("x"), 300)
	b.Run("kept", func(b *testing.B) {
		for b.Loop() {
			if _, err := c.Exec(insert, 1, "a", blob); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("driver", func(b *testing.B) {
		stmt, err := conn.PrepareContext(context.Background(), insert)
		if err != nil {
			b.Fatal(err)
		}
		defer func() { _ = stmt.Close() }()
		for b.Loop() {
			if _, err := stmt.ExecContext(b.Context(), 1, "a", blob); err != nil {
				b.Fatal(err)
			}
		}
	})
}
