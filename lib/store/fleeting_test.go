package store

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// TestRemoteCommitsAreFleeting loses power after rows of others were taken in:
// vector and rows fall back together, and come again.
func TestRemoteCommitsAreFleeting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, disk := openOther(t, 1), NewDisk()
		open := func() *Store {
			s, err := OpenMemory(t.Context(), Options{Node: testNode, Logger: quiet()}, disk)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		s := open()
		newLabel(t, s)
		newLabel(t, a)
		hand(t, a, s)
		disk.Crash()
		_ = s.Close() // it has no disk any more
		s = open()
		if s.Vector()[a.Origin()] != 0 || len(s.Labels()) != 1 {
			t.Errorf("after the crash the vector is %v with %d labels, want only the own", s.Vector(), len(s.Labels()))
		}
		hand(t, a, s)
		newLabel(t, s) // durable, and what was before it
		disk.Crash()
		_ = s.Close()
		s = open()
		if s.Vector()[a.Origin()] != 1 || len(s.Labels()) != 3 {
			t.Errorf("after the second crash the vector is %v with %d labels, want all", s.Vector(), len(s.Labels()))
		}
		_ = s.Close()
		_ = a.Close()
	})
}

// TestDurabilityOfSQLite looks at what a commit is worth.
func TestDurabilityOfSQLite(t *testing.T) {
	a, s := openOther(t, 1), openStore(t, testOptions(t))
	mode := func() (mode int) {
		err := s.alone(context.Background(), func() error {
			modes, err := column[int](context.Background(), s.db.writer, "PRAGMA synchronous")
			mode = modes[0]
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return mode
	}
	newLabel(t, a)
	hand(t, a, s)
	if got := mode(); got != 1 {
		t.Errorf("synchronous = %d for rows of others, want 1 (NORMAL)", got)
	}
	newLabel(t, s)
	if got := mode(); got != 2 {
		t.Errorf("synchronous = %d for own rows, want 2 (FULL)", got)
	}
}

// TestVectorChanged signals once for what came since.
func TestVectorChanged(t *testing.T) {
	a, s := openOther(t, 1), openOther(t, 2)
	signal := s.VectorChanged()
	newLabel(t, s)
	newLabel(t, a)
	hand(t, a, s)
	<-signal.C()
	<-s.Advanced()
	select {
	case <-signal.C():
		t.Error("a second signal was kept")
	default:
	}
	signal.Close()
	newLabel(t, s)
	select {
	case <-signal.C():
		t.Error("a signal came after Close")
	default:
	}
}

// TestReplicateUnderLoad takes rows in while others are written and one of the
// own requests fails in each batch, which undoes that one alone.
func TestReplicateUnderLoad(t *testing.T) {
	eachEngine(t, func(t *testing.T, reopen func() *Store) {
		a, s := openOther(t, 1), reopen()
		label := newLabel(t, a)
		for range 60 {
			live(t, a, label.UID)
		}
		mine := newLabel(t, s)
		app := newApplication(t, s, mine.UID, "u").Application.UID
		update(t, s, app, elected(app, 1))
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 20 {
					_, err := s.Update(t.Context(), app, func(*model.Entry) (model.Change, error) { return elected(app, 1), nil })
					if !errors.Is(err, ErrExists) {
						t.Errorf("Update = %v, want %v", err, ErrExists)
					}
				}
			})
		}
		for origin, seq := range a.Vector() {
			for at := s.Vector()[origin]; at < seq; at = s.Vector()[origin] {
				b, err := a.Rows(t.Context(), origin, at, replica.Limit{Rows: 7, Bytes: 1 << 20})
				if err != nil {
					t.Fatal(err)
				}
				if err := s.Replicate(t.Context(), []replica.Batch{b}); err != nil {
					t.Fatal(err)
				}
			}
		}
		wg.Wait()
		if got, want := len(rowsOf(t, s, a.Origin())), len(rowsOf(t, a, a.Origin())); got != want || s.Vector()[a.Origin()] != a.Vector()[a.Origin()] {
			t.Errorf("%d rows came, want %d", got, want)
		}
	})
}

// TestMuchAtOnce takes in a batch that is larger than one request of the writer.
func TestMuchAtOnce(t *testing.T) {
	a, s := openOther(t, 1), openOther(t, 2)
	label := newLabel(t, a)
	for range 150 {
		live(t, a, label.UID)
	}
	b := rowsFrom(t, a)
	if len(b.Rows) < 2*maxPiece {
		t.Fatalf("%d rows are not much", len(b.Rows))
	}
	before := s.commits.Load()
	if err := s.Replicate(t.Context(), []replica.Batch{b}); err != nil {
		t.Fatal(err)
	}
	if n := s.commits.Load() - before; n < 3 || len(rowsOf(t, s, a.Origin())) != len(b.Rows) {
		t.Errorf("%d rows came in %d commits, want %d in at least 3", len(rowsOf(t, s, a.Origin())), n, len(b.Rows))
	}
}
