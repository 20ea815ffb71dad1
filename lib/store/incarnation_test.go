package store

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

func TestMarkerTellsOtherDatabases(t *testing.T) {
	file := fileMark{Boot: "b", Inode: 5, Size: 7, MTime: 9}
	with := func(change func(*fileMark)) fileMark { f := file; change(&f); return f }
	running := &marker{Running: true, Session: 3, File: file}
	opening := &marker{Running: true, Session: 3, Opening: true, Previous: 2, File: file}
	stopped := &marker{Session: 3, File: file}
	for _, tt := range []struct {
		name    string
		marker  *marker
		session int64
		file    fileMark
		want    bool
	}{
		{"the first start", nil, 0, file, false},
		{"no marker beside a database that had one", nil, 3, file, true},
		{"an unreadable marker", &marker{}, 3, file, true},
		{"a killed process", running, 3, with(func(f *fileMark) { f.Size, f.MTime = 1, 1 }), false},
		{"a system that crashed", running, 3, with(func(f *fileMark) { f.Boot = "c" }), true},
		{"a system that is not known", &marker{Running: true, Session: 3}, 3, fileMark{}, true},
		{"another file after a kill", running, 3, with(func(f *fileMark) { f.Inode = 6 }), true},
		{"an older copy in the same inode", running, 2, file, true},
		{"killed while it opened, before the write", opening, 2, file, false},
		{"killed while it opened, after the write", opening, 3, file, false},
		{"an older copy, killed while it opened", opening, 1, file, true},
		{"killed at the first start", &marker{Running: true, Session: 3, Opening: true, File: file}, 0, file, false},
		{"stopped", stopped, 3, with(func(f *fileMark) { f.Boot = "c" }), false},
		{"stopped, and written by another program", stopped, 3, with(func(f *fileMark) { f.MTime = 8 }), true},
		{"stopped, and of another size", stopped, 3, with(func(f *fileMark) { f.Size = 8 }), true},
		{"stopped, and another file", stopped, 3, with(func(f *fileMark) { f.Inode = 6 }), true},
		{"stopped, with a database of before the marker", stopped, 0, file, true},
	} {
		if got := tt.marker.other(tt.session, tt.file); got != tt.want {
			t.Errorf("%s: other = %t, want %t", tt.name, got, tt.want)
		}
	}
}

func wantIncarnation(t *testing.T, s *Store, incarnation uint32, bumped bool) {
	t.Helper()
	if s.Origin().Incarnation != incarnation || s.Bumped() != bumped {
		t.Fatalf("incarnation is %d, bumped %t, want %d, %t", s.Origin().Incarnation, s.Bumped(), incarnation, bumped)
	}
}

func copyBytes(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	out, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestRestoredCopiesTakeAnIncarnation: starts do not, all ways to put an older
// state back do, and none takes a number twice.
func TestRestoredCopiesTakeAnIncarnation(t *testing.T) {
	o := testOptions(t)
	file := filepath.Join(o.Folder, fileName)
	old := filepath.Join(t.TempDir(), "old")
	s := openStore(t, o)
	wantIncarnation(t, s, 1, false)
	label := newLabel(t, s)
	if _, err := Backup(t.Context(), BackupOptions{Folder: o.Folder, File: old + ".backup", Now: time.Now()}); err != nil {
		t.Fatal(err)
	}
	s = reopen(t, s)
	wantIncarnation(t, s, 1, false)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	copyBytes(t, file, old)
	s = reopen(t, s)
	newLabel(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for i, put := range []func(){
		func() { copyBytes(t, old, file) },
		func() { copyBytes(t, old, file+"2"); _ = os.Rename(file+"2", file) },
		func() { _ = os.Remove(file); copyBytes(t, old+".backup", file) },
		func() { _ = os.Remove(filepath.Join(o.Folder, markerName)) },
		func() { _ = os.WriteFile(filepath.Join(o.Folder, markerName), []byte("{"), 0o600) },
	} {
		put()
		s = openStore(t, o)
		want := uint32(i + 2) //nolint:gosec // small
		if i == 4 {
			want = s.Origin().Incarnation // an unreadable marker tells none, the database does
		}
		wantIncarnation(t, s, want, true)
		if _, ok := s.Label(label.UID); !ok {
			t.Error("the label of the copy is gone")
		}
		newLabel(t, s)
		if s.Vector()[s.Origin()] != 1 {
			t.Errorf("vector is %v, want the new origin at 1", s.Vector())
		}
		s = reopen(t, s)
		wantIncarnation(t, s, want, false)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestReincarnate puts an older state back without the marker's knowing, writes,
// and hears then of a neighbour that knows more.
func TestReincarnate(t *testing.T) {
	for _, p := range places(filepath.Join(t.TempDir(), "db")) {
		t.Run(p.name, func(t *testing.T) {
			now := time.Now()
			open := func() *Store {
				s, err := p.open(Options{Node: testNode, Logger: quiet(), Now: func() time.Time { now = now.Add(time.Millisecond); return now }})
				if err != nil {
					t.Fatal(err)
				}
				return s
			}
			s, other := open(), openOther(t, 1)
			first := newLabel(t, s)
			hand(t, s, other)
			began, origin := s.Vector()[s.Origin()], s.Origin()
			lost := newLabel(t, s)
			hand(t, s, other)
			// The older state: the last row was never written.
			if err := s.alone(t.Context(), func() error { return s.forget(origin, began, lost.UID[:]) }); err != nil {
				t.Fatal(err)
			}
			mine := newLabel(t, s)
			if err := s.Reincarnate(t.Context(), origin, other.Vector()[origin]-1); err != nil || s.Origin() != origin {
				t.Fatalf("Reincarnate although nobody knows more = %v, %v", s.Origin(), err)
			}
			newer := newLabel(t, other)
			hand(t, other, s)
			for range 2 {
				if err := s.Reincarnate(t.Context(), origin, other.Vector()[origin]+5); err != nil {
					t.Fatal(err)
				}
			}
			wantIncarnation(t, s, 2, true)
			hand(t, other, s)
			hand(t, s, other)
			if diff := gocmp.Diff(s.Vector(), other.Vector()); diff != "" {
				t.Errorf("vectors differ:\n%s", diff)
			}
			wantBoth(t, s, other, []string{first.Name, lost.Name, mine.Name, newer.Name})
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = open()
			wantIncarnation(t, s, 2, false)
			if diff := gocmp.Diff(other.Vector(), withoutZero(s.Vector())); diff != "" {
				t.Errorf("vector after a start:\n%s", diff)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func withoutZero(v replica.Vector) replica.Vector {
	for o, seq := range v {
		if seq == 0 {
			delete(v, o)
		}
	}
	return v
}

// forget makes the store one in which the rows after a number were never
// written: as if an older copy had been put back and opened.
func (s *Store) forget(origin replica.Origin, to uint64, label []byte) error {
	b := newBatch(s)
	if err := b.begin(); err != nil {
		return err
	}
	if err := s.engine.dropRow(rowKey{replica.KindLabel, string(label)}); err != nil {
		return err
	}
	if err := s.engine.deleteLabel([16]byte(label)); err != nil {
		return err
	}
	b.vector[origin] = to
	if err := b.commit(); err != nil {
		return err
	}
	s.memory.mu.Lock()
	defer s.memory.mu.Unlock()
	delete(s.memory.labels.rows, [16]byte(label))
	s.memory.vector[origin], s.began = to, to
	return nil
}

// TestRestoresConverge plays random histories in which disks are put back to
// older states: when all is exchanged and compared all hold the same, and
// nothing is lost that somebody has.
func TestRestoresConverge(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f := newFarm(rt, rapid.IntRange(2, 3).Draw(rt, "members"), "")
		copies := make([]*Disk, len(f.members))
		for range rapid.IntRange(1, 80).Draw(rt, "steps") {
			f.step(rt)
			i := rapid.IntRange(0, len(f.members)-1).Draw(rt, "disk")
			m := f.members[i]
			switch what := rapid.IntRange(0, 9).Draw(rt, "what"); {
			case what == 0:
				copies[i] = m.disk.Copy()
			case what == 1 && copies[i] != nil:
				was := m.s.Origin()
				f.restore(rt, m, copies[i])
				if m.s.Origin().Incarnation <= was.Incarnation || !m.s.Bumped() {
					rt.Fatalf("origin after a restore is %v, before it was %v", m.s.Origin(), was)
				}
			}
		}
		f.calm(rt)
		f.repair(rt)
		rows := f.members[0].allRows(rt)
		for i, m := range f.members[1:] {
			if diff := gocmp.Diff(rows, m.allRows(rt)); diff != "" {
				rt.Fatalf("rows of members 0 and %d differ:\n%s", i+1, diff)
			}
		}
		f.compareDigests(rt)
		f.shut(rt)
	})
}

// restore starts a member on an older state of its disk.
func (f *farm) restore(t *rapid.T, m *member, old *Disk) {
	for _, row := range m.allRows(t) {
		if row.Deleted {
			f.undone[rowKey{row.Kind, string(row.Key)}] = true
		}
	}
	m.shut(t)
	m.disk.Restore(old)
	m.open(t)
}

// repair gives all rows of each member to all others, as a comparison that finds
// differences does. Vectors alone can not tell of a row that its origin had
// replaced or deleted, and said so, before its disk was put back to where the row
// stands again; nothing else that is written once is ever passed over.
func (f *farm) repair(t *rapid.T) {
	for _, from := range f.members {
		for _, to := range f.members {
			news, err := to.s.MergeRows(context.Background(), from.allRows(t), always)
			if err != nil {
				t.Fatalf("MergeRows: %v", err)
			}
			for _, row := range news {
				if row.Kind.Immutable() && !f.undone[rowKey{row.Kind, string(row.Key)}] {
					t.Fatalf("member %d lacks a row of kind %d that is written once", to.opts.Node[0], row.Kind)
				}
			}
		}
	}
}

// TestReplacedBeforeARestore: vectors pass over a row that was replaced; if its
// origin's disk is put back to before that, a comparison brings it.
func TestReplacedBeforeARestore(t *testing.T) {
	ctx := context.Background()
	location := func(s *Store) (remove func() (bool, error), err error) {
		_, err = s.PutLocation(ctx, model.Location{Name: "here"})
		return func() (bool, error) { return s.DeleteLocation(ctx, "here") }, err
	}
	label := func(s *Store) (remove func() (bool, error), err error) {
		l, err := s.CreateLabel(ctx, model.Label{Name: "l", Version: 1, Definitions: []model.LabelDefinition{}, Metadata: []byte("{}")})
		return func() (bool, error) { return s.DeleteLabel(ctx, l.UID) }, err
	}
	for name, write := range map[string]func(*Store) (remove func() (bool, error), err error){"location": location, "label": label} {
		t.Run(name, func(t *testing.T) { replacedBeforeARestore(t, write) })
	}
}

func replacedBeforeARestore(t *testing.T, write func(*Store) (remove func() (bool, error), err error)) {
	t.Helper()
	rapid.Check(t, func(rt *rapid.T) {
		f := newFarm(rt, 2, "")
		writer, other := f.members[0], f.members[1]
		remove, err := write(writer.s)
		if err != nil {
			rt.Fatal(err)
		}
		old := writer.disk.Copy()
		if removed, err := remove(); err != nil || !removed {
			rt.Fatalf("remove = %v, %v", removed, err)
		}
		if b, err := writer.s.Rows(context.Background(), writer.s.Origin(), 0, replica.Limit{Rows: 1000, Bytes: 1 << 20}); err != nil || len(b.Rows) != 1 {
			rt.Fatalf("Rows = %+v, %v, want the tombstone alone", b, err)
		} else if b.To, b.Rows = b.To-1, nil; other.s.Replicate(context.Background(), []replica.Batch{b}) != nil { // as far as one message reached
			rt.Fatal("batch refused")
		}
		f.restore(rt, writer, old)
		f.calm(rt)
		if rows := other.allRows(rt); len(rows) != 0 {
			rt.Fatalf("the exchange brought %+v: then it needs no comparison", rows)
		}
		f.repair(rt)
		f.compareDigests(rt)
		if rows := other.allRows(rt); len(rows) != 1 {
			rt.Fatalf("the other one has %+v, want the row that stands again", rows)
		}
	})
}

// TestMarkerIsWhatIsWritten reads the file of an open and of a closed store.
func TestMarkerIsWhatIsWritten(t *testing.T) {
	o := testOptions(t)
	s, err := Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	read := func() (m marker) {
		text, err := os.ReadFile(filepath.Join(o.Folder, markerName))
		if err != nil || json.Unmarshal(text, &m) != nil {
			t.Fatalf("marker is %s, %v", text, err)
		}
		return m
	}
	if m := read(); !m.Running || m.Opening || m.Incarnation != 1 || m.Session == 0 {
		t.Errorf("marker of an open store is %+v", m)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if m := read(); m.Running || m.File.Size == 0 {
		t.Errorf("marker of a closed store is %+v", m)
	}
}
