package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"modernc.org/sqlite"
	"pgregory.net/rapid"
)

// openKept makes a database with one table, and keeps statements of a
// connection.
func openKept(t testing.TB) (*kept, *sql.Conn) {
	t.Helper()
	pool, err := sql.Open(driverName, writerDSN(filepath.Join(t.TempDir(), "test.db")))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pool.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	k := keepStatements(conn)
	t.Cleanup(func() {
		if err := errors.Join(k.close(), conn.Close(), pool.Close()); err != nil {
			t.Error(err)
		}
	})
	if _, err := conn.ExecContext(t.Context(), "CREATE TABLE rows (id INTEGER PRIMARY KEY, n, text, blob UNIQUE)"); err != nil {
		t.Fatal(err)
	}
	return k, conn
}

const insertKept = "INSERT INTO rows (n, text, blob) VALUES (?,?,?)"

// keptRow is what a row of the table has.
type keptRow struct {
	N    int64
	Text string
	Blob []byte
}

func readKept(t testing.TB, k *kept) (rows []keptRow) {
	t.Helper()
	err := k.Query("SELECT n, text, blob FROM rows ORDER BY id", func(r scanner) error {
		var row keptRow
		err := r.Scan(&row.N, &row.Text, &row.Blob)
		rows = append(rows, row)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// TestKeptRoundTrip: what one statement writes again and again reads back, by way
// of one that is not kept too.
func TestKeptRoundTrip(t *testing.T) {
	k, conn := openKept(t)
	var want []keptRow
	rapid.Check(t, func(r *rapid.T) {
		blob := append([]byte{byte(len(want)), byte(len(want) >> 8)}, rapid.SliceOf(rapid.Byte()).Draw(r, "blob")...)
		row := keptRow{rapid.Int64().Draw(r, "n"), rapid.String().Draw(r, "text"), blob}
		changed, err := k.Exec(insertKept, row.N, row.Text, row.Blob)
		if err != nil || changed != 1 {
			r.Fatalf("Exec = %d, %v, want one row", changed, err)
		}
		want = append(want, row)
	})
	if diff := cmp.Diff(want, readKept(t, k)); diff != "" {
		t.Errorf("rows differ (-want +got):\n%s", diff)
	}
	last, other := want[len(want)-1], keptRow{}
	err := conn.QueryRowContext(t.Context(), "SELECT n, text, blob FROM rows ORDER BY id DESC").Scan(&other.N, &other.Text, &other.Blob)
	if diff := cmp.Diff(last, other); err != nil || diff != "" {
		t.Errorf("the connection reads something else (-want +got): %v\n%s", err, diff)
	}
}

// TestKeptArguments: what a statement is given is what SQLite gets. No bytes at
// all and none are two things, of which reading makes one.
func TestKeptArguments(t *testing.T) {
	k, _ := openKept(t)
	large := strings.Repeat("x", 1<<20)
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
		{"large", large, "text/" + large},
		{"after a large one", "y", "text/y"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got string
			var bytes []byte
			err := k.Query("SELECT typeof(?1) || '/' || coalesce(printf('%s', ?1), ''), CAST(?1 AS BLOB)",
				func(r scanner) error { return r.Scan(&got, &bytes) }, tt.arg)
			if err != nil || got != tt.want {
				t.Errorf("got %.40q, %v, want %.40q", got, err, tt.want)
			}
			if len(bytes) == 0 && bytes != nil {
				t.Error("no bytes are read as an empty list, want nil")
			}
		})
	}
	if err := k.Query("SELECT ?", func(scanner) error { return nil }, struct{}{}); err == nil {
		t.Error("an argument that has no type of SQLite was taken")
	}
	if _, err := k.Exec(insertKept, 1); err == nil {
		t.Error("a missing argument was not noticed")
	}
}

// TestKeptFailureLeavesTheStatementUsable: a key that is taken, then others.
func TestKeptFailureLeavesTheStatementUsable(t *testing.T) {
	k, _ := openKept(t)
	if _, err := k.Exec(insertKept, 1, "a", []byte("key")); err != nil {
		t.Fatal(err)
	}
	_, err := k.Exec(insertKept, 2, "b", []byte("key"))
	var failed *sqlite.Error
	if !errors.As(err, &failed) || failed.Code() != 2067 || code(err) != codeConstraint || !strings.Contains(err.Error(), "rows.blob") {
		t.Errorf("Exec = %v, want SQLite's code 2067 (a unique key) and the column", err)
	}
	if _, err := k.Exec(insertKept, 3, "c", []byte("other")); err != nil {
		t.Errorf("Exec after a failure = %v", err)
	}
	stop := errors.New("stop")
	const read = "SELECT n, text, blob FROM rows ORDER BY id"
	if err := k.Query(read, func(scanner) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("Query = %v, want what its reader returned", err)
	}
	if err := k.Query(read, func(scanner) error { _, err := k.Exec("BEGIN"); return err }); !errors.Is(err, errReading) {
		t.Errorf("a statement within another = %v, want it refused", err)
	}
	want := []keptRow{{1, "a", []byte("key")}, {3, "c", []byte("other")}}
	if diff := cmp.Diff(want, readKept(t, k)); diff != "" {
		t.Errorf("rows differ (-want +got):\n%s", diff)
	}
}

// TestKeptSchemaChanges under a statement.
func TestKeptSchemaChanges(t *testing.T) {
	k, conn := openKept(t)
	for _, change := range []string{"SELECT 1", "CREATE INDEX by_n ON rows (n)", "ALTER TABLE rows ADD COLUMN more", "VACUUM"} {
		if _, err := conn.ExecContext(t.Context(), change); err != nil {
			t.Fatal(err)
		}
		if _, err := k.Exec(insertKept, 1, change, []byte(change)); err != nil {
			t.Errorf("Exec after %q: %v", change, err)
		}
	}
	if rows := readKept(t, k); len(rows) != 4 || rows[3].Text != "VACUUM" {
		t.Errorf("rows = %v", rows)
	}
	if _, err := conn.ExecContext(t.Context(), "DROP TABLE rows"); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Exec(insertKept, 1, "a", []byte("a")); err == nil {
		t.Error("a statement over a table that is gone succeeded")
	}
}

// TestKeptTransactions are the connection's.
func TestKeptTransactions(t *testing.T) {
	k, conn := openKept(t)
	for _, query := range []string{"BEGIN IMMEDIATE", "ROLLBACK", "BEGIN IMMEDIATE"} {
		if _, err := k.Exec(query); err != nil {
			t.Fatal(err)
		}
		if query == "BEGIN IMMEDIATE" {
			if _, err := k.Exec(insertKept, 1, "a", []byte("a")); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := conn.ExecContext(t.Context(), "INSERT INTO rows (text) VALUES ('b')"); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Exec("ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if rows := readKept(t, k); len(rows) != 0 {
		t.Errorf("%d rows are left, want none", len(rows))
	}
	if _, err := k.Exec("ROLLBACK"); err == nil {
		t.Error("a rollback without a transaction succeeded")
	}
}

// TestKeptBusy: another connection's transaction is told by its code, and is in
// nobody's way when it has ended.
func TestKeptBusy(t *testing.T) {
	k, conn := openKept(t)
	var path string
	if err := conn.QueryRowContext(t.Context(), "SELECT file FROM pragma_database_list").Scan(&path); err != nil {
		t.Fatal(err)
	}
	other, err := sql.Open(driverName, writerDSN(path))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	tx, err := other.BeginTx(t.Context(), nil) // immediate, as its name says
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.ExecContext(t.Context(), "PRAGMA busy_timeout(0)"); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Exec("BEGIN IMMEDIATE"); code(err) != 5 || !wholeBatch(err) {
		t.Errorf("BEGIN while another writes = %v, want SQLite's code 5", err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	for _, query := range []string{"BEGIN IMMEDIATE", "ROLLBACK"} {
		if _, err := k.Exec(query); err != nil {
			t.Errorf("%s afterwards = %v", query, err)
		}
	}
}

// compiled is how much memory SQLite has for compiled statements.
func compiled(t *testing.T, conn *sql.Conn) (size int) {
	t.Helper()
	err := conn.Raw(func(driverConn any) (err error) {
		size, _, err = driverConn.(sqlite.DBStatus).Status(sqlite.DBStatusStmtUsed, false)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return size
}

// TestKeptStaysCompiled: a driver that compiles at each run keeps nothing
// between two.
func TestKeptStaysCompiled(t *testing.T) {
	k, conn := openKept(t)
	before := compiled(t, conn)
	for i, blob := range []string{"a", "b", "b"} {
		_, err := k.Exec(insertKept, i, "", []byte(blob))
		if (err != nil) != (i == 2) {
			t.Fatalf("Exec = %v", err)
		}
		if size := compiled(t, conn); size <= before || len(k.statements) != 1 {
			t.Errorf("%d bytes of %d statements are compiled after run %d, before there were %d, want one", size, len(k.statements), i, before)
		}
	}
	if rows := readKept(t, k); len(rows) != 2 {
		t.Errorf("%d rows, want 2", len(rows))
	}
	if err := k.close(); err != nil {
		t.Fatal(err)
	}
	if after := compiled(t, conn); after != before {
		t.Errorf("%d bytes are compiled after close, want %d", after, before)
	}
}

// TestInterrupt: a statement that is cut short by its context leaves the writer as
// it was, and readers that still only read.
func TestInterrupt(t *testing.T) {
	s := openStore(t, testOptions(t))
	label := newLabel(t, s).UID
	const endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
	for _, tt := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"reader", func(ctx context.Context) error { _, err := column[int](ctx, s.db.readers, endless); return err }},
		{"writer", func(ctx context.Context) error {
			return s.alone(t.Context(), func() error { _, err := column[int](ctx, s.db.writer, endless); return err })
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			if err := tt.run(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("an endless statement = %v, want it cut short", err)
			}
			live(t, s, label)
			if only, err := column[int](t.Context(), s.db.readers, "PRAGMA query_only"); err != nil || only[0] != 1 {
				t.Errorf("query_only of a reader = %v, %v, want 1", only, err)
			}
			if sync, err := column[int](t.Context(), s.db.writer, "PRAGMA synchronous"); err != nil || sync[0] != 2 {
				t.Errorf("synchronous of the writer = %v, %v, want 2", sync, err)
			}
		})
	}
}

func TestKeptRefuses(t *testing.T) {
	k, _ := openKept(t)
	for _, query := range []string{"pragma synchronous = FULL", "SELECT nothing FROM nowhere"} {
		if _, err := k.Exec(query); err == nil {
			t.Errorf("Exec(%q) succeeded", query)
		}
	}
	if len(k.statements) != 0 {
		t.Errorf("%d statements are kept, want none", len(k.statements))
	}
}

// BenchmarkKept is what keeping saves.
func BenchmarkKept(b *testing.B) {
	k, conn := openKept(b)
	blob := bytes.Repeat([]byte("x"), 300)
	if _, err := k.Exec("BEGIN"); err != nil {
		b.Fatal(err)
	}
	const query = "INSERT INTO rows (n, text) VALUES (?,?)"
	b.Run("kept", func(b *testing.B) {
		for b.Loop() {
			if _, err := k.Exec(query, 1, blob); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("compiled each time", func(b *testing.B) {
		for b.Loop() {
			if _, err := conn.ExecContext(b.Context(), query, 1, blob); err != nil {
				b.Fatal(err)
			}
		}
	})
	if _, err := k.Exec("ROLLBACK"); err != nil {
		b.Fatal(err)
	}
}
