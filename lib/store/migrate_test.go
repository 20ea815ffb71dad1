package store

import (
	"context"
	"database/sql"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// TestMigrationIsWholeOrNothing: one that fails half-way leaves the database as
// the version before had it, and is done by the next start.
func TestMigrationIsWholeOrNothing(t *testing.T) {
	o := testOptions(t)
	s := openStore(t, o)
	newApplication(t, s, newLabel(t, s).UID, "u")
	before := schemaText(t, s)
	unenrol(t, s)
	path := s.db.path
	old := "20261101_start"
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	alter(t, path, "CREATE VIEW sync_rows_key AS SELECT 1") // an index of the migration is to be named so
	if s, err := Open(t.Context(), o); err == nil {
		_ = s.Close()
		t.Fatal("a migration that can not be done succeeded")
	} else if !strings.Contains(err.Error(), "sync_rows_key") {
		t.Fatalf("Open = %v, want what is in the way", err)
	}
	if got := readFile[string](t, path, "SELECT id FROM migrations"); !cmp.Equal(got, []string{old}) {
		t.Errorf("migrations = %v, want %s alone", got, old)
	}
	if got := readFile[string](t, path, "SELECT name FROM sqlite_master WHERE name IN ('sync_origins', 'sync_rows')"); len(got) != 0 {
		t.Errorf("%v are left of a migration that failed", got)
	}
	alter(t, path, "DROP VIEW sync_rows_key")
	s = openStore(t, o)
	if diff := cmp.Diff(before, schemaText(t, s)); diff != "" {
		t.Errorf("the schema differs after the second try (-want +got):\n%s", diff)
	}
	if rows := s.Vector()[replica.Origin{Node: testNode, Incarnation: 1}]; rows == 0 {
		t.Error("nothing was enrolled")
	}
}

// TestMigrationGivesUp when the start is cut short, without a trace.
func TestMigrationGivesUp(t *testing.T) {
	o := testOptions(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if s, err := Open(ctx, o); err == nil {
		_ = s.Close()
		t.Fatal("Open under a context that is done succeeded")
	}
	openStore(t, o)
}

// readFile reads the single column of a query of a file that no store has open.
func readFile[T any](t *testing.T, path, query string) []T {
	t.Helper()
	pool, err := sql.Open(driverName, readerDSN(path))
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	got, err := column[T](t.Context(), pool, query)
	if err != nil {
		t.Fatal(err)
	}
	return got
}
