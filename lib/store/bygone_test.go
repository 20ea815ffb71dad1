package store

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// hands is a clock that a test sets; it goes on by a millisecond with each look.
type hands struct{ now time.Time }

func (h *hands) read() time.Time {
	h.now = h.now.Add(time.Millisecond)
	return h.now
}

// begun is when these tests begin.
var begun = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// eachClocked is eachEngine with options and a clock of the test's own.
func eachClocked(t *testing.T, o Options, test func(t *testing.T, clock *hands, reopen func() *Store)) {
	t.Helper()
	for _, p := range places(filepath.Join(t.TempDir(), "db")) {
		t.Run(p.name, func(t *testing.T) {
			clock, o := &hands{begun}, o
			o.Node, o.Logger, o.Now = testNode, quiet(), clock.read
			var s *Store
			end := func() {
				if s != nil {
					if err := s.Close(); err != nil {
						t.Errorf("Close: %v", err)
					}
				}
			}
			t.Cleanup(func() { end() })
			test(t, clock, func() *Store {
				end()
				var err error
				if s, err = p.open(o); err != nil {
					t.Fatalf("open: %v", err)
				}
				return s
			})
		})
	}
}

// openBeside opens another node's database in memory with the same clock.
func openBeside(t *testing.T, n byte, clock *hands) *Store {
	t.Helper()
	s, err := OpenMemory(t.Context(), Options{Node: model.UID{100 + n, 2, 3, 4, 5, 6, 0x40, 0, 0x80}, Logger: quiet(), Now: clock.read}, NewDisk())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// fatesOf asks one store for what another holds.
func fatesOf(t *testing.T, asked, asking *Store, apps ...model.UID) []Fate {
	t.Helper()
	traces, err := asking.Traces(apps)
	if err != nil || len(traces) != len(apps) {
		t.Fatalf("Traces = %v, %v, want %d", traces, err, len(apps))
	}
	fates, err := asked.Fates(t.Context(), traces)
	if err != nil {
		t.Fatalf("Fates: %v", err)
	}
	return fates
}

// sweep removes what closed here by now.
func sweep(t *testing.T, s *Store) {
	t.Helper()
	if _, err := s.removeClosed(t.Context(), s.stamp()); err != nil {
		t.Fatal(err)
	}
}

// TestFates: a node that was away holds for open what closed and was removed
// elsewhere; who has the rows covered and not there says so, also one that
// joined after the removal, and nobody else.
func TestFates(t *testing.T) {
	eachClocked(t, Options{}, func(t *testing.T, clock *hands, reopen func() *Store) {
		s := reopen()
		away, stranger := openBeside(t, 1, clock), openBeside(t, 2, clock)
		label := newLabel(t, s).UID
		var apps []model.UID
		for range 4 {
			apps = append(apps, newApplication(t, s, label, "u").Application.UID)
		}
		hand(t, s, away)
		removed, closed, open := apps[0], apps[1], apps[2]
		for _, app := range []model.UID{removed, apps[3]} {
			update(t, s, app, model.Change{States: []model.ApplicationState{{Status: model.StatusRecalled}, {Status: model.StatusClosed}}})
		}
		clock.now = clock.now.Add(time.Hour)
		sweep(t, s)
		update(t, s, closed, model.Change{States: []model.ApplicationState{{Status: model.StatusRecalled}, {Status: model.StatusClosed}}})
		clock.now = clock.now.Add(time.Hour)
		youngster := openBeside(t, 3, clock)
		hand(t, s, youngster)
		hand(t, s, away)
		if e, err := away.Application(t.Context(), removed); err != nil || e.Done() {
			t.Fatalf("who was away has %v, %v, want it open", e, err)
		}
		s = reopen()
		for _, tt := range []struct {
			name  string
			asked *Store
			want  []Fate
		}{
			{"removed it", s, []Fate{FateRemoved, FateClosed, FateOpen}},
			{"joined later", youngster, []Fate{FateRemoved, FateClosed, FateOpen}},
			{"never heard of it", stranger, []Fate{FateUnknown, FateUnknown, FateUnknown}},
			{"was away too", away, []Fate{FateOpen, FateClosed, FateOpen}},
		} {
			if diff := cmp.Diff(tt.want, fatesOf(t, tt.asked, away, removed, closed, open)); diff != "" {
				t.Errorf("who %s says (-want +got):\n%s", tt.name, diff)
			}
		}
		late := newApplication(t, away, label, "u").Application.UID
		if got := fatesOf(t, s, away, late); got[0] != FateUnknown {
			t.Errorf("of what has not arrived: %v, want %v", got[0], FateUnknown)
		}
	})
}

// TestFatesOfWhatIsNew: a row that is covered and lost, but younger than
// anything that was removed, was not removed.
func TestFatesOfWhatIsNew(t *testing.T) {
	eachClocked(t, Options{}, func(t *testing.T, clock *hands, reopen func() *Store) {
		s, other := reopen(), openBeside(t, 1, clock)
		clock.now = clock.now.Add(time.Hour)
		app := newApplication(t, s, newLabel(t, s).UID, "u").Application.UID
		hand(t, s, other)
		err := s.do(t.Context(), func(tx *tx) error { return errors.Join(tx.touch(), tx.remove(app)) })
		if err != nil {
			t.Fatal(err)
		}
		if got := fatesOf(t, s, other, app); got[0] != FateUnknown {
			t.Errorf("Fates = %v, want %v", got[0], FateUnknown)
		}
	})
}

// TestForget: what others have removed goes, for good; where something may run
// here it stays.
func TestForget(t *testing.T) {
	eachClocked(t, Options{}, func(t *testing.T, clock *hands, reopen func() *Store) {
		s, other := reopen(), openBeside(t, 1, clock)
		label := newLabel(t, s).UID
		var apps []model.UID
		for range expireBatch + 2 {
			apps = append(apps, newApplication(t, s, label, "u").Application.UID)
		}
		runs := apps[0]
		update(t, s, runs, elected(runs, 1))
		update(t, s, runs, intent(1))
		hand(t, s, other)
		gone, err := s.Forget(t.Context(), append(slices.Clone(apps), model.UID{1}))
		if err != nil || !slices.Equal(gone, apps[1:]) {
			t.Fatalf("Forget = %d applications, %v, want %d", len(gone), err, len(apps)-1)
		}
		s = reopen()
		if len(s.Open()) != 1 || s.Open()[0].Application.UID != runs {
			t.Errorf("%d applications are left, want the one that runs here", len(s.Open()))
		}
		if news, err := s.MergeRows(t.Context(), rowsFrom(t, other).Rows, always); err != nil || len(news) > 0 {
			t.Errorf("MergeRows = %d rows, %v, want none to come back", len(news), err)
		}
		if news, err := s.MergeRows(t.Context(), othersRows(t, other, s), always); err != nil || len(news) > 0 {
			t.Errorf("MergeRows of its own rows = %d, %v, want none to come back", len(news), err)
		}
	})
}

// othersRows are the rows that one store has of another.
func othersRows(t *testing.T, has, of *Store) []replica.Row {
	t.Helper()
	b, err := has.Rows(t.Context(), of.Origin(), 0, replica.Limit{Rows: 1000, Bytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return b.Rows
}

// TestLastNews: the newest of all rows counts.
func TestLastNews(t *testing.T) {
	at := func(n int64) model.HLC { return model.HLC(begun.Add(time.Duration(n) * time.Minute).UnixNano()) }
	for name, tt := range map[string]struct {
		entry model.Entry
		want  int64
	}{
		"nothing but it":      {model.Entry{}, 1},
		"a state":             {model.Entry{States: []model.ApplicationState{{HLC: at(3)}, {HLC: at(2)}}}, 3},
		"a task":              {model.Entry{Tasks: []model.ApplicationTask{{HLC: at(2), UpdatedAt: begun}}}, 2},
		"a task that changed": {model.Entry{Tasks: []model.ApplicationTask{{HLC: at(2), UpdatedAt: begun.Add(4 * time.Minute)}}}, 4},
	} {
		tt.entry.Application.HLC = at(1)
		if got := LastNews(&tt.entry); !got.Equal(begun.Add(time.Duration(tt.want) * time.Minute)) {
			t.Errorf("%s: %v, want minute %d", name, got, tt.want)
		}
	}
}

// TestHorizon: it is behind all that was removed here.
func TestHorizon(t *testing.T) {
	eachClocked(t, Options{}, func(t *testing.T, clock *hands, reopen func() *Store) {
		s := reopen()
		if !s.Horizon().Before(begun) {
			t.Errorf("Horizon = %v although nothing was removed", s.Horizon())
		}
		live(t, s, newLabel(t, s).UID)
		closed := clock.now
		clock.now = clock.now.Add(time.Hour)
		sweep(t, s)
		s = reopen()
		if h := s.Horizon(); h.Before(closed) || h.After(closed.Add(maxAhead)) {
			t.Errorf("Horizon = %v, want it just after %v", h, closed)
		}
	})
}

// TestHistorySurvivesABootAhead: a boot with the clock years ahead removes no
// history before the clock has been there for an hour, however often the node
// is started meanwhile.
func TestHistorySurvivesABootAhead(t *testing.T) {
	eachClocked(t, Options{Retention: time.Hour}, func(t *testing.T, clock *hands, reopen func() *Store) {
		s := reopen()
		app := live(t, s, newLabel(t, s).UID)
		for boot := range 3 {
			s = reopen()
			if err := s.maintain(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Application(t.Context(), app); err != nil {
				t.Fatalf("after boot %d: %v", boot, err)
			}
			clock.now = begun.AddDate(9, 0, boot)
			if _, err := s.PutLocation(t.Context(), model.Location{Name: fmt.Sprint("written with the wrong clock ", boot)}); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestStrayRowsAreNotCompared: a state that comes after its application was
// removed waits in vain; nobody else has it, or compares it.
func TestStrayRowsAreNotCompared(t *testing.T) {
	eachClocked(t, Options{}, func(t *testing.T, clock *hands, reopen func() *Store) {
		s, other := reopen(), openBeside(t, 1, clock)
		app := live(t, s, newLabel(t, s).UID)
		hand(t, s, other)
		update(t, other, app, requested())
		clock.now = clock.now.Add(time.Hour)
		sweep(t, s)
		hand(t, other, s)
		if diff := cmp.Diff(digestsOf(t, other, s.Horizon()), digestsOf(t, s, s.Horizon())); diff != "" {
			t.Error("the digests differ by what can not be shown")
		}
		if _, rows := bucketsOf(t, s, s.Horizon(), replica.KindApplicationState); len(rows) > 0 {
			t.Errorf("buckets have %d rows of states, want none", len(rows))
		}
		if _, rows := bucketsOf(t, s, always, replica.KindApplicationState); len(rows) != 1 {
			t.Errorf("buckets have %d rows of states from the beginning, want the one that waits", len(rows))
		}
	})
}

// TestStrayMappings: a mapping that comes after its application was removed is
// not compared, and goes; one of any application stays.
func TestStrayMappings(t *testing.T) {
	eachClocked(t, Options{Retention: time.Hour}, func(t *testing.T, clock *hands, reopen func() *Store) {
		s, other := reopen(), openBeside(t, 1, clock)
		app := live(t, s, newLabel(t, s).UID)
		hand(t, s, other)
		for _, of := range []model.UID{app, model.NilUID} {
			if _, err := other.CreateServiceMapping(t.Context(), model.ServiceMapping{ApplicationUID: of, Service: "x", Redirect: "y"}); err != nil {
				t.Fatal(err)
			}
		}
		clock.now = clock.now.Add(2 * time.Hour)
		sweep(t, s)
		hand(t, other, s)
		horizon := s.Horizon()
		if diff := cmp.Diff(digestsOf(t, other, horizon), digestsOf(t, s, horizon)); diff != "" {
			t.Error("the digests differ by the mapping whose application was removed here")
		}
		for _, store := range []*Store{s, other} {
			buckets, _ := bucketsOf(t, store, horizon, 5, 6)
			all := digestsOf(t, store, horizon)
			if diff := cmp.Diff(all[6], buckets[6]); diff != "" {
				t.Error("buckets are not what was summed up")
			}
		}
		clock.now = clock.now.Add(keepWaiting + time.Hour)
		s = reopen()
		s.steady.begin = clock.now // it ran all the time
		if err := s.expireRows(t.Context()); err != nil {
			t.Fatal(err)
		}
		s = reopen()
		var left []model.UID
		for _, m := range s.memory.mappings.list {
			left = append(left, m.ApplicationUID)
		}
		if !slices.Equal(left, []model.UID{model.NilUID}) {
			t.Errorf("mappings of %v are left, want the one of any application", left)
		}
		if diff := cmp.Diff(digestsOf(t, other, horizon), digestsOf(t, s, horizon)); diff != "" {
			t.Error("the digests differ after it was dropped")
		}
	})
}
