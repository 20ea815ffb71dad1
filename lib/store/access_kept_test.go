package store

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// TestAccessAfterTheDiskWasPutBack: the use is in the part that was lost, and
// another node knows it. Until that has come back the credentials can not be used.
func TestAccessAfterTheDiskWasPutBack(t *testing.T) {
	disk, other := NewDisk(), openOther(t, 1)
	open := func() *Store {
		s, err := OpenMemory(t.Context(), Options{Node: testNode, Logger: quiet()}, disk)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	s := open()
	resource := allocate(t, s, newLabel(t, s).UID).Resource.UID
	own, unused := newAccess(t, s, resource, "own"), newAccess(t, s, resource, "unused")
	hand(t, s, other)
	theirs := newAccess(t, other, resource, "theirs")
	hand(t, other, s)
	before := disk.Copy()
	for i, uid := range []model.UID{own.UID, theirs.UID} {
		if _, err := s.UseAccess(t.Context(), aUse(uid, byte(1+i))); err != nil {
			t.Fatal(err)
		}
	}
	hand(t, s, other)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	disk.Restore(before)
	s = open()
	wantUse := func(uid model.UID, session byte, want error) {
		t.Helper()
		if _, err := s.UseAccess(t.Context(), aUse(uid, session)); !errors.Is(err, want) {
			t.Errorf("UseAccess = %v, want %v", err, want)
		}
	}
	for _, uid := range []model.UID{own.UID, theirs.UID, unused.UID} {
		wantUse(uid, 9, ErrAccessDoubt)
		wantUse(uid, 1, ErrAccessDoubt) // nor the session that used it
	}
	later := newAccess(t, s, resource, "later")
	wantUse(later.UID, 7, nil)
	hand(t, other, s)
	wantUse(own.UID, 9, ErrAccessUsed)
	wantUse(own.UID, 1, nil)
	wantUse(theirs.UID, 9, ErrAccessUsed)
	wantUse(unused.UID, 9, ErrAccessDoubt)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open()
	wantUse(unused.UID, 9, ErrAccessDoubt)
	if err := s.EndLapse(t.Context(), s.Origin().Incarnation); err != nil {
		t.Fatal(err)
	}
	wantUse(unused.UID, 9, nil)
	hand(t, s, other)
	if mine, known := s.AccessUses(resource), other.AccessUses(resource); len(mine) != 4 || !cmp.Equal(mine, known) {
		t.Errorf("uses are %v here and %v there, want the same 4", mine, known)
	}
}

// TestAccessInARestoredCopy: nobody else knows of the use. What is in the copy can
// not be used before that was confirmed, what came after can.
func TestAccessInARestoredCopy(t *testing.T) {
	from := openStore(t, testOptions(t))
	nodeNamed(t, from, "fish", []byte("key"))
	resource := allocate(t, from, newLabel(t, from).UID).Resource.UID
	used, unused := newAccess(t, from, resource, "used"), newAccess(t, from, resource, "unused")
	if _, err := from.UseAccess(t.Context(), aUse(used.UID, 1)); err != nil {
		t.Fatal(err)
	}
	file := backup(t, from, time.Now())
	if found := findings(t, file); len(found) > 0 {
		t.Errorf("Check of the copy finds %v", found)
	}
	o := testOptions(t)
	_, _, err := Restore(t.Context(), RestoreOptions{Folder: o.Folder, File: file, NodeName: "fish", NodeKeyDER: []byte("key"), Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	s := openStore(t, o)
	wantFound(t, s, used, "used", true, true)
	wantFound(t, s, unused, "unused", true, false)
	if err := s.EndLapse(t.Context(), s.Origin().Incarnation); err != nil { // there is nobody to ask
		t.Fatal(err)
	}
	if _, err := s.UseAccess(t.Context(), aUse(unused.UID, 2)); !errors.Is(err, ErrAccessDoubt) {
		t.Errorf("UseAccess in a copy = %v, want %v", err, ErrAccessDoubt)
	}
	if _, err := s.UseAccess(t.Context(), aUse(newAccess(t, s, resource, "new").UID, 3)); err != nil {
		t.Errorf("UseAccess of new credentials = %v", err)
	}
	if _, err := Confirm(t.Context(), o.Folder, ChoiceNone); err != nil {
		t.Fatal(err)
	}
	if err := s.maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.UseAccess(t.Context(), aUse(unused.UID, 2)); err != nil {
		t.Errorf("UseAccess after the copy was confirmed = %v", err)
	}
}

// TestRebuildKeepsAccesses: they are in no table, so nothing is made anew.
func TestRebuildKeepsAccesses(t *testing.T) {
	o := testOptions(t)
	s := openStore(t, o)
	resource := allocate(t, s, newLabel(t, s).UID).Resource.UID
	a, b := newAccess(t, s, resource, "a"), newAccess(t, s, resource, "b")
	if _, err := s.UseAccess(t.Context(), aUse(a.UID, 1)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	alter(t, filepath.Join(o.Folder, fileName), "DELETE FROM resources", "DELETE FROM application_states")
	report, err := Rebuild(t.Context(), o)
	if err != nil || len(report.After.Findings) > 0 {
		t.Fatalf("Rebuild = %+v, %v", report, err)
	}
	for _, want := range []Rebuilt{{Kind: "resource accesses", Rows: 2}, {Kind: "access uses", Rows: 1}} {
		if !slices.Contains(report.Kinds, want) {
			t.Errorf("Rebuild says %+v, want %+v too", report.Kinds, want)
		}
	}
	s = openStore(t, o)
	wantFound(t, s, a, "a", true, true)
	wantFound(t, s, b, "b", true, false)
}

// TestRestampAccesses: what was made and used by a clock that was ahead is found
// under its new readings, and is of a time to come until that is there.
func TestRestampAccesses(t *testing.T) {
	eachLeaper(t, func(t *testing.T, l *leaper, other *Store) {
		label := newLabel(t, l.s).UID
		l.ahead = 3 * time.Hour
		resource := allocate(t, l.s, label).Resource.UID
		a, b := newAccess(t, l.s, resource, "a"), newAccess(t, l.s, resource, "b")
		use, err := l.s.UseAccess(t.Context(), aUse(a.UID, 1))
		if err != nil {
			t.Fatal(err)
		}
		l.ahead = 0
		if _, err := l.s.Restamp(t.Context()); err != nil {
			t.Fatal(err)
		}
		hand(t, l.s, other)
		for range 2 {
			for _, s := range []*Store{l.s, other} {
				va, found := s.Access(a.UID)
				vb, _ := s.Access(b.UID)
				uses := s.AccessUses(resource)
				if !found || !va.Used || vb.Used || va.HLC >= vb.HLC || len(uses) != 1 || uses[0].HLC <= vb.HLC || uses[0].HLC >= use.HLC {
					t.Errorf("stamped anew: %+v, %+v, %+v", va, vb, uses)
				}
			}
			l.reopen()
		}
		if _, err := l.s.UseAccess(t.Context(), aUse(b.UID, 2)); !errors.Is(err, ErrAccessAhead) {
			t.Errorf("UseAccess = %v, want %v", err, ErrAccessAhead)
		}
		l.ahead = 3 * time.Hour
		if _, err := l.s.UseAccess(t.Context(), aUse(b.UID, 2)); err != nil {
			t.Errorf("UseAccess when the time has come = %v", err)
		}
	})
}

// TestAccessesAreCompared: what is lost of an open application is found and
// repaired; what is of one that closed before the horizon is left out, by both
// engines alike.
func TestAccessesAreCompared(t *testing.T) {
	kinds := []replica.Kind{replica.KindResourceAccess, replica.KindAccessUse}
	eachEngine(t, func(t *testing.T, reopen func() *Store) {
		a, s := openOther(t, 1), reopen()
		label := newLabel(t, a).UID
		e, closed := allocate(t, a, label), allocate(t, a, label)
		for _, resource := range []model.UID{e.Resource.UID, closed.Resource.UID} {
			for i := range 2 {
				made := newAccess(t, a, resource, fmt.Sprint(i))
				if _, err := a.UseAccess(t.Context(), aUse(made.UID, 1)); err != nil {
					t.Fatal(err)
				}
			}
		}
		end(t, a, closed.Application.UID)
		hand(t, a, s)
		horizon := time.Now().Add(time.Hour)
		for _, at := range []time.Time{always, horizon} {
			mine, theirs := digestsOf(t, s, at), digestsOf(t, a, at)
			if !cmp.Equal(mine, theirs) {
				t.Errorf("digests of members that hold the same differ:\n%s", cmp.Diff(mine, theirs))
			}
			summed, rows := bucketsOf(t, s, at, kinds...)
			if want := map[bool]int{true: 8, false: 4}[at.Equal(always)]; len(rows) != want || !cmp.Equal(summed[kinds[0]], mine[kinds[0]]) || !cmp.Equal(summed[kinds[1]], mine[kinds[1]]) {
				t.Errorf("%d rows are compared, want %d", len(rows), want)
			}
		}
		uses := s.AccessUses(e.Resource.UID)
		_, rows := bucketsOf(t, s, horizon, kinds...)
		err := s.do(t.Context(), func(x *tx) error {
			for _, r := range rows {
				if err := errors.Join(x.touch(), s.engine.dropRow(rowKey{r.Kind, string(r.Key)})); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		s = reopen()
		if booked(s) != 0 {
			t.Error("what was lost is in memory")
		}
		if news, err := s.MergeRows(t.Context(), rows, horizon); err != nil || len(news) != len(rows) {
			t.Fatalf("MergeRows = %d rows, %v, want %d", len(news), err, len(rows))
		}
		if got := s.AccessUses(e.Resource.UID); !cmp.Equal(got, uses) || !cmp.Equal(digestsOf(t, s, always), digestsOf(t, a, always)) {
			t.Errorf("after the repair uses are %v, want %v", got, uses)
		}
	})
}

// TestAccessHistory: of what was used and has expired nothing stays in memory but
// the host key, and of what has not expired a bounded part. With FISH_LONG=1 it is
// a million of them.
func TestAccessHistory(t *testing.T) {
	n := 3 * keepUsed
	if needs.Long() {
		n = 500_000 // credentials, and as many uses
	}
	s := openOther(t, 1)
	now := time.Now()
	s.opts.Now = func() time.Time { return now }
	label := newLabel(t, s).UID
	e, done := allocate(t, s, label), allocate(t, s, label)
	resource := e.Resource.UID
	for i := range n {
		for _, of := range []model.UID{resource, done.Resource.UID} {
			a := newAccess(t, s, of, fmt.Sprint(i))
			if _, err := s.UseAccess(t.Context(), aUse(a.UID, 1)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got, most := booked(s), 2*(3*keepUsed+1); got > most {
		t.Errorf("%d things are in memory, want %d at most", got, most)
	}
	oldest := s.AccessUses(resource)[0]
	if got := len(s.AccessUses(resource)); got != keepUsed+1 {
		t.Errorf("%d uses are in memory, want the first and the newest %d", got, keepUsed)
	}
	if _, err := s.UseAccess(t.Context(), aUse(oldest.AccessUID, 2)); !errors.Is(err, ErrAccessUsed) {
		t.Errorf("UseAccess of what is not in memory = %v, want %v", err, ErrAccessUsed)
	}
	end(t, s, done.Application.UID)
	unused := newAccess(t, s, resource, "unused")
	now = now.Add(time.Hour)
	wantFound(t, s, unused, "unused", true, false) // who comes is told that it has expired
	if _, err := s.UseAccess(t.Context(), aUse(unused.UID, 3)); !errors.Is(err, ErrAccessExpired) {
		t.Errorf("UseAccess of what has expired = %v, want %v", err, ErrAccessExpired)
	}
	now = now.Add(keepExpired)
	wantFound(t, s, unused, "unused", false, false)
	if err := s.trimAccesses(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := booked(s); got != 1 || !cmp.Equal(s.AccessUses(resource), []model.AccessUse{oldest}) {
		t.Errorf("%d things are in memory after all expired, uses are %v, want the first", got, s.AccessUses(resource))
	}
	if pin, known := s.HostKey(resource); !known || string(pin) != "host key" {
		t.Errorf("HostKey = %q, %t, want that of the first use", pin, known)
	}
}

// TestAccessesOfOneKey: a person may ask again with the same key.
func TestAccessesOfOneKey(t *testing.T) {
	s := openOther(t, 1)
	resource := allocate(t, s, newLabel(t, s).UID).Resource.UID
	first, second := newAccess(t, s, resource, "p"), newAccess(t, s, resource, "p")
	for i, want := range []AccessView{{first, false}, {second, false}, {second, true}} {
		got, found := s.AccessByKey([]byte("key of p"))
		if !found || !cmp.Equal(got, want) {
			t.Errorf("after %d uses: AccessByKey = %+v, want %+v", i, got, want)
		}
		if i < 2 {
			if _, err := s.UseAccess(t.Context(), aUse(got.UID, byte(1+i))); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestAdoptedAccesses: v0.7's credentials are dropped with their table, and its
// environments take new ones.
func TestAdoptedAccesses(t *testing.T) {
	s := openOld(t)
	for _, r := range rowsOf(t, s, s.Origin()) {
		if underParent(r.Kind) && r.Kind != replica.KindResource {
			t.Errorf("there is a row of kind %d", r.Kind)
		}
	}
	if tables, err := tablesOf(t.Context(), s.db.readers); err != nil || slices.Contains(tables, "resource_accesses") {
		t.Errorf("tables are %v, %v", tables, err)
	}
	running := s.Resources()
	if len(running) == 0 {
		t.Fatal("no environment was adopted")
	}
	for i, e := range running {
		a := newAccess(t, s, e.Resource.UID, fmt.Sprint(i))
		if _, err := s.UseAccess(t.Context(), aUse(a.UID, 1)); err != nil {
			t.Errorf("UseAccess = %v", err)
		}
		wantFound(t, s, a, fmt.Sprint(i), true, true)
	}
}
