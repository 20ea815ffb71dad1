package store

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

var always = time.Unix(0, 0)

func digestsOf(t testing.TB, s *Store, horizon time.Time) map[replica.Kind]replica.Digest {
	t.Helper()
	digests, err := s.Digests(t.Context(), horizon)
	if err != nil {
		t.Fatalf("Digests: %v", err)
	}
	all := make(map[replica.Kind]replica.Digest)
	for kind, d := range digests {
		all[kind] = *d
	}
	return all
}

// bucketsOf reads all buckets in small pieces, and sums them up.
func bucketsOf(t testing.TB, s *Store, horizon time.Time, kinds ...replica.Kind) (map[replica.Kind]replica.Digest, []replica.Row) {
	t.Helper()
	all := make(map[replica.Kind]replica.Digest)
	var rows []replica.Row
	for _, kind := range kinds {
		var digest replica.Digest
		for number := range replica.Buckets {
			bucket := replica.Bucket{Kind: kind, Number: uint8(number), Horizon: horizon} //nolint:gosec // below 256
			var after []byte
			for {
				page, err := s.Bucket(t.Context(), bucket, after, replica.Limit{Rows: 2, Bytes: 1 << 20})
				if err != nil {
					t.Fatalf("Bucket: %v", err)
				}
				for _, r := range page {
					digest.Toggle(r.Key, r.Version)
				}
				if rows = append(rows, page...); len(page) == 0 {
					break
				}
				after = page[len(page)-1].Key
			}
		}
		if !digest.Empty() {
			all[kind] = digest
		}
	}
	return all, rows
}

// TestDigestsLeaveOutWhatClosed sums up one open and one closed application,
// and all other nouns, with horizons before and after the end.
func TestDigestsLeaveOutWhatClosed(t *testing.T) {
	eachEngine(t, func(t *testing.T, reopen func() *Store) {
		s := reopen()
		label := newLabel(t, s).UID
		open := newApplication(t, s, label, "u").Application.UID
		before := time.Now()
		closed := live(t, s, label)
		for _, app := range []model.UID{open, closed} {
			if _, err := s.CreateServiceMapping(t.Context(), model.ServiceMapping{ApplicationUID: app, Service: "x", Redirect: "y"}); err != nil {
				t.Fatal(err)
			}
		}
		kinds := []replica.Kind{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}
		for _, tt := range []struct {
			name    string
			horizon time.Time
			rows    map[replica.Kind]int
		}{
			{"before the end", before, map[replica.Kind]int{2: 1, 5: 2, 6: 2, 7: 6, 9: 1}},
			{"after the end", time.Now().Add(time.Minute), map[replica.Kind]int{2: 1, 5: 1, 6: 1, 7: 1}},
		} {
			digests := digestsOf(t, s, tt.horizon)
			buckets, rows := bucketsOf(t, s, tt.horizon, kinds...)
			if diff := cmp.Diff(digests, buckets); diff != "" {
				t.Errorf("%s: buckets are not what was summed up", tt.name)
			}
			got := make(map[replica.Kind]int)
			for _, r := range rows {
				got[r.Kind]++
			}
			if diff := cmp.Diff(tt.rows, got); diff != "" {
				t.Errorf("%s: rows by kind (-want +got):\n%s", tt.name, diff)
			}
		}
	})
}

// TestMergeRowsRepairs drops rows behind a store's back and merges them in
// again.
func TestMergeRowsRepairs(t *testing.T) {
	eachEngine(t, func(t *testing.T, reopen func() *Store) {
		s, other := reopen(), openOther(t, 1)
		label := newLabel(t, s).UID
		live(t, other, newLabel(t, other).UID)
		newApplication(t, s, label, "u")
		hand(t, other, s)
		hand(t, s, other)
		vector := s.Vector()
		want := digestsOf(t, other, always)
		rows := append(rowsFrom(t, other).Rows, rowsFrom(t, s).Rows...)
		news, err := s.MergeRows(t.Context(), rows, always)
		if err != nil || len(news) != 0 {
			t.Fatalf("MergeRows of what is here = %d rows, %v, want none", len(news), err)
		}
		lost := []replica.Row{rows[1], rows[3], rows[len(rows)-1]}
		err = s.do(t.Context(), func(t *tx) error {
			for _, r := range lost {
				if err := errors.Join(t.touch(), s.engine.dropRow(rowKey{r.Kind, string(r.Key)})); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if cmp.Equal(want, digestsOf(t, s, always)) {
			t.Fatal("the digests do not show that rows were lost")
		}
		if news, err = s.MergeRows(t.Context(), rows, always); err != nil || len(news) != len(lost) {
			t.Errorf("MergeRows = %d rows, %v, want %d", len(news), err, len(lost))
		}
		s = reopen()
		if !cmp.Equal(want, digestsOf(t, s, always)) || !cmp.Equal(vector, s.Vector()) {
			t.Errorf("the rows differ after the repair, or the vector moved from %v to %v", vector, s.Vector())
		}
	})
}

func TestMergeRowsLeavesOut(t *testing.T) {
	eachEngine(t, func(t *testing.T, reopen func() *Store) {
		s, other := reopen(), openOther(t, 1)
		label := newLabel(t, other)
		closed := live(t, other, label.UID)
		rows := rowsFrom(t, other).Rows
		own, ahead, broken := rows[0], rows[0], rows[0]
		own.Version.Origin, own.Version.Seq = s.Origin(), s.Vector()[s.Origin()]+1
		ahead.Version.HLC = model.HLC(time.Now().Add(2 * maxAhead).UnixNano())
		broken.Body = nil
		news, err := s.MergeRows(t.Context(), append([]replica.Row{own, ahead, broken}, rows...), always)
		if !errors.Is(err, ErrLost) || !errors.Is(err, ErrAhead) || len(news) != len(rows) {
			t.Errorf("MergeRows = %d rows, %v, want %d, and %v and %v", len(news), err, len(rows), ErrLost, ErrAhead)
		}
		if got, err := s.Application(t.Context(), closed); err != nil || !got.Done() {
			t.Errorf("Application = %+v, %v, want the closed one", got, err)
		}
		s.opts.Retention = time.Nanosecond
		if n, err := s.removeClosed(t.Context(), time.Now().Add(time.Hour)); n != 1 || err != nil {
			t.Fatalf("removeClosed = %d, %v, want one", n, err)
		}
		for range 2 {
			if news, err := s.MergeRows(t.Context(), rows, always); err != nil || len(news) != 0 {
				t.Errorf("MergeRows of what was removed = %d rows, %v, want none", len(news), err)
			}
			s = reopen()
		}
	})
}

// TestMergeRowsOfClosed does not bring back what the horizon covers.
func TestMergeRowsOfClosed(t *testing.T) {
	eachEngine(t, func(t *testing.T, reopen func() *Store) {
		s, other := reopen(), openOther(t, 1)
		live(t, other, newLabel(t, other).UID)
		hand(t, other, s)
		row := rowsFrom(t, other).Rows[2]
		if row.Kind != replica.KindApplicationState {
			t.Fatalf("row is of kind %d", row.Kind)
		}
		row.Version.HLC--
		if news, err := s.MergeRows(t.Context(), []replica.Row{row}, time.Now().Add(time.Minute)); err != nil || len(news) != 0 {
			t.Errorf("MergeRows of a closed application = %d rows, %v, want none", len(news), err)
		}
		if news, err := s.MergeRows(t.Context(), []replica.Row{row}, always); err != nil || len(news) != 1 {
			t.Errorf("MergeRows = %d rows, %v, want the one that beats", len(news), err)
		}
	})
}

// compareDigests: all members that hold the same rows sum up the same.
func (f *farm) compareDigests(t *rapid.T) {
	var first map[replica.Kind]*replica.Digest
	for i, m := range f.members {
		digests, err := m.s.Digests(t.Context(), always)
		if err != nil {
			t.Fatalf("Digests: %v", err)
		}
		if i == 0 {
			first = digests
		} else if diff := cmp.Diff(first, digests); diff != "" {
			t.Fatalf("digests of members 0 and %d differ", i)
		}
	}
}

// TestComparisonIsNoScan: rows of what closed long ago are not read.
func TestComparisonIsNoScan(t *testing.T) {
	s := openStore(t, testOptions(t))
	for _, query := range comparedRows() {
		plan, err := collect(t.Context(), s.db.readers, func(row scanner) (detail string, err error) {
			var ignored any
			return detail, row.Scan(&ignored, &ignored, &ignored, &detail)
		}, "EXPLAIN QUERY PLAN "+strings.ReplaceAll(query, "?", "1"))
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range plan {
			if strings.HasPrefix(step, "SCAN") && !strings.Contains(step, "applications_open") && !strings.Contains(step, "sync_rows_waiting") &&
				!strings.Contains(step, "sync_rows_deleted") {
				t.Errorf("%s\nhas %q", query, step)
			}
			if strings.Contains(query, "JOIN sync_rows") && strings.Contains(step, " r ") &&
				!strings.Contains(step, "(kind=? AND key=?)") && !strings.Contains(step, "(parent=?)") {
				t.Errorf("%s\nlooks for rows by %q", query, step)
			}
		}
	}
}
