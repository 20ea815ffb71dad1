package store

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// oldSchema is the one of contract 31.
const oldSchema = `
CREATE TABLE users (created_at datetime, algo text, prop_memory integer, prop_iterations integer, prop_threads integer, salt blob, hash blob, name text, updated_at datetime, PRIMARY KEY (name));
CREATE TABLE nodes (uid text, address text, created_at datetime, definition blob, location_name text, name text UNIQUE, pubkey blob UNIQUE, updated_at datetime, PRIMARY KEY (uid));
CREATE TABLE labels (uid text, created_at datetime, definitions blob, metadata text, name text, version integer, PRIMARY KEY (uid));
CREATE UNIQUE INDEX idx_label_uniq ON labels (name, version);
CREATE TABLE applications (uid text, created_at datetime, label_uid text, metadata text, owner_name text, PRIMARY KEY (uid));
CREATE TABLE application_states (uid text, application_uid text, created_at datetime, description text, status text, PRIMARY KEY (uid));
CREATE TABLE application_tasks (uid text, application_uid text, created_at datetime, options text, result text, task text, updated_at datetime, "when" text, PRIMARY KEY (uid));
CREATE TABLE resources (uid text, application_uid text, authentication blob, created_at datetime, definition_index integer, hw_addr text, identifier text, ip_addr text, label_uid text, metadata text, node_uid text, updated_at datetime, PRIMARY KEY (uid));
CREATE TABLE resource_accesses (uid text, address text, created_at datetime, key text, password text, resource_uid text, username text, PRIMARY KEY (uid));
CREATE TABLE votes (uid text, application_uid text, available integer, created_at datetime, node_uid text, rand integer, round integer, PRIMARY KEY (uid));
CREATE UNIQUE INDEX idx_vote_uniq ON votes (application_uid, node_uid, round);
CREATE TABLE locations (created_at datetime, description text, name text, PRIMARY KEY (name));
CREATE TABLE service_mappings (uid text, application_uid text, created_at datetime, location_name text, redirect text, service text, PRIMARY KEY (uid));
CREATE UNIQUE INDEX idx_mapping_uniq ON service_mappings (application_uid, location_name, service);
`

const (
	oldDefinitions = `[{"driver":"test","options":{"z":12345678901234567890,"a":1.50},"resources":{"cpu":2,"cpu_overbook":false,"disks":null,` +
		`"lifetime":"","multitenancy":false,"network":"","node_filter":[],"ram":4,"ram_overbook":false}},` +
		`{"driver":"aws/dev","options":{},"resources":{"cpu":8,"ram":16,"node_filter":[]}}]`
	oldMetadata = `{"Z":  1.0,"a":12345678901234567890}`
)

// oldUIDOf makes readable UIDs of the fixture.
func oldUIDOf(kind, n int) string { return fmt.Sprintf("01020304-0506-4%03x-8000-%012x", kind, n) }

// oldAt is a time as v0.7 wrote it, n seconds into the fixture.
func oldAt(n int) string {
	return time.Date(2026, 11, 20, 10, 0, 0, 935066403, time.UTC).Add(time.Duration(n) * time.Second).Format("2006-01-02 15:04:05.999999999-07:00")
}

// oldLives are histories as v0.7 left them, with what they have to become.
var oldLives = []struct {
	name     string
	states   string
	resource bool
	want     model.Status
	open     bool // an allocation is open
	failure  string
	waiting  bool
}{
	{name: "waiting", states: "NEW", want: model.StatusNew, waiting: true},
	{name: "no state at all", states: "", want: model.StatusNew, waiting: true},
	{name: "allocated", states: "NEW ELECTED ALLOCATED", resource: true, want: model.StatusAllocated, open: true},
	{name: "finished", states: "NEW ELECTED ALLOCATED DEALLOCATE DEALLOCATED", want: model.StatusDeallocated},
	{name: "failed", states: "NEW ELECTED ERROR", want: model.StatusError},
	{name: "recalled while it waited", states: "NEW RECALLED", want: model.StatusRecalled},
	{name: "recalled in time", states: "NEW ELECTED RECALLED", want: model.StatusRecalled},
	{name: "lost recall", states: "NEW ELECTED RECALLED ALLOCATED", resource: true, want: model.StatusRecalled, open: true},
	{name: "lost recall, resource gone", states: "NEW ELECTED RECALLED ALLOCATED", want: model.StatusDeallocated},
	{name: "stuck elected", states: "NEW ELECTED", want: model.StatusError},
	{name: "died after the resource", states: "NEW ELECTED", resource: true, want: model.StatusElected, open: true, failure: descNotCleaned},
	{name: "stuck deallocate", states: "NEW ELECTED ALLOCATED DEALLOCATE", resource: true, want: model.StatusDeallocate, open: true},
	{name: "stuck deallocate, resource gone", states: "NEW ELECTED ALLOCATED DEALLOCATE", want: model.StatusDeallocated},
	{name: "allocated, resource gone", states: "NEW ELECTED ALLOCATED", want: model.StatusError},
	{name: "finished, resource left", states: "NEW ELECTED ALLOCATED ERROR", resource: true, want: model.StatusError, open: true},
	{name: "no elected row", states: "NEW ALLOCATED", resource: true, want: model.StatusAllocated, open: true},
}

// oldDatabase makes a v0.7 database in the folder and leaves it with its -wal,
// as a node that was killed does.
func oldDatabase(t testing.TB, folder string) {
	t.Helper()
	if err := os.MkdirAll(folder, 0o750); err != nil {
		t.Fatal(err)
	}
	aside := filepath.Join(t.TempDir(), fileName)
	db, err := sql.Open(driverName, uri(aside)+"?_pragma=journal_mode(WAL)&_pragma=wal_autocheckpoint(0)")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	exec := func(query string, args ...any) {
		t.Helper()
		if _, err := db.Exec(query, args...); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
	}
	exec(oldSchema)
	exec(`INSERT INTO users VALUES (?,'Argon2',524288,1,1,?,?,'admin',?)`, oldAt(0), []byte{1, 0, 2}, bytes.Repeat([]byte{7}, 32), oldAt(1))
	exec(`INSERT INTO nodes VALUES (?,'127.0.0.1:8001',?,?,'loc','node-1',?,?)`, testNode.String(), oldAt(0), []byte(`{"cpu":[]}`), []byte{0x30, 1}, oldAt(2))
	exec(`INSERT INTO labels VALUES (?,?,?,'{}','xcode',7)`, oldUIDOf(1, 1), oldAt(3), []byte(oldDefinitions))
	exec(`INSERT INTO locations VALUES ('2026-11-20 12:00:00.5+02:00','here','loc')`)
	exec(`INSERT INTO service_mappings VALUES (?,?,?,'loc','127.0.0.1:9','svc')`, oldUIDOf(2, 1), model.NilUID.String(), oldAt(5))
	for i, life := range oldLives {
		insertOldLife(exec, i, life.states, life.resource)
	}
	exec(`INSERT INTO application_states VALUES (?,?,?,'orphan','NEW')`, oldUIDOf(9, 1), oldUIDOf(9, 2), oldAt(9))
	for _, name := range []string{"", "-wal"} {
		b, err := os.ReadFile(aside + name)
		if err == nil {
			err = os.WriteFile(filepath.Join(folder, fileName+name), b, 0o640)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func insertOldLife(exec func(string, ...any), i int, states string, resource bool) {
	app := oldUIDOf(3, i)
	exec(`INSERT INTO applications VALUES (?,?,?,?,'u')`, app, oldAt(100*i+10), oldUIDOf(1, 1), oldMetadata)
	names := strings.Fields(states)
	for j := len(names) - 1; j >= 0; j-- { // the order of rows means nothing
		exec(`INSERT INTO application_states VALUES (?,?,?,'d',?)`, oldUIDOf(0x100+i, j), app, oldAt(100*i+20+j), names[j])
	}
	exec(`INSERT INTO application_tasks VALUES (?,?,?,'{"full":true}','{}','snapshot',?,'DEALLOCATE')`, oldUIDOf(4, i), app, oldAt(100*i+30), oldAt(100*i+30))
	exec(`INSERT INTO votes VALUES (?,?,0,?,?,1,0)`, oldUIDOf(5, i), app, oldAt(100*i+15), testNode.String())
	if resource {
		exec(`INSERT INTO resources VALUES (?,?,?,?,1,'hw','i-123','10.0.0.1',?,?,?,?)`, oldUIDOf(6, i), app,
			[]byte(`{"username":"u","password":"p","port":0,"key":""}`), oldAt(100*i+40), oldUIDOf(1, 1), oldMetadata, testNode.String(), oldAt(100*i+41))
		exec(`INSERT INTO resource_accesses VALUES (?,'a',?,'k','p',?,'u')`, oldUIDOf(7, i), oldAt(1), oldUIDOf(6, i))
	}
}

func openOld(t testing.TB) *Store {
	t.Helper()
	o := testOptions(t)
	oldDatabase(t, o.Folder)
	return openStore(t, o)
}

func TestAdoptLives(t *testing.T) {
	s := openOld(t)
	s = reopen(t, s) // nothing depends on what the adoption left in memory
	for i, tt := range oldLives {
		t.Run(tt.name, func(t *testing.T) {
			uid := model.UID{}
			if err := uid.UnmarshalText([]byte(oldUIDOf(3, i))); err != nil {
				t.Fatal(err)
			}
			e, err := s.Application(t.Context(), uid)
			if err != nil {
				t.Fatal(err)
			}
			if e.Fold.Status() != tt.want || e.Fold.Waiting() != tt.waiting {
				t.Errorf("status = %s, waiting = %v, want %s, %v", e.Fold.Status(), e.Fold.Waiting(), tt.want, tt.waiting)
			}
			if got := string(e.Application.Metadata); got != oldMetadata {
				t.Errorf("metadata = %s, want it byte for byte: %s", got, oldMetadata)
			}
			if allocated := tt.want == model.StatusAllocated; allocated != (e.Resource != nil) {
				t.Errorf("Resource = %v", e.Resource)
			}
			checkOldEnd(t, e, tt.open || tt.waiting, tt.open, tt.failure)
		})
	}
}

// checkOldEnd checks what is left to do for an adopted application.
func checkOldEnd(t *testing.T, e *model.Entry, alive, open bool, failure string) {
	t.Helper()
	if e.Done() == alive {
		t.Errorf("Done() = %v, want %v; fold %+v", e.Done(), !alive, e.Fold)
	}
	if ended := e.Tasks[0].Ended(); ended == alive {
		t.Errorf("task ended = %v, want %v", ended, !alive)
	}
	if !open {
		if n := len(e.OpenAllocations()); n != 0 {
			t.Errorf("%d open allocations, want none", n)
		}
		return
	}
	a, ok := e.Allocation(1)
	if !ok || !a.Open() {
		t.Fatalf("allocation of epoch 1 = %+v, want an open one", a)
	}
	if e.Fold.Grant == nil || e.Fold.Grant.Decision == nil || e.Fold.Grant.Decision.Winner != testNode {
		t.Errorf("grant = %+v, want one for this node", e.Fold.Grant)
	}
	want := model.Allocation{
		ApplicationUID: e.Application.UID, Epoch: 1, NodeUID: testNode, LabelUID: e.Application.LabelUID, DefinitionIndex: 1,
		Definition: model.LabelDefinition{Driver: "aws/dev", Options: json.RawMessage(`{}`), Resources: model.Resources{
			CPU: 8, RAM: 16, NodeFilter: []string{},
		}},
		Metadata: json.RawMessage(oldMetadata), LabelMetadata: json.RawMessage(`{}`), Identifier: "i-123", Failure: failure,
		CreatedAt: a.CreatedAt,
	}
	if diff := cmp.Diff(want, a); diff != "" {
		t.Errorf("allocation (-want +got):\n%s", diff)
	}
}

func TestAdoptRows(t *testing.T) {
	s := openOld(t)
	u, ok := s.UserByName("admin")
	wantHash := model.PasswordHash{Algo: "Argon2", Memory: 524288, Iterations: 1, Threads: 1, Salt: []byte{1, 0, 2}, Hash: bytes.Repeat([]byte{7}, 32)}
	if diff := cmp.Diff(wantHash, u.Hash); !ok || diff != "" {
		t.Errorf("admin's hash (-want +got):\n%s", diff)
	}
	n, ok := s.Node()
	if want := time.Date(2026, 11, 20, 10, 0, 2, 935066403, time.UTC); !ok || n.Name != "node-1" || !n.UpdatedAt.Equal(want) || string(n.Definition) != `{"cpu":[]}` {
		t.Errorf("node = %+v, want updated_at %s", n, want)
	}
	stored, err := column[string](t.Context(), s.db.readers, "SELECT definitions FROM labels")
	if err != nil || len(stored) != 1 || stored[0] != oldDefinitions {
		t.Errorf("definitions = %s, %v, want them byte for byte", stored, err)
	}
	if l := s.Labels(); len(l) != 1 || l[0].UID.String() != oldUIDOf(1, 1) || l[0].Version != 7 {
		t.Errorf("labels = %+v", l)
	}
	if l, ok := s.Location("loc"); !ok || !l.CreatedAt.Equal(time.Date(2026, 11, 20, 10, 0, 0, 5e8, time.UTC)) {
		t.Errorf("location = %+v, want the other zone's time understood", l)
	}
	if got, err := names(s.ListServiceMappings(t.Context(), Query{}), func(m model.ServiceMapping) string { return m.Service }); err != nil || len(got) != 1 {
		t.Errorf("mappings = %v, %v", got, err)
	}
	want, err := os.ReadFile("schema.sql")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), schemaText(t, s)); diff != "" {
		t.Errorf("adopted schema is not ours (-want +got):\n%s", diff)
	}
	if mode, err := column[int](t.Context(), s.db.writer, "PRAGMA auto_vacuum"); err != nil || mode[0] != 2 {
		t.Errorf("auto_vacuum = %v, %v, want an adopted file to be able to shrink", mode, err)
	}
	e := newApplication(t, s, s.Labels()[0].UID, "u")
	for _, old := range s.Open() {
		if old.Application.UID != e.Application.UID && old.Application.HLC >= e.Application.HLC {
			t.Errorf("a new application is not newer than %s", old.Application.UID)
		}
	}
}

func TestAdoptLeavesACopy(t *testing.T) {
	s := openOld(t)
	copies, err := filepath.Glob(s.db.path + ".v0.7-*Z")
	if err != nil || len(copies) != 1 {
		t.Fatalf("copies = %v, %v, want one", copies, err)
	}
	if info, err := os.Stat(copies[0]); err != nil || info.Mode().Perm() != modeFile {
		t.Errorf("mode of the copy: %v, %v, want %v", info.Mode(), err, modeFile)
	}
	db, err := sql.Open(driverName, uri(copies[0]))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	apps, err := column[string](t.Context(), db, "SELECT uid FROM applications")
	if err != nil || len(apps) != len(oldLives) {
		t.Errorf("copy has applications %v, %v, want %d", apps, err, len(oldLives))
	}
}

// TestAdoptIsAllOrNothing adopts a database whose last part can not be read:
// the error names it, and the database is as it was.
func TestAdoptIsAllOrNothing(t *testing.T) {
	o := testOptions(t)
	oldDatabase(t, o.Folder)
	path := filepath.Join(o.Folder, fileName)
	change := func(query string) {
		db, err := sql.Open(driverName, uri(path))
		if err != nil {
			t.Fatal(err)
		}
		_, err = db.Exec(query)
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	change("UPDATE resources SET authentication = '{broken' WHERE rowid = (SELECT max(rowid) FROM resources)")
	now := time.Now()
	o.Now = func() time.Time { now = now.Add(time.Second); return now }
	for range 3 { // a service is started again and again
		if s, err := Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "resource of 01020304") {
			t.Fatalf("Open = %v, %v, want an error that names the resource", s, err)
		}
	}
	if copies, err := filepath.Glob(path + ".v0.7-*"); err != nil || len(copies) != 1 {
		t.Errorf("copies after three tries: %v, %v, want one", copies, err)
	}
	change("UPDATE resources SET authentication = '{}'")
	log := new(bytes.Buffer)
	o.Logger = slog.New(slog.NewTextHandler(log, nil))
	s := openStore(t, o)
	if n, err := countRows(s, "applications"); err != nil || n != len(oldLives) {
		t.Errorf("%d applications, %v, want %d", n, err, len(oldLives))
	}
	if !strings.Contains(log.String(), "belong to nothing") {
		t.Errorf("log = %s, want a word on the orphaned state", log)
	}
}

func countRows(s *Store, table string) (int, error) {
	n, err := column[int](context.Background(), s.db.readers, "SELECT count(*) FROM "+table)
	if err != nil {
		return 0, err
	}
	return n[0], nil
}
