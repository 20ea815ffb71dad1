package store

import (
	"context"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// schemaText is what sqlite_master says of the store's database.
func schemaText(t *testing.T, s *Store) string {
	t.Helper()
	parts, err := column[string](context.Background(), s.db.readers,
		"SELECT sql || ';' FROM sqlite_master WHERE sql IS NOT NULL ORDER BY type DESC, name")
	if err != nil {
		t.Fatalf("read schema: %v", err)
	}
	return strings.Join(parts, "\n") + "\n"
}

// TestSchemaIsGolden compares what the migrations amount to with schema.sql,
// where a reviewer sees what a new one changes.
func TestSchemaIsGolden(t *testing.T) {
	want, err := os.ReadFile("schema.sql")
	if err != nil {
		t.Fatal(err)
	}
	s := openStore(t, testOptions(t))
	if diff := cmp.Diff(string(want), schemaText(t, s)); diff != "" {
		t.Errorf("migrations and schema.sql differ (-schema.sql +migrated):\n%s", diff)
	}
	if diff := cmp.Diff(string(want), schemaText(t, reopen(t, s))); diff != "" {
		t.Errorf("opening again changed the schema (-want +got):\n%s", diff)
	}
}

func TestPragmas(t *testing.T) {
	s := openStore(t, testOptions(t))
	for _, tt := range []struct {
		name, query string
		db          querier
		want        string
	}{
		{"log", "PRAGMA journal_mode", s.db.writer, "wal"},
		{"durable", "PRAGMA synchronous", s.db.writer, "2"},
		{"durable on macOS", "PRAGMA fullfsync", s.db.writer, "1"},
		{"checkpoints are durable there", "PRAGMA checkpoint_fullfsync", s.db.writer, "1"},
		{"shrinks", "PRAGMA auto_vacuum", s.db.writer, "2"},
		{"log is bounded", "PRAGMA wal_autocheckpoint", s.db.writer, strconv.Itoa(autoCheckpointPages)},
		{"writer waits", "PRAGMA busy_timeout", s.db.writer, "5000"},
		{"readers wait", "PRAGMA busy_timeout", s.db.readers, "5000"},
		{"writer's cache", "PRAGMA cache_size", s.db.writer, "-4000"},
		{"readers' cache", "PRAGMA cache_size", s.db.readers, "-4000"},
		{"no temporary files", "PRAGMA temp_store", s.db.writer, "2"},
		{"no foreign keys", "PRAGMA foreign_keys", s.db.writer, "0"},
		{"the writer writes", "PRAGMA query_only", s.db.writer, "0"},
		{"readers only read", "PRAGMA query_only", s.db.readers, "1"},
		{"current engine", "SELECT sqlite_version() >= '3.50'", s.db.readers, "1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := column[string](t.Context(), tt.db, tt.query)
			if err != nil || len(got) != 1 || got[0] != tt.want {
				t.Errorf("%s = %q, %v, want %q", tt.query, got, err, tt.want)
			}
		})
	}
}

// TestHistoryIsNotRead checks the plans of what runs at start and in hot paths:
// an index that leaves out finished history serves each.
func TestHistoryIsNotRead(t *testing.T) {
	s := openStore(t, testOptions(t))
	for _, tt := range []struct{ name, query string }{
		{"open applications", "SELECT a.uid FROM applications a WHERE " + whichOpen + " ORDER BY a.hlc, a.uid"},
		{"their states", "SELECT s.id FROM applications a CROSS JOIN application_states s ON s.application_uid = a.uid WHERE " +
			whichOpen + " ORDER BY s.id"},
		{"their tasks", "SELECT t.uid FROM applications a CROSS JOIN application_tasks t ON t.application_uid = a.uid WHERE " + whichOpen},
		{"their allocations", "SELECT l.epoch FROM applications a CROSS JOIN allocations l ON l.application_uid = a.uid WHERE " + whichOpen},
		{"their resources", "SELECT r.uid FROM applications a CROSS JOIN resources r ON r.application_uid = a.uid WHERE " + whichOpen},
		{"ended not long ago", "SELECT a.uid FROM applications a WHERE " + strings.ReplaceAll(whichEnded, "?", "5")},
		{"their states in turn", "SELECT s.id FROM applications a CROSS JOIN application_states s ON s.application_uid = a.uid WHERE " +
			strings.ReplaceAll(whichEnded, "?", "5") + " ORDER BY s.id"},
		{"expired", "SELECT uid FROM applications WHERE closed_at < 5 ORDER BY closed_at LIMIT 20"},
		{"expired rows of states", "DELETE FROM sync_rows WHERE kind = 7 AND key IN (SELECT uid FROM application_states WHERE application_uid = x'00')"},
		{"expired rows of Resources", "DELETE FROM sync_rows WHERE parent = x'00'"},
		{"row by key", "SELECT id FROM sync_rows WHERE kind = 7 AND key = x'00'"},
		{"rows of an origin", "SELECT id FROM sync_rows WHERE id > 5 AND id <= 9 ORDER BY id"},
		{"old tombstones", "SELECT kind, key FROM sync_rows WHERE body IS NULL AND hlc < 5 ORDER BY hlc LIMIT 200"},
		{"abandoned rows", "SELECT kind, key FROM sync_rows WHERE since < 5 ORDER BY since LIMIT 200"},
		{"retirements", "SELECT id FROM sync_rows WHERE kind IN (10, 11) AND body IS NOT NULL"},
		{"credentials of what is allocated", selectAccesses()},
		{"page of all", "SELECT a.uid FROM applications a WHERE (a.hlc, a.uid) > (5, x'00') AND a.hlc <= 9 ORDER BY a.hlc, a.uid LIMIT 500"},
		{"page of an owner", "SELECT a.uid FROM applications a WHERE (a.hlc, a.uid) > (5, x'00') AND a.hlc <= 9 AND " +
			"a.owner_name = 'u' ORDER BY a.hlc, a.uid LIMIT 500"},
		{"last of all", listing[model.Application]{table: "applications a", order: "a.hlc"}.last()},
		{"last of an owner", listing[model.Application]{table: "applications a", order: "a.hlc", where: "a.owner_name = 'u'"}.last()},
		{"last of the tasks", listing[model.ApplicationTask]{table: "application_tasks t", order: "t.hlc", where: "t.application_uid = x'00'"}.last()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			plan, err := collect(t.Context(), s.db.readers, func(row scanner) (detail string, err error) {
				var ignored any
				return detail, row.Scan(&ignored, &ignored, &ignored, &detail)
			}, "EXPLAIN QUERY PLAN "+tt.query)
			if err != nil {
				t.Fatal(err)
			}
			for _, step := range plan {
				served := strings.HasPrefix(step, "SEARCH") || strings.Contains(step, "applications_open") ||
					strings.HasPrefix(step, "USE TEMP B-TREE") || strings.HasPrefix(step, "LIST SUBQUERY") // its steps follow
				if !served {
					t.Errorf("plan has %q", step)
				}
			}
		})
	}
}
