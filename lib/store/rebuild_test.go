package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// tablesOfNouns are those that a rebuild makes, with what can not be made again
// exactly: the place of a state in its table, and when an application of this
// node was found to be over.
func tablesOfNouns() map[string]string {
	return map[string]string{
		"users": "*", "labels": "*", "nodes": "*", "locations": "*", "service_mappings": "*", "application_tasks": "*", "resources": "*",
		"allocations":        "*",
		"applications":       "uid, label_uid, owner_name, metadata, created_at, hlc, arbiter, closed_at IS NULL",
		"application_states": "uid, application_uid, status, description, created_at, hlc, epoch, node_uid, decision",
	}
}

// alter runs statements on the database of a stopped node, as whoever damages it.
func alter(t testing.TB, file string, statements ...string) {
	t.Helper()
	db, err := sql.Open(driverName, uri(file))
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range statements {
		if _, err := db.ExecContext(context.Background(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// dump is what the tables hold, byte by byte. Exact says with what a rebuild of a
// damaged one can not make again, too.
func dump(t testing.TB, file string, exact bool) map[string][]string {
	t.Helper()
	db, err := sql.Open(driverName, uri(file)+"?_pragma=query_only(1)")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	all := make(map[string][]string)
	for table, columns := range tablesOfNouns() {
		if exact {
			columns = "*"
		}
		all[table] = dumpTable(t, db, table, columns)
	}
	return all
}

func dumpTable(t testing.TB, db *sql.DB, table, columns string) (lines []string) {
	t.Helper()
	rows, err := db.QueryContext(context.Background(), "SELECT "+columns+" FROM "+table+" ORDER BY 1, 2")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	names, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		values, places := make([]any, len(names)), make([]any, len(names))
		for i := range values {
			places[i] = &values[i]
		}
		if err := rows.Scan(places...); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, fmt.Sprintf("%q", values))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return lines
}

// played is the stopped database of a node that did what was drawn, beside
// another one that did too.
func played(rt *rapid.T, t *testing.T) Options {
	folder, err := os.MkdirTemp(t.TempDir(), "db")
	if err != nil {
		rt.Fatal(err)
	}
	o := Options{Folder: folder, Node: testNode, Logger: quiet(), Now: ticking()}
	s, err := Open(t.Context(), o)
	if err != nil {
		rt.Fatal(err)
	}
	other, err := OpenMemory(t.Context(), Options{Node: model.UID{101, 2, 3, 4, 5, 6}, Logger: quiet(), Now: o.Now}, NewDisk())
	if err != nil {
		rt.Fatal(err)
	}
	players := []*player{{s: s, names: map[string]string{}}, {s: other, names: map[string]string{}}}
	for range rapid.IntRange(1, 60).Draw(rt, "steps") {
		kind := rapid.IntRange(0, 19).Filter(func(k int) bool { return k != 18 }).Draw(rt, "kind") // 18 forgets what it has told others
		p := players[rapid.IntRange(0, 1).Draw(rt, "node")]
		_ = p.play(t.Context(), step{kind, rapid.IntRange(0, 59).Draw(rt, "n"), rapid.Uint32Range(1, 3).Draw(rt, "epoch")}) // some are refused
	}
	if rapid.Bool().Draw(rt, "meet") {
		hand(t, other, s)
	}
	if err := errors.Join(s.Close(), other.Close()); err != nil {
		rt.Fatal(err)
	}
	return o
}

// damages are what somebody may do to the tables with a tool for SQLite.
func damages() []string {
	return []string{
		"DELETE FROM users", "UPDATE users SET hash = NULL", "INSERT OR IGNORE INTO users SELECT 'stranger', algo, prop_memory, prop_iterations, " +
			"prop_threads, salt, hash, created_at, updated_at, hlc FROM users LIMIT 1",
		"DELETE FROM labels", "UPDATE labels SET definitions = 'no JSON'", "UPDATE labels SET version = version + 1",
		"DELETE FROM nodes", "UPDATE nodes SET name = 'x'", "DELETE FROM locations", "UPDATE locations SET description = 'x'",
		"DELETE FROM applications", "DELETE FROM applications WHERE closed_at IS NULL", "UPDATE applications SET closed_at = NULL",
		"UPDATE applications SET owner_name = 'x'", "UPDATE applications SET closed_at = 5 WHERE closed_at IS NULL",
		"DELETE FROM application_states", "DELETE FROM application_states WHERE id % 2 = 0", "UPDATE application_states SET status = 'ERROR'",
		"UPDATE OR IGNORE application_states SET application_uid = zeroblob(16) WHERE id % 3 = 0", "UPDATE application_states SET decision = '{'",
		"INSERT OR IGNORE INTO application_states (uid, application_uid, status, description, created_at, hlc, epoch, node_uid) " +
			"SELECT randomblob(16), uid, 'ERROR', 'x', 1, 1, 1, arbiter FROM applications",
		"DELETE FROM application_tasks", "UPDATE application_tasks SET created_at = 1, task = 'x'",
		"DELETE FROM resources", "UPDATE resources SET ip_addr = '0.0.0.0'", "UPDATE resources SET authentication = 'x'",
		"UPDATE resources SET uid = randomblob(16)", "UPDATE resources SET application_uid = zeroblob(16)",
		"DELETE FROM service_mappings", "UPDATE service_mappings SET redirect = 'x'",
	}
}

// TestRebuild: what a node wrote stays, byte by byte, and any damage to it is
// undone.
func TestRebuild(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		o := played(rt, t)
		file := filepath.Join(o.Folder, fileName)
		sound := checkFile(rt, file)
		before := dump(t, file, true)
		r, err := Rebuild(t.Context(), o)
		if err != nil || r.Changed() != 0 {
			rt.Fatalf("Rebuild of a sound database = %+v, %v, want nothing changed", r, err)
		}
		if diff := cmp.Diff(before, dump(t, file, true)); diff != "" {
			rt.Fatalf("a sound database changed (-before +after):\n%s", diff)
		}
		before = dump(t, file, false)
		for range rapid.IntRange(1, 3).Draw(rt, "damages") {
			alter(t, file, rapid.SampledFrom(damages()).Draw(rt, "damage"))
		}
		hurt := cmp.Diff(before, dump(t, file, false)) != ""
		if r, err = Rebuild(t.Context(), o); err != nil || hurt != (r.Changed() > 0) {
			rt.Fatalf("Rebuild = %+v, %v; damaged: %v", r, err, hurt)
		}
		if diff := cmp.Diff(before, dump(t, file, false)); diff != "" {
			rt.Fatalf("the rebuilt database is another one (-before +after):\n%s", diff)
		}
		if diff := cmp.Diff(sound, r.After.Findings); diff != "" {
			rt.Fatalf("check finds something else (-before +after):\n%s", diff)
		}
	})
}

func checkFile(rt *rapid.T, file string) []string {
	r, err := Check(context.Background(), CheckOptions{File: file, Node: testNode})
	if err != nil {
		rt.Fatal(err)
	}
	return r.Findings
}

// TestRebuildKeepsWhatIsNoTable: rows of a newer version, rows that wait, and
// applications that were never shared.
func TestRebuildKeepsWhatIsNoTable(t *testing.T) {
	o := testOptions(t)
	s := openStore(t, o)
	old := live(t, s, newLabel(t, s).UID)
	other := openOther(t, 2)
	waits := newApplication(t, other, newLabel(t, other).UID, "u")
	_, newer := replica.KeyOf(waits.Application)
	origin := replica.Origin{Node: model.UID{77}, Incarnation: 1}
	waits.States[0].NodeUID = origin.Node // its writer's
	state, err := replica.EncodeApplicationState(waits.States[0])
	if err != nil {
		t.Fatal(err)
	}
	rows := []replica.Row{
		{Kind: 99, Key: newer, Body: []byte(`{"x":1}`), Version: replica.Version{HLC: 1, Origin: origin, Seq: 1}},
		{Kind: replica.KindUser, Key: []byte("u9"), Body: []byte(`no JSON`), Version: replica.Version{HLC: 1, Origin: origin, Seq: 2}},
		{Kind: replica.KindApplicationState, Key: key(waits.States[0].UID), Body: state, Version: replica.Version{HLC: 1, Origin: origin, Seq: 3}},
	}
	if err := s.Replicate(t.Context(), []replica.Batch{{Origin: origin, From: 0, To: 3, Rows: rows}}); err != nil {
		t.Fatal(err)
	}
	vector := s.Vector()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(o.Folder, fileName)
	alter(t, file, "DELETE FROM sync_rows WHERE kind = 6", "DELETE FROM users")
	before := dump(t, file, true)
	r, err := Rebuild(t.Context(), o)
	if err != nil || len(r.After.Findings) > 0 || r.Unshared != 1 || r.Changed() != 0 {
		t.Errorf("Rebuild = %+v, %v, want one application that is not shared, and nothing changed", r, err)
	}
	told := map[string]Rebuilt{}
	for _, k := range r.Kinds {
		told[k.Kind] = k
	}
	if k := told["rows of kind 99"]; k.Rows != 1 {
		t.Errorf("of kind 99 it says %+v, want one row", k)
	}
	if told["users"].Unreadable != 1 || told[viewStates].Waiting != 1 {
		t.Errorf("it says %+v, want one user that is unreadable and one state that waits", told)
	}
	if diff := cmp.Diff(before, dump(t, file, true)); diff != "" {
		t.Errorf("tables changed (-before +after):\n%s", diff)
	}
	s = openStore(t, o)
	if e, err := s.Application(t.Context(), old); err != nil || !e.Done() {
		t.Errorf("the application that was not shared: %v, %v", e, err)
	}
	for o, seq := range vector {
		if s.Vector()[o] != seq {
			t.Errorf("the vector fell: %v, was %v", s.Vector(), vector)
		}
	}
}

// TestRebuildRefuses what it can not do, and leaves the file as it is.
func TestRebuildRefuses(t *testing.T) {
	lived := func(t *testing.T) Options {
		o := testOptions(t)
		s := openStore(t, o)
		live(t, s, newLabel(t, s).UID)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		return o
	}
	file := func(o Options) string { return filepath.Join(o.Folder, fileName) }
	t.Run("a node runs", func(t *testing.T) {
		o := lived(t)
		openStore(t, o)
		if _, err := Rebuild(t.Context(), o); !errors.Is(err, ErrInUse) {
			t.Errorf("Rebuild = %v, want ErrInUse", err)
		}
	})
	t.Run("nothing is there", func(t *testing.T) {
		o := testOptions(t)
		if _, err := Rebuild(t.Context(), o); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("Rebuild = %v, want that there is nothing", err)
		}
		if _, err := os.Stat(o.Folder); err == nil {
			t.Error("a refused rebuild made a folder")
		}
	})
	t.Run("of the version before", func(t *testing.T) {
		o := testOptions(t)
		s := openStore(t, o)
		unenrol(t, s)
		_ = s.Close() // its own rows are gone
		if _, err := Rebuild(t.Context(), o); !errors.Is(err, errUnshared) {
			t.Errorf("Rebuild = %v, want errUnshared", err)
		}
	})
	for name, damage := range map[string][]string{
		"a table is gone":           {"DROP TABLE labels"},
		"a record can not be read":  {"DELETE FROM users", "UPDATE allocations SET definition = 'no JSON'"},
		"the transaction can't end": {"DELETE FROM labels", "CREATE TRIGGER no BEFORE INSERT ON labels BEGIN SELECT RAISE(ABORT, 'no'); END"},
	} {
		t.Run(name, func(t *testing.T) {
			o := lived(t)
			alter(t, file(o), damage...)
			if name == "a table is gone" {
				if _, err := Rebuild(t.Context(), o); err == nil {
					t.Error("Rebuild succeeded")
				}
				return
			}
			before := dump(t, file(o), true)
			if r, err := Rebuild(t.Context(), o); err == nil || !strings.Contains(err.Error(), "as it was") || r.Changed() != 0 {
				t.Errorf("Rebuild = %+v, %v, want an error that says that nothing changed", r, err)
			}
			if diff := cmp.Diff(before, dump(t, file(o), true)); diff != "" {
				t.Errorf("a failed rebuild changed the database (-before +after):\n%s", diff)
			}
		})
	}
	t.Run("cancelled", func(t *testing.T) {
		o := lived(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
		defer cancel()
		<-ctx.Done()
		if _, err := Rebuild(ctx, o); err == nil {
			t.Error("Rebuild succeeded after its time was over")
		}
	})
}
