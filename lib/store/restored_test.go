package store

import (
	"errors"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// restored opens a copy of a store with one application that waits, and one
// more that came after the restore.
func restored(t *testing.T) (s *Store, old, young model.Application) {
	t.Helper()
	from := openStore(t, testOptions(t))
	nodeNamed(t, from, "fish", []byte("key"))
	label := newLabel(t, from)
	old = newApplication(t, from, label.UID, "admin").Application
	// A clock that was ahead when the copy was made: times of day decide nothing.
	file := backup(t, from, time.Now().Add(-time.Hour))
	o := testOptions(t)
	_, _, err := Restore(t.Context(), RestoreOptions{Folder: o.Folder, File: file, NodeName: "fish", NodeKeyDER: []byte("key"), Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	s = openStore(t, o)
	return s, old, newApplication(t, s, label.UID, "admin").Application
}

func wantDoubt(t *testing.T, s *Store, app model.Application, want Doubt) {
	t.Helper()
	if got := s.Doubt(app); got != want {
		t.Errorf("Doubt = %v, want %v", got, want)
	}
}

func TestDoubt(t *testing.T) {
	for _, tt := range []struct {
		choice Choice
		want   Doubt
	}{{ChoiceRun, Certain}, {ChoiceEnd, Dropped}} {
		t.Run(string(tt.choice), func(t *testing.T) {
			s, old, young := restored(t)
			wantDoubt(t, s, old, Doubtful)
			wantDoubt(t, s, young, Certain)
			if n := s.InDoubt(); n != 1 {
				t.Errorf("InDoubt = %d, want 1", n)
			}
			if c, err := Confirm(t.Context(), s.opts.Folder, ChoiceNone); !errors.Is(err, ErrChoose) || c.Waiting != 1 {
				t.Errorf("Confirm without a choice = %+v, %v, want 1 and %v", c, err, ErrChoose)
			}
			sub := s.Subscribe(KindApplication)
			defer sub.Close()
			if c, err := Confirm(t.Context(), s.opts.Folder, tt.choice); err != nil || c.Waiting != 1 || c.Taken.IsZero() {
				t.Fatalf("Confirm = %+v, %v", c, err)
			}
			wantDoubt(t, s, old, Doubtful) // until the node looks
			if err := s.maintain(t.Context()); err != nil {
				t.Fatal(err)
			}
			wantDoubt(t, s, old, tt.want)
			wantDoubt(t, s, young, Certain)
			if _, resync := sub.Take(); !resync {
				t.Error("subscribers are not told that it was confirmed")
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = openStore(t, s.opts)
			wantDoubt(t, s, old, tt.want)
		})
	}
}

// TestDoubtOfACopyOfACopy: what came between the two copies waited in the
// second one, whatever was confirmed before.
func TestDoubtOfACopyOfACopy(t *testing.T) {
	s, old, young := restored(t)
	taken, _ := s.Restored()
	for _, choice := range []Choice{ChoiceNone, ChoiceEnd} {
		if choice != ChoiceNone {
			if _, err := Confirm(t.Context(), s.opts.Folder, choice); err != nil {
				t.Fatal(err)
			}
		}
		o := testOptions(t)
		_, _, err := Restore(t.Context(), RestoreOptions{
			Folder: o.Folder, File: backup(t, s, time.Now()), NodeName: "fish", NodeKeyDER: []byte("key"), Now: time.Now(),
		})
		if err != nil {
			t.Fatal(err)
		}
		again := openStore(t, o)
		wantDoubt(t, again, old, Doubtful)
		wantDoubt(t, again, young, Doubtful)
		if got, _ := again.Restored(); got.Equal(taken) != (choice == ChoiceNone) {
			t.Errorf("with %q the copy is of %v, the first one of %v", choice, got, taken)
		}
	}
}
