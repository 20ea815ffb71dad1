package store

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// TestRestamp: what was written by a clock that was ahead, and is held back by
// the others, reaches them once it is stamped anew: all of it, in its order, and
// this node goes on with the right time.
func TestRestamp(t *testing.T) {
	eachLeaper(t, func(t *testing.T, l *leaper, other *Store) {
		before := newLabel(t, l.s)
		hand(t, l.s, other)
		l.ahead = 3 * time.Hour
		_, apps := l.everything()
		l.ahead = 0
		late := newApplication(t, l.s, before.UID, "u").Application.UID // readings never fall
		queue := fmt.Sprint(uidsOf(l.s.Open()))
		was := ownRows(t, l.s)
		if err := other.Replicate(t.Context(), []replica.Batch{rowsFrom(t, l.s)}); !errors.Is(err, ErrAhead) {
			t.Fatalf("Replicate of what is ahead = %v, want ErrAhead", err)
		}
		l.restamp(len(was) - 1)
		wantIncarnation(t, l.s, 2, false)
		if _, lapsed := l.s.Lapsed(); lapsed {
			t.Error("there is a lapse although nothing was forgotten")
		}
		now := ownRows(t, l.s)
		if diff := cmp.Diff(keysOf(was), keysOf(now)); diff != "" {
			t.Errorf("the order of the rows changed (-before +after)\n%s", diff)
		}
		if got := fmt.Sprint(uidsOf(l.s.Open())); got != queue {
			t.Errorf("queue is %s, before it was %s", got, queue)
		}
		l.restamp(0) // nothing is left to do
		wantIncarnation(t, l.s, 2, false)

		later := newApplication(t, l.s, before.UID, "u").Application
		if by := time.Until(time.Unix(0, int64(later.HLC))); by > time.Minute {
			t.Errorf("what is written now is still %v ahead", by)
		}
		hand(t, l.s, other)
		l.alike(other, append(apps, late, later.UID))
		l.reopen()
		l.alike(other, append(apps, late, later.UID))
		wantIncarnation(t, l.s, 2, false)
	})
}

// TestRestampedTables: the tables say what the rows say, without a rebuild.
func TestRestampedTables(t *testing.T) {
	l := leaperOnDisk(t)
	l.everything()
	l.ahead = 0
	l.restamp(len(ownRows(t, l.s)))
	folder := l.s.opts.Folder
	if err := l.s.Close(); err != nil {
		t.Fatal(err)
	}
	report, err := Rebuild(t.Context(), Options{Folder: folder, Node: testNode, Logger: quiet()})
	if err != nil || report.Changed() != 0 {
		t.Errorf("Rebuild = %+v, %v, want nothing to do", report, err)
	}
}

// TestRestampAgain: a clock that is wrong again is no trouble, nor is one that
// is ahead by less than anybody minds.
func TestRestampAgain(t *testing.T) {
	eachLeaper(t, func(t *testing.T, l *leaper, other *Store) {
		for round := range 3 {
			l.ahead = 2 * time.Hour
			newLabel(t, l.s)
			l.restamp(0) // by that clock nothing is ahead
			l.ahead = 0
			if round == 1 {
				l.reopen()
			}
			l.restamp(1)
			hand(t, l.s, other)
			if n := len(other.Labels()); n != round+1 {
				t.Fatalf("round %d: the other has %d labels", round, n)
			}
		}
		wantIncarnation(t, l.s, 4, false)
		l.ahead = 4 * time.Minute
		newLabel(t, l.s)
		l.ahead = 0
		l.restamp(0)
		wantIncarnation(t, l.s, 4, false)
	})
}

// TestRestampKeepsTheLapse: the same applications are of before it, in memory
// and after a start, and new ones are not.
func TestRestampKeepsTheLapse(t *testing.T) {
	eachLeaper(t, func(t *testing.T, l *leaper, other *Store) {
		label := newLabel(t, l.s)
		hand(t, l.s, other)
		l.ahead = 3 * time.Hour
		old := newApplication(t, l.s, label.UID, "u").Application
		origin := l.s.Origin()
		if !l.s.Suspect(origin, 99) {
			t.Fatal("Suspect = false")
		}
		l.ahead = 0
		if _, err := l.s.Restamp(t.Context()); !errors.Is(err, errSuspected) {
			t.Fatalf("Restamp before the incarnation that is due = %v, want errSuspected", err)
		}
		if err := l.s.Reincarnate(t.Context(), origin, 99); err != nil {
			t.Fatal(err)
		}
		young := newApplication(t, l.s, label.UID, "u").Application
		l.restamp(4)
		for range 2 {
			last := newApplication(t, l.s, label.UID, "u").Application
			for app, want := range map[model.UID]bool{old.UID: true, young.UID: false, last.UID: false} {
				e, err := l.s.Application(t.Context(), app)
				if err != nil || l.s.Forgot(e.Application) != want {
					t.Errorf("Forgot = %t, %v, want %t", !want, err, want)
				}
			}
			l.reopen()
		}
	})
}

// TestRestampKeepsTheDoubt: of a copy that was put back the same applications
// are in doubt, and new ones are not.
func TestRestampKeepsTheDoubt(t *testing.T) {
	l := leaperOnDisk(t)
	label := newLabel(t, l.s)
	old := newApplication(t, l.s, label.UID, "u").Application.UID
	if err := markCopy(t.Context(), l.s.db.writer, time.Now()); err != nil {
		t.Fatal(err)
	}
	l.reopen()
	young := newApplication(t, l.s, label.UID, "u").Application.UID
	l.ahead = 0
	l.restamp(5)
	for range 2 {
		last := newApplication(t, l.s, label.UID, "u").Application.UID
		for app, want := range map[model.UID]Doubt{old: Doubtful, young: Certain, last: Certain} {
			e, err := l.s.Application(t.Context(), app)
			if err != nil || l.s.Doubt(e.Application) != want {
				t.Errorf("Doubt = %v, %v, want %v", l.s.Doubt(e.Application), err, want)
			}
		}
		l.reopen()
	}
	if err := l.s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestRestampable: this node stamps anew what it wrote, and what all may change.
func TestRestampable(t *testing.T) {
	stranger := model.UID{7}
	for _, tt := range []struct {
		name string
		kind replica.Kind
		node model.UID
		want bool
	}{
		{"own state", replica.KindApplicationState, testNode, true},
		{"own node", replica.KindNode, testNode, true},
		{"own, of a newer program", 999, testNode, true},
		{"own handover", replica.KindHandover, testNode, true},
		{"own retirement of another", replica.KindRetirement, testNode, true},
		{"own ownership", replica.KindOwnership, testNode, true},
		{"another's state", replica.KindApplicationState, stranger, false},
		{"another's resource", replica.KindResource, stranger, false},
		{"another's handover", replica.KindHandover, stranger, false},
		{"another's change of a user", replica.KindUser, stranger, true},
		{"another's task", replica.KindApplicationTask, stranger, true},
	} {
		found := []syncRow{
			{Row: replica.Row{Kind: tt.kind, Version: replica.Version{Origin: replica.Origin{Node: tt.node}}}},
			{Row: replica.Row{Kind: replica.KindApplication, Version: replica.Version{Origin: replica.Origin{Node: stranger}}}},
		}
		if got := len(restampable(found, testNode)) == 1; got != tt.want {
			t.Errorf("%s: restamped %t, want %t", tt.name, got, tt.want)
		}
	}
}

// TestReadingsKeepTheirOrder: whatever two readings are, those in their place
// are in the same order.
func TestReadingsKeepTheirOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := model.HLC(100)
		var rows []*syncRow
		for _, at := range rapid.SliceOf(rapid.IntRange(0, 300)).Draw(t, "rows") {
			rows = append(rows, &syncRow{Row: replica.Row{Version: replica.Version{HLC: model.HLC(at)}}})
		}
		r := newReadings(rows, limit, model.HLC(rapid.IntRange(50, 100).Draw(t, "base")))
		a, b := model.HLC(rapid.IntRange(0, 400).Draw(t, "a")), model.HLC(rapid.IntRange(0, 400).Draw(t, "b"))
		if a > b {
			a, b = b, a
		}
		if a > limit && r.of(a) > r.of(b) || r.of(b) > max(r.newest(), limit) || a <= limit && r.of(a) != a {
			t.Fatalf("readings %d and %d become %d and %d", a, b, r.of(a), r.of(b))
		}
		if _, known := slices.BinarySearch(r.ahead, b); known && a != b && a > limit && r.of(a) >= r.of(b) {
			t.Fatalf("readings %d and %d of rows become %d and %d", a, b, r.of(a), r.of(b))
		}
	})
}
