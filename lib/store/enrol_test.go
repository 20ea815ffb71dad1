package store

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

func unenrolled() []string {
	return []string{
		"DROP TABLE sync_rows", "DROP TABLE sync_origins", "DELETE FROM meta WHERE key = 'incarnation'",
		"DELETE FROM migrations WHERE id = '20261122_rows'",
	}
}

// unenrol makes of a stopped database what the version before rows left.
func unenrol(t testing.TB, s *Store) {
	t.Helper()
	for _, statement := range unenrolled() {
		err := s.alone(context.Background(), func() error { _, err := s.db.writer.ExecContext(context.Background(), statement); return err })
		if err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// TestEnrolment opens a database of the version before: of all that lives there
// is the same row as if it was written now, and another node that takes the
// rows in shows the same.
func TestEnrolment(t *testing.T) {
	o := testOptions(t)
	o.Retention = time.Hour
	s := openStore(t, o)
	label, gone := newLabel(t, s), newLabel(t, s)
	if _, err := s.PutUser(t.Context(), "u", func(*model.User) (model.User, error) { return model.User{}, nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := s.PutNode(t.Context(), model.Node{UID: testNode, Name: "n", Pubkey: []byte{1}}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.PutLocation(t.Context(), model.Location{Name: "x"}); err != nil {
		t.Fatal(err)
	}
	open := newApplication(t, s, gone.UID, "u").Application.UID
	for _, c := range []model.Change{elected(open, 1), intent(1), allocated(1), {Tasks: []model.ApplicationTask{{Task: "t"}}}} {
		update(t, s, open, c)
	}
	if _, err := s.CreateServiceMapping(t.Context(), model.ServiceMapping{ApplicationUID: open, Service: "s", Redirect: "r"}); err != nil {
		t.Fatal(err)
	}
	closed, old := live(t, s, label.UID), live(t, s, label.UID)
	if _, err := s.DeleteLabel(t.Context(), gone.UID); err != nil {
		t.Fatal(err)
	}
	bodies := func(s *Store) map[string]string {
		b, err := s.Rows(t.Context(), s.Origin(), 0, replica.Limit{Rows: 1000, Bytes: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		rows := make(map[string]string)
		for _, r := range b.Rows {
			rows[fmt.Sprintf("%d %x", r.Kind, r.Key)] = string(r.Body)
		}
		return rows
	}
	err := s.alone(t.Context(), func() error {
		_, err := s.db.writer.ExecContext(t.Context(), "UPDATE applications SET closed_at = ? WHERE uid = ?", time.Now().Add(-2*time.Hour).UnixNano(), key(old))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	e, err := s.Application(t.Context(), old)
	if err != nil {
		t.Fatal(err)
	}
	want := bodies(s)
	delete(want, fmt.Sprintf("%d %x", replica.KindApplication, key(old)))
	for _, st := range e.States {
		delete(want, fmt.Sprintf("%d %x", replica.KindApplicationState, key(st.UID)))
	}
	for k, body := range want { // the Resource of what is over is in no table
		if r, err := replica.DecodeResource([]byte(body)); err == nil && r.ApplicationUID != open && k[0] == '9' {
			delete(want, k)
		}
	}
	clock := s.clock.Last()
	unenrol(t, s)
	s = reopen(t, s)
	if diff := cmp.Diff(want, bodies(s)); diff != "" {
		t.Errorf("rows after the upgrade (-as written +enrolled):\n%s", diff)
	}
	if s.clock.Last() < clock {
		t.Errorf("the clock fell from %d to %d", clock, s.clock.Last())
	}
	if before := s.Vector()[s.Origin()]; before == 0 || newLabel(t, s).UID == model.NilUID || s.Vector()[s.Origin()] != before+1 {
		t.Errorf("vector stands at %d, then at %d, want one more", before, s.Vector()[s.Origin()])
	}
	other := openOther(t, 7)
	hand(t, s, other)
	for _, app := range []model.UID{open, closed} {
		mine, err1 := s.Application(t.Context(), app)
		theirs, err2 := other.Application(t.Context(), app)
		if err1 != nil || err2 != nil || mine.Fold.Status() != theirs.Fold.Status() || !cmp.Equal(mine.Resource, theirs.Resource) {
			t.Errorf("application is %v, %v here and %v, %v there", mine, err1, theirs, err2)
		}
	}
}

// openOther is a store in memory of another node.
func openOther(t testing.TB, n byte) *Store {
	t.Helper()
	s, err := OpenMemory(t.Context(), Options{Node: model.UID{100 + n, 2, 3, 4, 5, 6, 0x40, 0, 0x80}, Logger: quiet()}, NewDisk())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// hand gives to one store all that the other has more.
func hand(t testing.TB, from, to *Store) {
	t.Helper()
	for origin, seq := range from.Vector() {
		for to.Vector()[origin] < seq {
			b, err := from.Rows(t.Context(), origin, to.Vector()[origin], replica.Limit{Rows: 1000, Bytes: 1 << 20})
			if err != nil {
				t.Fatal(err)
			}
			if err := to.Replicate(t.Context(), []replica.Batch{b}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// BenchmarkEnrol opens a database of finished applications, three rows each, of
// the version before rows.
func BenchmarkEnrol(b *testing.B) {
	o := withHistory(b, historySize/10)
	for b.Loop() {
		b.StopTimer()
		s := openStore(b, o)
		unenrol(b, s)
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		s, err := Open(b.Context(), o)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		info, err := os.Stat(s.db.path)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(s.Vector()[s.Origin()]), "rows")
		b.ReportMetric(float64(info.Size())/(1<<20), "MB")
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
