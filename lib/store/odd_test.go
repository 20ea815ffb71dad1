package store

import (
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// TestAdoptOddRows: what a damaged v0.7 database has, or one whose clock was wrong, makes no row that other nodes refuse: a
// name of nothing stays this node's alone, and times that can not be become ones that can.
func TestAdoptOddRows(t *testing.T) {
	o := testOptions(t)
	oldDatabase(t, o.Folder)
	odd := []model.UID{{0x33, 1}, {0x33, 2}}
	db, err := sql.Open(driverName, uri(filepath.Join(o.Folder, fileName)))
	if err != nil {
		t.Fatal(err)
	}
	exec := func(query string, args ...any) {
		t.Helper()
		if _, err := db.Exec(query, args...); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
	}
	exec(`INSERT INTO users VALUES (?,'Argon2',524288,1,1,?,?,'',?)`, oldAt(0), []byte{1}, []byte{2}, oldAt(1))
	exec(`INSERT INTO locations VALUES (?,'here','')`, oldAt(0))
	for i, created := range []string{"1969-12-31 10:00:00+00:00", "2099-01-01 10:00:00+00:00"} {
		exec(`INSERT INTO applications VALUES (?,?,?,'{}','u')`, odd[i].String(), created, oldUIDOf(1, 1))
		exec(`INSERT INTO application_states VALUES (?,?,?,'d','NEW')`, oldUIDOf(0x200+i, 1), odd[i].String(), created)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s := openStore(t, o)
	if ahead := time.Until(time.Unix(0, int64(s.clock.Last()))); ahead > time.Minute {
		t.Errorf("the clock is %v ahead, because an old row said so", ahead)
	}
	other := openOther(t, 7)
	hand(t, s, other)
	for _, app := range odd {
		if e, err := other.Application(t.Context(), app); err != nil || !e.Fold.Waiting() {
			t.Errorf("application %s is %v, %v on another node, want it waiting", app, e, err)
		}
	}
	if _, ok := s.UserByName(""); !ok {
		t.Error("the user without a name is gone here")
	}
}

// TestNoRowThatOthersRefuse: a row that every receiver would refuse, and end the link for, is not written at all.
func TestNoRowThatOthersRefuse(t *testing.T) {
	eachEngine(t, func(t *testing.T, reopen func() *Store) {
		s, other := reopen(), openOther(t, 7)
		before := s.Vector()[s.Origin()]
		if _, err := s.PutUser(t.Context(), "", func(*model.User) (model.User, error) { return model.User{}, nil }); err == nil {
			t.Error("a user without a name is stored")
		}
		if _, err := s.PutLocation(t.Context(), model.Location{Name: string(make([]byte, replica.MaxKey+1))}); err == nil {
			t.Error("a location with a name that is too long for a row is stored")
		}
		if _, ok := s.UserByName(""); ok || s.Vector()[s.Origin()] != before {
			t.Errorf("something is left: the vector went from %d to %d", before, s.Vector()[s.Origin()])
		}
		newLabel(t, s)
		hand(t, s, other)
		if len(other.Labels()) != 1 {
			t.Errorf("%d labels on another node, want what came after", len(other.Labels()))
		}
	})
}
