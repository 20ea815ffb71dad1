package store

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

func wantLapse(t *testing.T, s *Store, want bool) {
	t.Helper()
	if _, got := s.Lapsed(); got != want {
		t.Fatalf("Lapsed = %t, want %t", got, want)
	}
}

func wantForgot(t *testing.T, s *Store, what string, app model.Application, want bool) {
	t.Helper()
	if got := s.Forgot(app); got != want {
		t.Errorf("%s: Forgot = %t, want %t", what, got, want)
	}
}

func endLapse(t *testing.T, s *Store, incarnation uint32) {
	t.Helper()
	if err := s.EndLapse(t.Context(), incarnation); err != nil {
		t.Fatal(err)
	}
}

// lapsed opens a database that was put back: with an application of before, and
// one that came since.
func lapsed(t *testing.T, reopen func() *Store, other func()) (s *Store, old, young model.Application) {
	t.Helper()
	s = reopen()
	wantLapse(t, s, false)
	label := newLabel(t, s)
	old = newApplication(t, s, label.UID, "admin").Application
	wantForgot(t, s, "no lapse", old, false)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	other()
	s = reopen()
	return s, old, newApplication(t, s, label.UID, "admin").Application
}

// eachLapse runs a test over both engines; other makes the database another
// one than its marker knows.
func eachLapse(t *testing.T, test func(t *testing.T, open func() *Store, other func())) {
	folder, disk := filepath.Join(t.TempDir(), "db"), NewDisk()
	options := Options{Node: testNode, Logger: quiet()}
	for _, tt := range []struct {
		name  string
		open  func() (*Store, error)
		other func()
	}{
		{"sqlite", func() (*Store, error) {
			o := options
			o.Folder = folder
			return Open(t.Context(), o)
		}, func() { _ = os.Remove(filepath.Join(folder, markerName)) }},
		{"memory", func() (*Store, error) { return OpenMemory(t.Context(), options, disk) }, func() { disk.Restore(disk) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var s *Store
			test(t, func() *Store {
				if s != nil {
					_ = s.Close()
				}
				var err error
				if s, err = tt.open(); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = s.Close() })
				return s
			}, tt.other)
		})
	}
}

// TestLapseLasts: from the incarnation on, over restarts and further
// incarnations, until it is ended, once for all.
func TestLapseLasts(t *testing.T) {
	eachLapse(t, func(t *testing.T, open func() *Store, other func()) {
		s, old, young := lapsed(t, open, other)
		for range 2 { // two restarts in a row
			wantLapse(t, s, true)
			wantForgot(t, s, "of before", old, true)
			wantForgot(t, s, "of after", young, false)
			strange := young
			strange.Arbiter = model.UID{9}
			wantForgot(t, s, "accepted elsewhere", strange, true)
			s = open()
		}
		first := s.Origin().Incarnation
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		other()
		s = open()
		wantForgot(t, s, "of between two of them", young, true)
		endLapse(t, s, first)
		wantLapse(t, s, true) // that was about the one before
		sub := s.Subscribe(KindApplication)
		defer sub.Close()
		endLapse(t, s, s.Origin().Incarnation)
		wantLapse(t, s, false)
		if _, resync := sub.Take(); !resync {
			t.Error("subscribers are not told that the lapse ended")
		}
		wantForgot(t, s, "after the end", old, false)
		s = open()
		wantLapse(t, s, false)
	})
}

// TestLapseOfAKilledStart: who dies after the marker has the number of the new
// incarnation, and before the database has it, takes one all the same.
func TestLapseOfAKilledStart(t *testing.T) {
	eachLapse(t, func(t *testing.T, open func() *Store, _ func()) {
		s := open()
		was := s.Origin().Incarnation
		newLabel(t, s)
		m := s.marker
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		// The next start is on another database and dies: its marker names the
		// session of before as the one that the database still has.
		m.Running, m.Opening, m.Previous = true, true, m.Session
		m.Session, m.Incarnation = newSession(), was+1
		s = open()
		m.File = s.marker.File
		previous := s.marker.Session
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		m.Previous = previous
		if s.db != nil {
			if err := s.db.writeMarker(m); err != nil {
				t.Fatal(err)
			}
		} else {
			s.engine.(*memoryEngine).disk.marker = &m
		}
		s = open()
		wantLapse(t, s, true)
		if got := s.Origin().Incarnation; got <= was+1 {
			t.Errorf("incarnation is %d, want one after %d, which may be used", got, was+1)
		}
	})
}

// TestSuspicion: the lapse begins when somebody tells of rows that are lost,
// before the incarnation is taken, and can not end before that.
func TestSuspicion(t *testing.T) {
	eachLapse(t, func(t *testing.T, open func() *Store, _ func()) {
		s := open()
		label := newLabel(t, s)
		app := newApplication(t, s, label.UID, "admin").Application
		origin, seq := s.Origin(), s.Vector()[s.Origin()]
		hand(t, s, openOther(t, 1))
		for _, known := range []replica.Vector{{origin: seq}, {replica.Origin{Node: model.UID{9}, Incarnation: 9}: seq + 5}} {
			for o, n := range known {
				if s.Suspect(o, n) {
					t.Errorf("suspects %v at %d", o, n)
				}
			}
			if _, _, forgotten := s.Forgotten(known); forgotten {
				t.Errorf("has forgotten %v", known)
			}
		}
		wantLapse(t, s, false)
		if !s.Suspect(origin, seq+1) {
			t.Fatal("no suspicion although others know more")
		}
		since, _ := s.Lapsed()
		wantForgot(t, s, "suspected", app, true)
		endLapse(t, s, origin.Incarnation)
		wantLapse(t, s, true)
		// More is written under the old numbers meanwhile than the others told of.
		young := newApplication(t, s, label.UID, "admin").Application
		newLabel(t, s)
		if err := s.Reincarnate(t.Context(), origin, seq+1); err != nil || s.Origin() == origin {
			t.Fatalf("Reincarnate = %v, origin %v", err, s.Origin())
		}
		if now, ok := s.Lapsed(); !ok || !now.Equal(since) {
			t.Errorf("Lapsed = %v, %t, want since it was suspected, %v", now, ok, since)
		}
		if s.Suspect(origin, seq+1) {
			t.Error("suspects the origin that it gave up")
		}
		wantForgot(t, s, "of before the incarnation", young, true)
		s = open()
		wantLapse(t, s, true)
		endLapse(t, s, s.Origin().Incarnation)
		wantLapse(t, s, false)
	})
}

// TestLapseOfAFailingDisk: what can not be stored ends nothing.
func TestLapseOfAFailingDisk(t *testing.T) {
	disk := NewDisk()
	open := func() *Store {
		s, err := OpenMemory(t.Context(), Options{Node: testNode, Logger: quiet()}, disk)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	s, _, _ := lapsed(t, open, func() { disk.Restore(disk) })
	disk.Fail(errors.New("full"))
	if err := s.EndLapse(t.Context(), s.Origin().Incarnation); err == nil {
		t.Error("the end of the lapse is stored on a full disk")
	}
	wantLapse(t, s, true)
	disk.Fail(nil)
	endLapse(t, s, s.Origin().Incarnation)
	wantLapse(t, s, false)
}

// TestOwnApplicationsComeBack: an application of this node that others bring is
// of before, also if the clock of this node was set back since, and that is
// durable with it.
func TestOwnApplicationsComeBack(t *testing.T) {
	now := time.Now()
	disk := NewDisk()
	open := func() *Store {
		s, err := OpenMemory(t.Context(), Options{Node: testNode, Logger: quiet(), Now: func() time.Time { return now }}, disk)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	s, other := open(), openOther(t, 1)
	label := newLabel(t, s)
	copied := disk.Copy()
	lost := newApplication(t, s, label.UID, "admin").Application
	hand(t, s, other)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	now = now.Add(-time.Minute)
	disk.Restore(copied)
	s = open()
	between := newApplication(t, s, label.UID, "admin").Application
	wantForgot(t, s, "accepted since", between, false)
	hand(t, other, s)
	if _, err := s.Application(t.Context(), lost.UID); err != nil {
		t.Fatal(err)
	}
	wantForgot(t, s, "brought back", lost, true)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open()
	wantForgot(t, s, "brought back, after a restart", lost, true)
	young := newApplication(t, s, label.UID, "admin").Application
	wantForgot(t, s, "accepted after it came back", young, false)
}
