package store

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// TestRestampFails: while nothing can be written all stays as it was, and what
// is written later is as far ahead as before.
func TestRestampFails(t *testing.T) {
	disk := NewDisk()
	l := &leaper{t: t, ahead: time.Hour, place: place{"memory", func(o Options) (*Store, error) { return OpenMemory(context.Background(), o, disk) }}}
	l.open()
	first := newLabel(t, l.s)
	l.ahead = 0
	rows := ownRows(t, l.s)
	full := errors.New("no space left on device")
	disk.Fail(full)
	if _, err := l.s.Restamp(t.Context()); !errors.Is(err, full) {
		t.Fatalf("Restamp = %v, want %v", err, full)
	}
	disk.Fail(nil)
	if _, held := l.s.Ahead(); !held || l.s.Origin().Incarnation != 1 {
		t.Errorf("after a try that failed the origin is %v, held back %t", l.s.Origin(), held)
	}
	if diff := cmp.Diff(rows, ownRows(t, l.s)); diff != "" {
		t.Errorf("a try that failed changed rows\n%s", diff)
	}
	if second := newLabel(t, l.s); second.HLC <= first.HLC {
		t.Errorf("readings fell from %d to %d", first.HLC, second.HLC)
	}
	l.restamp(2)
	disk.Crash()
	l.reopen()
	if by, held := l.s.Ahead(); held || len(ownRows(t, l.s)) != 2 {
		t.Errorf("after a loss of power %d rows are left, ahead by %v", len(ownRows(t, l.s)), by)
	}
}

// ending is a context that is done after some looks.
type ending struct {
	context.Context
	looks int
}

func (e *ending) Err() error {
	if e.looks--; e.looks < 0 {
		return context.DeadlineExceeded
	}
	return nil
}

// TestRestampEnds: a try that takes too long is given up between two rows and
// changes nothing, and while it goes on the writer does not look stuck.
func TestRestampEnds(t *testing.T) {
	eachLeaper(t, func(t *testing.T, l *leaper, other *Store) {
		l.ahead = 3 * time.Hour
		_, apps := l.everything()
		l.ahead = 0
		was, clock := ownRows(t, l.s), l.s.clock.Last()
		if _, err := l.s.Restamp(&ending{t.Context(), len(was) - 1}); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Restamp = %v, want DeadlineExceeded", err)
		}
		if diff := cmp.Diff(was, ownRows(t, l.s)); diff != "" || l.s.clock.Last() != clock {
			t.Errorf("a try that was given up left the clock at %d, before %d, and changed rows\n%s", l.s.clock.Last(), clock, diff)
		}
		wantIncarnation(t, l.s, 1, false)
		beats := l.s.Beats()
		l.restamp(len(was))
		if n := l.s.Beats() - beats; n < uint64(len(was)) {
			t.Errorf("the writer's heart beat %d times over %d rows", n, len(was))
		}
		hand(t, l.s, other)
		l.alike(other, apps)
	})
}

// broken is an engine that fails within a transaction, and must get no more of it.
type broken struct {
	engine
	after int
}

var errBroken = errors.New("disk I/O error")

func (b *broken) putSession(uint32, int64) error { return errBroken }

func (b *broken) putLapse(until model.HLC) error {
	b.after++
	return b.engine.putLapse(until)
}

func (b *broken) putMarkUntil(until model.HLC) error {
	b.after++
	return b.engine.putMarkUntil(until)
}

// TestRestampStops: SQLite may have ended a transaction that failed, so nothing
// may be written after that.
func TestRestampStops(t *testing.T) {
	eachLeaper(t, func(t *testing.T, l *leaper, _ *Store) {
		l.ahead = 3 * time.Hour
		newLabel(t, l.s)
		origin := l.s.Origin()
		if !l.s.Suspect(origin, 99) {
			t.Fatal("Suspect = false")
		}
		whole := l.s.engine
		cut := &broken{engine: whole}
		l.s.engine = cut
		if err := l.s.Reincarnate(t.Context(), origin, 99); !errors.Is(err, errBroken) || cut.after != 0 {
			t.Errorf("Reincarnate = %v, and %d writes after that", err, cut.after)
		}
		l.s.engine = whole
		if err := l.s.Reincarnate(t.Context(), origin, 99); err != nil {
			t.Fatal(err)
		}
		l.ahead = 0
		l.s.engine = cut
		if _, err := l.s.Restamp(t.Context()); !errors.Is(err, errBroken) || cut.after != 0 {
			t.Errorf("Restamp = %v, and %d writes after that", err, cut.after)
		}
		l.s.engine = whole
		l.restamp(1)
	})
}
