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

// leaper is a store whose clock can be set.
type leaper struct {
	t     *testing.T
	place place
	ahead time.Duration
	s     *Store
}

// eachLeaper runs a test over a fresh database of each engine, and an other
// node's, whose clock is right.
func eachLeaper(t *testing.T, test func(t *testing.T, l *leaper, other *Store)) {
	for _, p := range places(filepath.Join(t.TempDir(), "db")) {
		t.Run(p.name, func(t *testing.T) {
			l := &leaper{t: t, place: p}
			l.open()
			t.Cleanup(func() { _ = l.s.Close() })
			test(t, l, openOther(t, 1))
		})
	}
}

// leaperOnDisk is a store over SQLite, whose clock is hours ahead.
func leaperOnDisk(t *testing.T) *leaper {
	t.Helper()
	l := &leaper{t: t, place: places(filepath.Join(t.TempDir(), "db"))[0], ahead: 3 * time.Hour}
	l.open()
	return l
}

func (l *leaper) open() {
	l.t.Helper()
	s, err := l.place.open(Options{Node: testNode, Logger: quiet(), Now: func() time.Time { return time.Now().Add(l.ahead) }})
	if err != nil {
		l.t.Fatal(err)
	}
	l.s = s
}

func (l *leaper) reopen() {
	l.t.Helper()
	if err := l.s.Close(); err != nil {
		l.t.Fatal(err)
	}
	l.open()
}

// restamp wants that a number of rows is stamped anew.
func (l *leaper) restamp(rows int) {
	l.t.Helper()
	done, err := l.s.Restamp(l.t.Context())
	if err != nil || done.Rows != rows {
		l.t.Fatalf("Restamp = %+v, %v, want %d rows", done, err, rows)
	}
	if by, held := l.s.Ahead(); held {
		l.t.Fatalf("the node is still %v ahead", by)
	}
}

// everything writes a row of most kinds, and lets one be deleted.
func (l *leaper) everything() (labels []model.Label, apps []model.UID) {
	t, s := l.t, l.s
	t.Helper()
	labels = append(labels, newLabel(t, s), newLabel(t, s))
	for range 3 {
		apps = append(apps, newApplication(t, s, labels[0].UID, "u").Application.UID)
	}
	update(t, s, apps[0], elected(apps[0], 1))
	update(t, s, apps[0], intent(1))
	update(t, s, apps[0], allocated(1))
	update(t, s, apps[0], model.Change{Tasks: []model.ApplicationTask{{Task: "snapshot", When: "DEALLOCATE"}}})
	apps = append(apps, live(t, s, labels[0].UID))
	_, err1 := s.PutUser(t.Context(), "u", func(*model.User) (model.User, error) { return model.User{Hash: model.PasswordHash{Algo: "x"}}, nil })
	_, err2 := s.PutLocation(t.Context(), model.Location{Name: "here"})
	_, err3 := s.CreateServiceMapping(t.Context(), model.ServiceMapping{Service: "a", Redirect: "b"})
	_, err4 := s.PutNode(t.Context(), model.Node{UID: testNode, Name: "n", Pubkey: []byte("k")})
	err5 := s.AddHandover(t.Context(), model.Handover{Successor: model.UID{9}})
	_, err6 := s.DeleteLabel(t.Context(), labels[1].UID)
	if err := errors.Join(err1, err2, err3, err4, err5, err6); err != nil {
		t.Fatal(err)
	}
	return labels, apps
}

// alike wants both stores to hold and show the same.
func (l *leaper) alike(other *Store, apps []model.UID) {
	t := l.t
	t.Helper()
	if diff := cmp.Diff(withoutZero(l.s.Vector()), withoutZero(other.Vector())); diff != "" {
		t.Errorf("vectors differ\n%s", diff)
	}
	if !cmp.Equal(digestsOf(t, l.s, always), digestsOf(t, other, always)) {
		t.Error("digests differ")
	}
	for _, app := range apps {
		mine, err1 := l.s.Application(t.Context(), app)
		theirs, err2 := other.Application(t.Context(), app)
		if err1 != nil || err2 != nil {
			t.Fatalf("application %s: %v, %v", app, err1, err2)
		}
		for what, diff := range map[string]string{
			"application": cmp.Diff(mine.Application, theirs.Application), "states": cmp.Diff(mine.States, theirs.States),
			"tasks": cmp.Diff(mine.Tasks, theirs.Tasks), "resource": cmp.Diff(mine.Resource, theirs.Resource),
		} {
			if diff != "" {
				t.Errorf("%s differs\n%s", what, diff)
			}
		}
	}
	if diff := cmp.Diff(l.s.Labels(), other.Labels()); diff != "" {
		t.Errorf("labels differ\n%s", diff)
	}
	if diff := cmp.Diff(l.s.Nodes(), other.Nodes()); diff != "" {
		t.Errorf("nodes differ\n%s", diff)
	}
	if diff := cmp.Diff(l.s.Handovers(), other.Handovers()); diff != "" {
		t.Errorf("handovers differ\n%s", diff)
	}
}

// ownRows are all that a node would pass on of itself.
func ownRows(t *testing.T, s *Store) (rows []replica.Row) {
	t.Helper()
	for origin := range s.Vector() {
		if origin.Node == s.opts.Node {
			rows = append(rows, rowsOf(t, s, origin)...)
		}
	}
	slices.SortFunc(rows, func(a, b replica.Row) int { return a.Version.Compare(b.Version) })
	return rows
}

func keysOf(rows []replica.Row) (keys []string) {
	for _, r := range rows {
		keys = append(keys, fmt.Sprintf("%d %x", r.Kind, r.Key))
	}
	return keys
}

func uidsOf(entries []*model.Entry) (uids []model.UID) {
	for _, e := range entries {
		uids = append(uids, e.Application.UID)
	}
	return uids
}
